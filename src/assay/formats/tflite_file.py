"""TensorFlow Lite models: operators by code or name, and every buffer, tensor and index against the file.

A custom operator is a name that the program must have registered; `Flex` names are TensorFlow's own operators.
Source: TensorFlow 2.21, `lite/schema/schema.fbs` (version 3).
"""

from __future__ import annotations

from collections.abc import Iterator

from assay.core.errors import MalformedInput
from assay.formats.facts import Fact, FileFacts
from assay.formats.flatbuffer import Buffer, Table
from assay.formats.impossible import broken_fact
from assay.formats.pickle_machine import Data

MARK = b"TFL3"
CUSTOM = 32
LAST_BUILTIN = 260
FLEX = "Flex"
MAX_OPERATORS = 10_000


def tflite_facts(data: Data) -> FileFacts:
    """Facts of a file with the mark at offset 4; never raises for bytes."""
    try:
        facts = list(_model(Buffer(data).root(), len(data)))
    except MalformedInput as error:
        facts = [broken_fact(error)]
    return FileFacts("tflite", tuple(dict.fromkeys(facts)))


def _model(model: Table, size: int) -> Iterator[Fact]:
    """Model: operator_codes 1, subgraphs 2, buffers 4."""
    codes, buffers = model.tables(1), model.tables(4)
    for code in codes[:MAX_OPERATORS]:
        yield from _code(code)
    for number, buffer in enumerate(buffers):
        yield from _buffer(number, buffer, size)
    for graph in model.tables(2):
        yield from _subgraph(graph, len(codes), len(buffers))


def _code(code: Table) -> Iterator[Fact]:
    """OperatorCode: deprecated_builtin_code 0, custom_code 1, builtin_code 3; the larger code counts."""
    number = max(code.number(0, 1), code.number(3, 4))
    name = code.text(1)
    if number == CUSTOM:
        if name.startswith(FLEX):
            yield Fact("operator", "", None, ("tensorflow", "", name.removeprefix(FLEX)[:200]))
        else:
            yield Fact("operator", "", None, ("tflite", "custom", name[:200]))
    elif number > LAST_BUILTIN:
        yield Fact("operator", "", None, ("tflite", "builtin", str(number)))


def _buffer(number: int, buffer: Table, size: int) -> Iterator[Fact]:
    """Buffer: data 0, or offset 1 and size 2 behind the FlatBuffers."""
    buffer.vector(0, 1)
    offset, length = buffer.number(1, 8), buffer.number(2, 8)
    if offset > 1 and offset + length > size:
        yield Fact("tensors", "", None, (f"buffer {number} of {length} bytes at {offset} leaves the file",))


def _subgraph(graph: Table, codes: int, buffers: int) -> Iterator[Fact]:
    """SubGraph: tensors 0, inputs 1, outputs 2, operators 3. Tensor: buffer 2. Operator: opcode_index 0, inputs 1, outputs 2."""
    tensors = graph.tables(0)
    for tensor in tensors:
        if tensor.number(2, 4) >= max(buffers, 1):
            yield Fact("tensors", "", None, ("a tensor names a buffer that is not there",))
            return
    for place in (1, 2):
        yield from _indices(graph, place, len(tensors))
    for operator in graph.tables(3):
        if operator.number(0, 4) >= codes:
            yield Fact("tensors", "", None, ("an operator names a code that is not there",))
            return
        yield from _indices(operator, 1, len(tensors))
        yield from _indices(operator, 2, len(tensors))


def _indices(table: Table, field: int, count: int) -> Iterator[Fact]:
    """Indices of tensors; -1 stands for none."""
    for index in table.signed(field):
        if not -1 <= index < count:
            yield Fact("tensors", "", None, (f"an operator names the tensor {index} of {count}",))
            return
