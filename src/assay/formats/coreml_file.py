"""Core ML models: layers and operations of the specification, custom ones told, weight files inside the package.

Source: coremltools 9, `mlmodel/format/Model.proto`, `NeuralNetwork.proto`, `MIL.proto`.
"""

from __future__ import annotations

from collections.abc import Iterator

from assay.core.errors import MalformedInput
from assay.formats.facts import Fact, FileFacts
from assay.formats.impossible import broken_fact
from assay.formats.outside_paths import leads_outside
from assay.formats.pickle_machine import Data
from assay.formats.protobuf_wire import Field, Wire

LIBRARY = "coreml"
DESCRIPTION, CUSTOM_MODEL, LINKED_MODEL, PROGRAM = 2, 555, 556, 502
PIPELINES = frozenset({200, 201, 202})
NETWORKS = frozenset({303, 403, 500})
KINDS = frozenset(
    {
        10,
        *PIPELINES,
        300,
        301,
        302,
        304,
        *NETWORKS,
        400,
        401,
        402,
        404,
        501,
        PROGRAM,
        CUSTOM_MODEL,
        LINKED_MODEL,
        560,
        3000,
    }
    | {*range(600, 611), 900, *range(2000, 2007)}
)
CUSTOM_LAYER = 500
LAST_LAYER = 1495
MAX_DEPTH = 16
BLOB = b"\xef\xbe\xad\xde"


def coreml_facts(data: Data) -> FileFacts | None:
    """Facts of a model; None if these bytes are none. Model: version 1, description 2, then one kind of model."""
    wire = Wire(data)
    try:
        fields = list(wire.fields(0, len(data)))
    except MalformedInput:
        return None
    numbers = {field.number for field in fields}
    if (
        not {(1, 0), (DESCRIPTION, 2)} <= {(f.number, f.wire) for f in fields}
        or not numbers & KINDS
        or not numbers <= {1, 2, *KINDS}
    ):
        return None
    facts: list[Fact] = []
    try:
        facts.extend(_model(wire, fields, 0))
    except MalformedInput as error:
        facts.append(broken_fact(error))
    return FileFacts("coreml", tuple(dict.fromkeys(facts)))


def is_coreml_weights(data: Data) -> bool:
    """Whether these are the weights of a package: count, version 2, zeros, then the mark of the first blob."""
    return bytes(data[4:64]) == b"\x02" + bytes(59) and bytes(data[64:68]) == BLOB


def coreml_weight_facts(data: Data) -> Iterator[Fact]:
    """Facts of weights. A blob: mark, type, bytes, offset; the next stands at the next 64 bytes behind its data.

    Raises:
        MalformedInput: a blob without mark, or outside the file.
    """
    at, count = 64, int.from_bytes(data[:4], "little")
    if count * 64 > len(data):
        raise MalformedInput("Core ML weights are cut short", f"{count} blobs announced")
    for _ in range(count):
        size, offset = (int.from_bytes(data[a : a + 8], "little") for a in (at + 8, at + 16))
        if bytes(data[at : at + 4]) != BLOB or offset < at + 64 or offset + size > len(data):
            yield Fact("tensors", "", at, (f"a blob of {size} bytes at {offset} leaves the file or its place",))
            return
        at = (offset + size + 63) // 64 * 64
    if at < len(data):
        yield Fact("trailing", "", at, (f"{len(data) - at} bytes follow the last blob",))


def _model(wire: Wire, fields: list[Field], depth: int) -> Iterator[Fact]:
    if depth > MAX_DEPTH:
        yield Fact("limit", "", None, ("pipelines are nested too deeply",))
        return
    for field in fields:
        if field.wire != 2:
            continue
        if field.number == CUSTOM_MODEL:
            yield Fact("operator", "", field.start, (LIBRARY, "custom model", _class_name(wire, field, 10)))
        elif field.number == LINKED_MODEL:
            yield Fact("other-file", "", field.start, ("a model that is linked from elsewhere",))
        elif field.number in PIPELINES:
            yield from _pipeline(wire, field, depth)
        elif field.number in NETWORKS:
            yield from _network(wire, field)
        elif field.number == PROGRAM:
            yield from _program(wire, field)


def _pipeline(wire: Wire, field: Field, depth: int) -> Iterator[Fact]:
    """Pipeline: models 1; PipelineClassifier and PipelineRegressor: pipeline 1."""
    for inner in wire.fields(field.start, field.stop):
        if (inner.number, inner.wire) == (1, 2):
            fields = list(wire.fields(inner.start, inner.stop))
            if field.number == 202 or any((f.number, f.wire) == (1, 0) for f in fields):
                yield from _model(wire, fields, depth + 1)
            else:
                yield from _pipeline(wire, inner._replace(number=202), depth + 1)


def _network(wire: Wire, network: Field) -> Iterator[Fact]:
    """NeuralNetwork: layers 1, preprocessing 2. A layer: name 1, input 2, output 3, one kind of layer from 100 on."""
    for layer in wire.fields(network.start, network.stop):
        if (layer.number, layer.wire) != (1, 2):
            continue
        for field in wire.fields(layer.start, layer.stop):
            if field.number == CUSTOM_LAYER and field.wire == 2:
                yield Fact("operator", "", layer.start, (LIBRARY, "custom layer", _class_name(wire, field, 10)))
            elif field.number > LAST_LAYER:
                yield Fact("operator", "", layer.start, (LIBRARY, "layer", str(field.number)))


def _class_name(wire: Wire, field: Field, number: int) -> str:
    return next(
        (wire.text(f, 200) for f in wire.fields(field.start, field.stop) if (f.number, f.wire) == (number, 2)), "?"
    )


def _program(wire: Wire, program: Field) -> Iterator[Fact]:
    """MIL Program: functions 2 (map to Function); Function: block_specializations 3 (map to Block); Block: operations 3.

    Operation: type 1, attributes 5, blocks 4 in nested control flow. Maps are entries of key 1 and value 2.
    """
    waiting: list[tuple[str, Field, int]] = [("program", program, 0)]
    operators: dict[str, int] = {}
    while waiting:
        kind, outer, depth = waiting.pop()
        if depth > 200:
            yield Fact("limit", "", outer.start, ("blocks are nested too deeply",))
            return
        for field in wire.fields(outer.start, outer.stop):
            if field.wire != 2:
                continue
            if (inner := _MIL.get((kind, field.number))) is not None:
                waiting.append((inner, field, depth + 1))
            elif kind == "operation" and field.number == 1:
                operators.setdefault(wire.text(field, 200), field.start)
            elif (
                kind == "blob"
                and field.number == 1
                and leads_outside(place := wire.text(field).removeprefix("@model_path/"))
            ):
                yield Fact("outside-data", "", field.start, (f"weights at {place[:120]!r}",))
    for name, at in operators.items():
        yield Fact("operator", "", at, (LIBRARY, "", name))


_MIL = {
    ("program", 2): "functions", ("functions", 2): "function", ("function", 3): "blocks", ("blocks", 2): "block", ("block", 3): "operation",
    ("operation", 4): "block", ("operation", 5): "attributes", ("attributes", 2): "value", ("value", 5): "blob",
}  # fmt: skip
