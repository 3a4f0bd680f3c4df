"""Attacks in the formats of other frameworks, built byte by byte, and the samples that real libraries wrote."""

from __future__ import annotations

import json
import pickle
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import msgpack

SAMPLES = Path(__file__).with_name("samples")
SHELL = b"\x80\x04\x8c\x02os\x8c\x06system\x93\x8c\x0decho > marker\x85R."


class Made(NamedTuple):
    """A file by the name of its technique."""

    name: str
    path: str
    data: bytes


def samples(kind: str) -> list[Made]:
    """Files of real libraries: `benign` or `attacks`."""
    root = SAMPLES / kind
    found = [path for path in sorted(root.rglob("*")) if path.is_file()]
    return [Made(str(path.relative_to(root)), path.name, path.read_bytes()) for path in found]


def sample(name: str) -> bytes:
    """One benign file."""
    return (SAMPLES / "benign" / name).read_bytes()


def message(*fields: tuple[int, bytes | int]) -> bytes:
    """A protocol buffer."""
    return b"".join(
        varint(number << 3) + varint(value)
        if isinstance(value, int)
        else varint(number << 3 | 2) + varint(len(value)) + value
        for number, value in fields
    )


def varint(number: int) -> bytes:
    out = b""
    while number > 127:
        out, number = out + bytes([number & 127 | 128]), number >> 7
    return out + bytes([number])


def tf_node(name: str, op: str, *inputs: str, text: str = "", attribute: str = "value") -> bytes:
    """NodeDef; `text` is a constant, or the text attribute of that name."""
    value = message((8, message((8, text.encode())))) if attribute == "value" else message((2, text.encode()))
    entry = [(5, message((1, attribute.encode()), (2, value)))] if text else []
    return message((1, name.encode()), (2, op.encode()), *((3, one.encode()) for one in inputs), *entry)


def tf_graph(*nodes: bytes) -> bytes:
    return message(*((1, node) for node in nodes))


def saved_model(graph: bytes, *more: tuple[int, bytes]) -> bytes:
    return message((1, 1), (2, message((1, message((4, b"serve"))), (2, graph), *more)))


def tensorflow() -> Iterator[Made]:
    """Operators that act, paths that stand in the graph, names that are not listed."""
    x = tf_node("x", "Placeholder")
    for op in (
        "PyFuncStateless",
        "LMDBReader",
        "RpcCall",
        "DebugIdentityV2",
        "SaveDatasetV2",
        "CreateSummaryFileWriter",
        "EvilOp",
        "XlaCallModule",
    ):
        yield Made(f"tensorflow-frozen-{op}", "frozen.pb", tf_graph(x, tf_node("n", op, "x")))
    path = tf_node("p", "Const", text="/tmp/marker")
    yield Made(
        "tensorflow-save-to-a-fixed-path",
        "saved_model.pb",
        saved_model(tf_graph(x, path, tf_node("s", "SaveV2", "p", "x"))),
    )
    joined = tf_node("j", "StringJoin", "p", "x")
    yield Made(
        "tensorflow-save-to-a-joined-path",
        "saved_model.pb",
        saved_model(tf_graph(x, path, joined, tf_node("s", "SaveV2", "j"))),
    )
    printing = tf_node("n", "PrintV2", "x", text="file:///tmp/marker", attribute="output_stream")
    yield Made("tensorflow-print-to-a-file", "saved_model.pb", saved_model(tf_graph(x, printing)))
    asset = message((1, message((1, b"p:0"))), (2, b"../../etc/passwd"))
    yield Made("tensorflow-asset-outside", "saved_model.pb", saved_model(tf_graph(x, path), (6, asset)))
    body = message((1, message((1, b"f"), (2, message((1, b"a"))))), (3, tf_node("s", "SaveV2", "a")))
    call = tf_node("c", "f", "p")
    in_function = message((1, x), (1, path), (1, call), (2, message((1, body))))
    yield Made("tensorflow-save-in-a-function", "saved_model.pb", saved_model(in_function))
    yield Made("tensorflow-write-in-text", "g.pbtxt", b'node { name: "w" op: "WriteFile" input: "x" }')
    yield Made("tensorflow-write-in-text-any-name", "notes.txt", b'node {\n  name: "w"\n  op: "Write\\x46ile"\n}\n')
    yield Made("tensorflow-text-escaped", "g.pbtxt", b'node < name: "w" op: "Py" \'Func\' >')
    layer = {"class_name": "Lambda", "config": {"function": ["4wE=", None, None]}}
    saved = message((2, 1), (3, b"root"), (4, b"_tf_keras_layer"), (5, json.dumps(layer).encode()))
    yield Made("CVE-2024-3660-keras-metadata", "keras_metadata.pb", message((1, saved)))


