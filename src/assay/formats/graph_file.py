"""ONNX models and TensorFlow graphs: operators, domains and data outside, read from the wire format.

Numbers of fields are those of `onnx.proto` (IR 10) and TensorFlow's `saved_model.proto`, `graph.proto`, `function.proto`.
Source: ONNX 1.19 external data documentation; CVE-2022-25882, CVE-2024-27318 (paths that leave the folder).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from assay.core.errors import MalformedInput
from assay.formats.facts import Fact, FileFacts
from assay.formats.pickle_machine import Data
from assay.formats.protobuf_wire import Field, Wire
from assay.formats.secrets.metadata import secrets_in_pairs

ONNX_DOMAINS = frozenset({"", "ai.onnx", "ai.onnx.ml", "ai.onnx.training", "ai.onnx.preview.training", "com.microsoft", "com.microsoft.nchwc",
    "com.ms.internal.nhwc", "org.pytorch.aten", "pkg.onnxscript.torch_lib", "pkg.onnxscript.torch_lib.common"})  # fmt: skip
ACTING_ONNX = frozenset({"PyOp", "PythonOp"})
ACTING_TF = frozenset(
    [
        "ReadFile",
        "WriteFile",
        "PyFunc",
        "PyFuncStateless",
        "EagerPyFunc",
        "MatchingFiles",
        "SaveSlices",
        "MergeV2Checkpoints",
        "DebugIdentity",
        "ShutdownDistributedTPU",
        "PrintV2",
        "ConfigureDistributedTPU",
        "RegisterDatasetV2",
        "LoadDataset",
        "SaveDataset",
        "SaveDatasetV2",
        "DatasetFromGraph",
        "RpcCall",
        "TryRpc",
    ]
)
_TF_QUIET = re.compile(r"[A-Z_][A-Za-z0-9_]{0,80}(>[A-Z]\w{0,80})?")
MAX_DEPTH = 32
_SAVING_TF = frozenset({"SaveV2", "RestoreV2", "Save", "Restore", "ShardedFilename"})


def onnx_facts(data: Data) -> FileFacts | None:
    """Facts of an ONNX model; None if these bytes are none.

    ModelProto: ir_version 1, producer 2, domain 4, graph 7, opset_import 8, metadata 14, functions 25.
    """
    wire = Wire(data)
    try:
        fields = list(wire.fields(0, len(data)))
    except MalformedInput:
        return None
    numbers = {field.number for field in fields}
    if not {7, 8} <= numbers <= {1, 2, 3, 4, 5, 6, 7, 8, 14, 20, 25, 26} or not any(
        f.number == 1 and f.wire == 0 for f in fields
    ):
        return None
    facts: list[Fact] = []
    try:
        local = {
            wire.text(f)
            for function in fields
            if function.number == 25
            for f in wire.fields(function.start, function.stop)
            if f.number == 10
        }
        for field in fields:
            if field.number in (7, 25) and field.wire == 2:
                facts += _onnx_graph(wire, field, is_function=field.number == 25, local=local)
        facts += secrets_in_pairs(_onnx_properties(wire, fields), "a property of the model")
    except MalformedInput as error:
        facts.append(Fact("malformed", "", None, (f"{error.what}: {error.why}",)))
    return FileFacts("onnx", tuple(dict.fromkeys(facts)))


def _onnx_properties(wire: Wire, fields: Iterable[Field]) -> Iterator[tuple[str, str]]:
    """Names and values of metadata_props (StringStringEntryProto: key 1, value 2), and the texts that describe the model."""
    for field in fields:
        if field.wire == 2 and field.number in (2, 3, 4, 6):
            yield "description", wire.text(field)
        elif field.wire == 2 and field.number == 14:
            pair = {part.number: wire.text(part) for part in wire.fields(field.start, field.stop) if part.wire == 2}
            yield pair.get(1, ""), pair.get(2, "")


def _onnx_graph(wire: Wire, graph: Field, *, is_function: bool, local: set[str]) -> Iterator[Fact]:
    """GraphProto: node 1, initializer 5, sparse 15; FunctionProto: node 7. NodeProto: op 4, attribute 5, domain 7."""
    waiting = [("function" if is_function else "graph", graph, 0)]
    while waiting:
        kind, outer, depth = waiting.pop()
        if depth > MAX_DEPTH:
            yield Fact("limit", "", outer.start, ("graphs are nested too deeply",))
            continue
        op = domain = ""
        for field in wire.fields(outer.start, outer.stop):
            inner = _INNER.get((kind, field.number)) if field.wire == 2 else None
            if inner is not None:
                waiting.append((inner, field, depth + 1))
            elif kind == "node" and field.number == 4:
                op = wire.text(field)
            elif kind == "node" and field.number == 7:
                domain = wire.text(field)
            elif kind == "external":
                yield from _external(wire, outer)
                break
        if kind == "node":
            yield from _onnx_node(op, domain, local, outer.start)


_INNER = {
    ("graph", 1): "node", ("graph", 5): "tensor", ("graph", 15): "sparse", ("function", 7): "node", ("function", 11): "attribute", ("node",
    5): "attribute",
    ("attribute", 5): "tensor", ("attribute", 6): "graph", ("attribute", 10): "tensor", ("attribute", 11): "graph", ("attribute", 22): "sparse",
    ("attribute", 23): "sparse", ("sparse", 1): "tensor", ("sparse", 2): "tensor", ("tensor", 13): "external",
}  # fmt: skip


def _onnx_node(op: str, domain: str, local: set[str], at: int) -> Iterator[Fact]:
    if op in ACTING_ONNX:
        yield Fact("operator-acts", "", at, (f"the operator {op} runs Python",))
    elif domain not in ONNX_DOMAINS and domain not in local:
        yield Fact("operator", "", at, (f"the operator {op[:60]!r} of the domain {domain[:60]!r}",))


def _external(wire: Wire, entry: Field) -> Iterator[Fact]:
    """StringStringEntryProto: key 1, value 2; a location must stay in the folder."""
    pair = {field.number: wire.text(field) for field in wire.fields(entry.start, entry.stop)}
    if pair.get(1) != "location":
        return
    place = pair.get(2, "")
    if (
        place.startswith(("/", "\\", "~"))
        or ".." in re.split(r"[/\\]", place)
        or re.match(r"[A-Za-z]:|\w+://", place)
        or "\x00" in place
    ):
        yield Fact("outside-data", "", entry.start, (f"external data at {place[:120]!r}",))


def tensorflow_facts(data: Data) -> FileFacts | None:
    """Facts of a SavedModel (schema 1, meta graphs 2) or a frozen GraphDef (nodes 1, versions 4, library 2); else None."""
    wire = Wire(data)
    try:
        fields = list(wire.fields(0, len(data)))
        numbers = {(field.number, field.wire) for field in fields}
        if numbers and numbers <= {(1, 0), (2, 2)} and (2, 2) in numbers:
            graphs = [
                inner
                for meta in fields
                if meta.number == 2
                for inner in wire.fields(meta.start, meta.stop)
                if inner.number == 2
            ]
            name = "tensorflow-saved-model"
        elif (
            numbers and numbers <= {(1, 2), (2, 2), (3, 0), (4, 2)} and (1, 2) in numbers and _is_node(wire, fields[0])
        ):
            graphs, name = [Field(0, 2, 0, 0, len(data))], "tensorflow-graph"
        else:
            return None
        facts = [fact for graph in graphs for fact in _tf_graph(wire, graph, name)]
    except MalformedInput:
        return None
    return FileFacts(name, tuple(dict.fromkeys(facts))) if graphs else None


def _is_node(wire: Wire, field: Field) -> bool:
    """NodeDef: name 1, op 2, both texts."""
    numbers = {inner.number: inner for inner in wire.fields(field.start, field.stop)}
    return {1, 2} <= set(numbers) and _TF_QUIET.fullmatch(wire.text(numbers[2], 100)) is not None


def _tf_graph(wire: Wire, graph: Field, name: str) -> Iterator[Fact]:
    """GraphDef: node 1, library 2; FunctionDefLibrary: function 1; FunctionDef: node_def 3. NodeDef: op 2."""
    for field in wire.fields(graph.start, graph.stop):
        if field.number == 1 and field.wire == 2:
            yield from _tf_node(wire, field, name)
        elif field.number == 2 and field.wire == 2:
            for function in wire.fields(field.start, field.stop):
                if function.number == 1 and function.wire == 2:
                    for node in wire.fields(function.start, function.stop):
                        if node.number == 3 and node.wire == 2:
                            yield from _tf_node(wire, node, name)


def _tf_node(wire: Wire, node: Field, name: str) -> Iterator[Fact]:
    for field in wire.fields(node.start, node.stop):
        if field.number == 2 and field.wire == 2:
            op = wire.text(field, 120)
            if op in ACTING_TF or (op in _SAVING_TF and name == "tensorflow-graph"):
                yield Fact("operator-acts", "", field.start, (f"the operator {op} touches files, processes or Python",))
            elif not _TF_QUIET.fullmatch(op) or ">" in op:
                yield Fact("operator", "", field.start, (f"the operator {op[:80]!r}",))


def graph_text_facts(text: str) -> FileFacts | None:
    """A GraphDef or SavedModel in text form; None if this text is neither."""
    ops = re.findall(r"\bop\s*:\s*[\"']([^\"']{1,120})[\"']", text)
    if not re.search(r"\bnode(_def)?\s*\{", text):
        return None
    bad = sorted({op for op in ops if op in ACTING_TF})
    return FileFacts(
        "tensorflow-text",
        tuple(
            Fact("operator-acts", "", None, (f"the operator {op} touches files, processes or Python",)) for op in bad
        ),
    )
