"""Credentials in every part of a model that readers meet, each in a real file, through `assay scan`; and their benign twins."""

from __future__ import annotations

import contextlib
import io
import json
import pickle
import random
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.corpus.secrets.made import TOKENS

from assay.surfaces.cli.main import main

TOKEN = TOKENS["github"](random.Random(20261126))
PLAIN = "trained on public data"
Maker = Callable[[Path, str], None]


def _safetensors(path: Path, text: str) -> None:
    import numpy as np
    from safetensors.numpy import save_file

    save_file({"w": np.zeros(3, "f4")}, path / "m.safetensors", metadata={"format": "pt", "note": text})


def _gguf(path: Path, text: str) -> None:
    import gguf
    import numpy as np

    writer = gguf.GGUFWriter(str(path / "m.gguf"), "llama")
    writer.add_string("general.note", text)
    writer.add_tensor("a", np.zeros(32, "f4"))
    for write in (
        writer.write_header_to_file,
        writer.write_kv_data_to_file,
        writer.write_tensors_to_file,
        writer.close,
    ):
        write()


def _onnx(path: Path, text: str) -> None:
    import onnx
    from onnx import TensorProto, helper

    sides = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]) for name in ("x", "y")]
    model = helper.make_model(
        helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "g", sides[:1], sides[1:])
    )
    helper.set_model_props(model, {"author": text})
    onnx.save(model, path / "m.onnx")


def _hdf5(path: Path, text: str) -> None:
    import h5py

    with h5py.File(path / "m.h5", "w") as file:
        file.attrs["note"] = text


def _joblib(path: Path, text: str) -> None:
    import joblib

    joblib.dump({"note": text}, path / "m.joblib", compress=3)


def _npz(path: Path, text: str) -> None:
    import numpy as np

    np.savez(path / "m.npz", notes=np.array([text, "other"], dtype=object))


def _pickled(protocol: int) -> Maker:
    def make(path: Path, text: str) -> None:
        (path / "m.pkl").write_bytes(pickle.dumps({"note": text, "n": 3}, protocol))

    return make


def _json(name: str) -> Maker:
    def make(path: Path, text: str) -> None:
        (path / name).write_text(json.dumps({"model_type": "tiny", "hub": {"note": text}}))

    return make


def _card(path: Path, text: str) -> None:
    (path / "README.md").write_text(f"# A model\n\nDownload with {text}.\n")


MAKERS: dict[str, Maker] = {
    "safetensors": _safetensors, "gguf": _gguf, "onnx": _onnx, "hdf5": _hdf5, "joblib": _joblib, "npz": _npz, "card": _card,
    "config": _json("config.json"), "tokenizer": _json("tokenizer_config.json"),
    **{f"pickle-{protocol}": _pickled(protocol) for protocol in range(6)},
}  # fmt: skip


def scanned(path: Path) -> tuple[int, list[str], str]:
    """The exit code, the rules that spoke, and all that was printed."""
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        code = main(["scan", str(path), "--format", "json"])
    found = json.loads(out.getvalue())
    return code, [finding["rule"] for file in found["files"] for finding in file["findings"]], out.getvalue()


@pytest.mark.parametrize("name", MAKERS)
def test_a_credential_is_told_and_never_repeated(name: str, tmp_path: Path) -> None:
    MAKERS[name](tmp_path, TOKEN)
    code, rules, said = scanned(tmp_path)
    assert code == 1 and "ASY-CRD-001" in rules and TOKEN[8:] not in said


@pytest.mark.parametrize("name", MAKERS)
def test_its_twin_without_one_is_clean(name: str, tmp_path: Path) -> None:
    MAKERS[name](tmp_path, PLAIN)
    assert scanned(tmp_path)[:2] == (0, [])


def test_notebook_outputs_and_environment_files_are_searched(tmp_path: Path) -> None:
    stream = {"output_type": "stream", "name": "stdout", "text": [f"{TOKEN}\n"]}
    cell = {"cell_type": "code", "source": ["print(token)"], "metadata": {}, "execution_count": 1, "outputs": [stream]}
    (tmp_path / "n.ipynb").write_text(json.dumps({"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": [cell]}))
    (tmp_path / ".env").write_text("DB_PASSWORD=k3!Wq9xT1mB\n")
    assert scanned(tmp_path)[1].count("ASY-CRD-001") == 2


def test_a_name_and_its_value_in_a_pickled_dictionary_belong_together(tmp_path: Path) -> None:
    (tmp_path / "m.pkl").write_bytes(pickle.dumps({"api_key": "k3Wq9xT1mBw7LpR2sYd8HfN4cGj6Eua"}))
    (tmp_path / "n.pkl").write_bytes(pickle.dumps({"vocabulary": ["k3Wq9xT1mBw7LpR2sYd8HfN4cGj6Eua"], "api_key": None}))
    code, rules, _ = scanned(tmp_path)
    assert code == 1 and rules == ["ASY-CRD-001"]