def onnx() -> Iterator[Made]:
    """Custom operators, also inside of functions and nested graphs."""

    def model(*nodes: bytes, functions: tuple[bytes, ...] = ()) -> bytes:
        graph = message(*((1, node) for node in nodes), (2, b"g"))
        return message((1, 10), (7, graph), (8, message((1, b""), (2, 17))), *((25, one) for one in functions))

    def node(op: bytes, domain: bytes = b"", *more: tuple[int, bytes]) -> bytes:
        return message((1, b"x"), (2, b"y"), (4, op), *more, *([(7, domain)] if domain else []))

    yield Made("onnx-unknown-operator", "m.onnx", model(node(b"EvilOp")))
    hidden = message((1, b"F"), (7, node(b"Run", b"com.evil")), (10, b"local"))
    yield Made("onnx-custom-operator-in-a-function", "m.onnx", model(node(b"F", b"local"), functions=(hidden,)))
    branch = message((1, b"then_branch"), (6, message((1, node(b"Run", b"com.evil")))))
    yield Made("onnx-custom-operator-in-a-branch", "m.onnx", model(node(b"If", b"", (5, branch))))
    yield Made("onnx-context-of-a-device", "m.onnx", model(node(b"EPContext", b"com.microsoft")))
    quiet = message((1, b"F"), (7, node(b"Relu")), (10, b"local"))
    yield Made("twin-onnx-function", "m.onnx", model(node(b"F", b"local"), functions=(quiet,)))


def others() -> Iterator[Made]:
    """Core ML, Paddle, MXNet, MessagePack, XGBoost, Arrow and CatBoost."""
    described = (2, message((1, b"x")))
    layer = message((1, b"l"), (500, message((10, b"EvilLayer"))))
    yield Made("coreml-custom-layer", "m.mlmodel", message((1, 4), described, (500, message((1, layer)))))
    yield Made("coreml-custom-model", "m.mlmodel", message((1, 4), described, (555, message((10, b"EvilModel")))))
    inner = message((1, 4), described, (555, message((10, b"EvilModel"))))
    yield Made("coreml-custom-model-in-a-pipeline", "m.mlmodel", message((1, 4), described, (202, message((1, inner)))))
    operation = message(
        (1, b"const"), (5, message((1, b"val"), (2, message((5, message((1, b"@model_path/../../secret")))))))
    )
    block = message((3, operation))
    program = message((1, 1), (2, message((1, b"main"), (2, message((3, message((1, b"x"), (2, block))))))))
    yield Made("coreml-weights-outside", "m.mlmodel", message((1, 8), described, (502, program)))
    weights = bytearray(sample("p.mlpackage/Data/com.apple.CoreML/weights/weight.bin"))
    weights[72:80] = struct.pack("<Q", 1 << 40)
    yield Made("coreml-weights-beyond-the-end", "weight.bin", bytes(weights))
    for op in ("py_func", "save_combine", "evil_op"):
        block = message((1, 0), (2, 0), (4, message((3, op.encode()))))
        yield Made(f"paddle-{op}", "m.pdmodel", message((1, block)))
    for op in ("Custom", "_Native", "EvilOp"):
        graph = {
            "nodes": [{"op": "null", "name": "x"}, {"op": op, "name": "y", "attrs": {"op_type": "evil"}}],
            "arg_nodes": [0],
            "heads": [[1, 0]],
        }
        yield Made(f"mxnet-{op}", "m-symbol.json", json.dumps(graph).encode())
    yield Made("mxnet-params-cut", "m.params", mxnet_params()[:-3])
    yield Made("msgpack-extension", "m.msgpack", b"\x81\xa1a\xc7\x03\x63abc")
    yield Made("msgpack-hidden-pickle", "m.msgpack", b"\x81\xa1a\xc4" + bytes([len(SHELL)]) + SHELL)
    yield Made("msgpack-huge-count", "m.msgpack", b"\xdf\xff\xff\xff\xff\xa1a\x01")
    yield Made("xgboost-forged-child", "m.bin", forged_xgboost())
    yield Made("catboost-tail", "m.cbm", sample("cb.cbm") + SHELL)
    yield Made("arrow-footer-lies", "t.arrow", sample("t.arrow")[:-10] + struct.pack("<I", 1 << 30) + b"ARROW1")
    yield Made("parquet-footer-lies", "t.parquet", sample("t.parquet")[:-8] + struct.pack("<I", 1 << 30) + b"PAR1")
    yield Made("rds-mapped-file", "m.rds", rds_alternative(b"mmap_real"))
    yield Made("twin-rds-sequence", "m.rds", rds_alternative(b"compact_intseq"))
    yield Made("twin-mxnet-params", "m.params", mxnet_params())
    yield Made(
        "twin-mxnet-graph",
        "m-symbol.json",
        json.dumps(
            {
                "nodes": [{"op": "null", "name": "x"}, {"op": "FullyConnected", "name": "y"}],
                "arg_nodes": [0],
                "heads": [[1, 0]],
            }
        ).encode(),
    )


