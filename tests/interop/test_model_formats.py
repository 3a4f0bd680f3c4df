"""What the readers call clean, the libraries of the formats accept; what these libraries write is clean.

Files are made by safetensors, gguf, onnx, numpy and h5py, then changed at random: a changed file may be refused by the library
and clean for us only if the change lies in the raw numbers.
"""

from __future__ import annotations

import io
import random
from collections.abc import Callable
from pathlib import Path

import gguf
import h5py
import numpy as np
import onnx
import pytest
import safetensors
import safetensors.numpy
from onnx import TensorProto, helper

from assay.checks.model_file.judge import judge
from assay.core.outcomes import Verdict
from assay.formats.reading import read_facts

ROUNDS = 150


def write_safetensors(folder: Path) -> Path:
    path = folder / "m.safetensors"
    tensors = {"a": np.ones((2, 3), "f4"), "b": np.arange(4), "c": np.zeros((0, 2), "f2")}
    safetensors.numpy.save_file(tensors, path, metadata={"format": "np"})
    return path


def open_safetensors(path: Path) -> None:
    with safetensors.safe_open(path, "np") as file:
        for name in list(file.keys()):
            file.get_tensor(name)


def write_gguf(folder: Path) -> Path:
    path = folder / "m.gguf"
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_context_length(64)
    writer.add_chat_template("{% for m in messages %}{{ m['content'] }}{% endfor %}")
    writer.add_array("tokenizer.ggml.tokens", ["<s>", "a", "b"])
    writer.add_array("numbers", [1, 2, 3])
    writer.add_tensor("w", np.ones((4, 32), "f4"))
    writer.add_tensor("v", np.arange(64, dtype="f2"))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def open_gguf(path: Path) -> None:
    reader = gguf.GGUFReader(path)
    for tensor in reader.tensors:
        tensor.data.sum()
    del reader


def write_onnx(folder: Path) -> Path:
    path = folder / "m.onnx"
    value = lambda name: helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 2])  # noqa: E731
    weight = helper.make_tensor("w", TensorProto.FLOAT, [2, 2], [1.0, 2.0, 3.0, 4.0])
    nodes = [helper.make_node("MatMul", ["x", "w"], ["h"]), helper.make_node("Relu", ["h"], ["y"])]
    model = helper.make_model(helper.make_graph(nodes, "g", [value("x")], [value("y")], [weight]))
    onnx.save(model, path)
    return path


def open_onnx(path: Path) -> None:
    onnx.checker.check_model(onnx.load(path))


def write_numpy(folder: Path) -> Path:
    path = folder / "m.npy"
    np.save(path, np.zeros(5, [("a", "i4"), ("b", "U3")]))
    return path


def open_numpy(path: Path) -> None:
    np.load(path, allow_pickle=False)


def write_npz(folder: Path) -> Path:
    path = folder / "m.npz"
    np.savez_compressed(path, a=np.arange(100), b=np.ones((3, 3)))
    return path


def open_npz(path: Path) -> None:
    with np.load(path, allow_pickle=False) as file:
        for name in file.files:
            file[name]


def write_h5(folder: Path) -> Path:
    path = folder / "m.h5"
    with h5py.File(path, "w", libver="latest") as file:
        file.attrs["backend"] = "tensorflow"
        layer = file.create_group("model_weights/dense")
        layer.attrs["weight_names"] = np.array([b"kernel:0", b"bias:0"])
        layer["kernel:0"] = np.ones((4, 2), "f4")
        layer.create_dataset("bias:0", data=np.zeros(2), chunks=(1,), compression="gzip")
    return path


def open_h5(path: Path) -> None:
    def read(name: str, item: h5py.Group | h5py.Dataset) -> None:
        dict(item.attrs)
        if isinstance(item, h5py.Dataset):
            item[()]

    with h5py.File(path) as file:
        file.visititems(read)


FORMATS = [(write_safetensors, open_safetensors), (write_gguf, open_gguf), (write_onnx, open_onnx), (write_numpy, open_numpy), (write_npz, open_npz),
           (write_h5, open_h5)]  # fmt: skip


def verdict(path: Path) -> Verdict:
    return judge(read_facts(path.read_bytes(), path.name)).verdict


@pytest.mark.parametrize(("write", "load"), FORMATS)
def test_what_a_library_writes_is_clean_and_loads(
    write: Callable[[Path], Path], load: Callable[[Path], None], tmp_path: Path
) -> None:
    path = write(tmp_path)
    load(path)
    assert judge(read_facts(path.read_bytes(), path.name)).problems == ()


@pytest.mark.parametrize(("write", "load"), FORMATS[:1] + FORMATS[3:5])
def test_what_is_clean_after_a_change_still_loads(
    write: Callable[[Path], Path], load: Callable[[Path], None], tmp_path: Path
) -> None:
    """Structure and numbers of these formats are either right or refused; there is no third way that we call clean."""
    path = write(tmp_path)
    whole, choice, clean = path.read_bytes(), random.Random(0), 0
    for _ in range(ROUNDS):
        data = bytearray(whole)
        data[choice.randrange(len(data))] ^= 1 << choice.randrange(8)
        path.write_bytes(bytes(data[: choice.choice([len(data), len(data), choice.randrange(len(data))])]))
        if verdict(path) is Verdict.CLEAN:
            clean += 1
            load(path)
    assert clean


@pytest.mark.parametrize(("write", "load"), FORMATS)
def test_a_file_that_is_cut_is_never_clean(
    write: Callable[[Path], Path], load: Callable[[Path], None], tmp_path: Path
) -> None:
    path = write(tmp_path)
    whole = path.read_bytes()
    cuts = [len(whole) * part // 20 for part in range(1, 20)] + [len(whole) - 1]
    found = []
    for cut in cuts:
        path.write_bytes(whole[:cut])
        found.append(verdict(path))
    assert Verdict.CLEAN not in found


def test_the_buffers_of_numpy_in_memory_are_clean() -> None:
    for array in (
        np.zeros((0, 3)),
        np.array(5.0),
        np.asfortranarray(np.ones((2, 3))),
        np.array(["a", "bb"]),
        np.array([True]),
    ):
        buffer = io.BytesIO()
        np.save(buffer, array)
        assert judge(read_facts(buffer.getvalue(), "a.npy")).problems == ()