def tables() -> Iterator[Made]:
    """TensorFlow Lite models, written with FlatBuffers."""
    yield Made("tflite-custom-operator", "m.tflite", tflite(custom="EvilOp"))
    yield Made("tflite-flex-ReadFile", "m.tflite", tflite(custom="FlexReadFile"))
    yield Made("tflite-unknown-builtin", "m.tflite", tflite(builtin=9_999))
    yield Made("tflite-buffer-outside", "m.tflite", tflite(offset=1 << 40))
    yield Made("tflite-tensor-outside", "m.tflite", tflite(tensor=77))
    yield Made("twin-tflite", "m.tflite", tflite())
    yield Made("twin-tflite-flex", "m.tflite", tflite(custom="FlexErf"))
    yield Made("twin-tflite-detection", "m.tflite", tflite(custom="TFLite_Detection_PostProcess"))


def tflite(*, custom: str = "", builtin: int = 0, offset: int = 0, tensor: int = 0) -> bytes:
    """A model of one operator on one tensor."""
    import flatbuffers

    b = flatbuffers.Builder(256)
    name = b.CreateString(custom) if custom else None
    b.StartObject(4)
    if name is not None:
        b.PrependUOffsetTRelativeSlot(1, name, 0)
    b.PrependInt32Slot(3, 32 if custom else builtin, 0)
    codes = _vector(b, [b.EndObject()])
    b.StartObject(3)
    b.PrependUint64Slot(1, offset, 0)
    b.PrependUint64Slot(2, 8 if offset else 0, 0)
    buffers = _vector(b, [b.EndObject()])
    b.StartObject(4)
    tensors = _vector(b, [b.EndObject()])
    b.StartVector(4, 1, 4)
    b.PrependInt32(tensor)
    inputs = b.EndVector()
    b.StartObject(4)
    b.PrependUOffsetTRelativeSlot(1, inputs, 0)
    operators = _vector(b, [b.EndObject()])
    b.StartObject(5)
    b.PrependUOffsetTRelativeSlot(0, tensors, 0)
    b.PrependUOffsetTRelativeSlot(3, operators, 0)
    graphs = _vector(b, [b.EndObject()])
    b.StartObject(8)
    b.PrependInt32Slot(0, 3, 0)
    for slot, part in ((1, codes), (2, graphs), (4, buffers)):
        b.PrependUOffsetTRelativeSlot(slot, part, 0)
    b.Finish(b.EndObject(), file_identifier=b"TFL3")
    return bytes(b.Output())


def _vector(builder: object, items: list[int]) -> int:
    builder.StartVector(4, len(items), 4)  # type: ignore[attr-defined]
    for item in reversed(items):
        builder.PrependUOffsetTRelative(item)  # type: ignore[attr-defined]
    return int(builder.EndVector())  # type: ignore[attr-defined]


def mxnet_params() -> bytes:
    array = struct.pack("<IiIqqiii", 0xF993FAC9, 0, 2, 2, 3, 1, 0, 0) + bytes(24)
    return struct.pack("<QQQ", 0x112, 0, 1) + array + struct.pack("<QQ", 1, 5) + b"arg:w"


def forged_xgboost() -> bytes:
    """A child that points behind the nodes of its tree: readers index with it."""
    data = bytearray(sample("xg17-gbtree.bin"))
    name = data.index(b"gbtree") + len("gbtree")
    struct.pack_into("<i", data, name + 160 + 148 + 4, 1 << 20)
    return bytes(data)


def rds_alternative(name: bytes) -> bytes:
    """An ALTREP item of a class: info, state, attributes."""
    word = struct.pack(">iii", 1, 0x00040009, len(name)) + name
    package = struct.pack(">iii", 1, 0x00040009, 4) + b"base"
    kind = struct.pack(">iii", 13, 1, 13)
    info = (
        struct.pack(">i", 2)
        + word
        + struct.pack(">i", 2)
        + package
        + struct.pack(">i", 2)
        + kind
        + struct.pack(">i", 254)
    )
    state = struct.pack(">iiddd", 14, 3, 3.0, 1.0, 1.0)
    return (
        b"X\n"
        + struct.pack(">iiii", 3, 0x40300, 0x30500, 5)
        + b"UTF-8"
        + struct.pack(">i", 238)
        + info
        + state
        + struct.pack(">i", 254)
    )


def attacks() -> list[Made]:
    """Everything that must not be clean."""
    made = [*tensorflow(), *onnx(), *others(), *tables()]
    return [one for one in made if not one.name.startswith("twin-")] + samples("attacks")


def twins() -> list[Made]:
    """Everything that must be clean."""
    made = [*onnx(), *others(), *tables()]
    array = msgpack.ExtType(1, msgpack.packb(((1,), "float32", bytes(4))))
    flax = msgpack.packb({"params": {"w": array}, "step": 1})
    found = [one for one in made if one.name.startswith("twin-")]
    plain = Made("twin-msgpack", "flax_model.msgpack", flax)
    hidden = Made("twin-msgpack-with-a-harmless-pickle", "m.msgpack", b"\x81\xa1a\xc4" + _short(pickle.dumps([1], 4)))
    return [*found, plain, hidden, *samples("benign")]


def _short(data: bytes) -> bytes:
    return bytes([len(data)]) + data
