"""PaddlePaddle programs (`.pdmodel`, `__model__`) and combined parameters (`.pdiparams`): operators listed, tensors in bounds.

Source: Paddle 3.2, `fluid/framework/framework.proto`, `lod_tensor.cc` (SerializeToStream), `tensor_util.cc` (TensorToStream).
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from assay.core.errors import MalformedInput
from assay.formats.facts import Fact, FileFacts
from assay.formats.pickle_machine import Data
from assay.formats.protobuf_wire import Wire

LIBRARY = "paddle"
MAX_TENSORS = 1_000_000
ITEM_BYTES = {0: 1, 1: 2, 2: 4, 3: 8, 4: 2, 5: 4, 6: 8, 20: 1, 21: 1, 22: 2, 23: 8, 24: 16, 32: 1, 33: 1}
_MODEL_FIELDS = frozenset({(1, 2), (4, 2), (5, 2)})


def paddle_program_facts(data: Data) -> FileFacts | None:
    """Facts of a ProgramDesc: blocks 1, version 4, op_version_map 5; None if these bytes are none.

    BlockDesc: idx 1, parent 2, vars 3, ops 4. OpDesc: inputs 1, outputs 2, type 3, attrs 4.
    """
    wire = Wire(data)
    operators: dict[str, int] = {}
    try:
        fields = list(wire.fields(0, len(data)))
        if not fields or not {(f.number, f.wire) for f in fields} <= _MODEL_FIELDS:
            return None
        for block in (f for f in fields if f.number == 1):
            inner = list(wire.fields(block.start, block.stop))
            if not {(1, 0), (2, 0)} <= {(f.number, f.wire) for f in inner}:
                return None
            for op in (f for f in inner if (f.number, f.wire) == (4, 2)):
                for field in wire.fields(op.start, op.stop):
                    if (field.number, field.wire) == (3, 2):
                        operators.setdefault(wire.text(field, 200), op.start)
    except MalformedInput:
        return None
    return FileFacts(
        "paddle-program", tuple(Fact("operator", "", at, (LIBRARY, "", op)) for op, at in operators.items())
    )


def is_paddle_parameters(data: Data) -> bool:
    """Whether a file begins with a tensor: version 0, no levels, version 0, then a small description."""
    if len(data) < 24 or bytes(data[:4]) != bytes(4) or int.from_bytes(data[4:12], "little") > 4:
        return False
    try:
        return next(_tensors(data)) > 0
    except (MalformedInput, StopIteration):
        return False


def paddle_parameter_facts(data: Data) -> Iterator[Fact]:
    """No facts where tensor follows tensor to the end of the file.

    Raises:
        MalformedInput: a tensor that does not hold.
    """
    for _ in _tensors(data):
        pass
    yield from ()


def _tensors(data: Data) -> Iterator[int]:
    """Where each tensor ends."""
    at, count = 0, 0
    while at < len(data):
        count += 1
        if count > MAX_TENSORS or _number(data, at, 4) != 0:
            raise MalformedInput("Paddle parameters are malformed", f"tensor {count} at {at}")
        levels, at = _number(data, at + 4, 8), at + 12
        if levels > 16:
            raise MalformedInput("Paddle parameters are malformed", f"{levels} levels")
        for _ in range(levels):
            at += 8 + _number(data, at, 8)
        size = _number(data, at + 4, 4)
        if _number(data, at, 4) != 0 or at + 8 + size > len(data):
            raise MalformedInput("Paddle parameters are malformed", f"a description of {size} bytes at {at}")
        at = at + 8 + size + _tensor_bytes(data, at + 8, size)
        if at > len(data):
            raise MalformedInput("Paddle parameters are cut short", f"at {at}")
        yield at


def _tensor_bytes(data: Data, at: int, size: int) -> int:
    """TensorDesc: data_type 1, dims 2, packed or not."""
    wire = Wire(data)
    kind, shape = -1, list[int]()
    for field in wire.fields(at, at + size):
        if (field.number, field.wire) == (1, 0):
            kind = field.value
        elif (field.number, field.wire) == (2, 0):
            shape.append(field.value)
        else:
            raise MalformedInput("Paddle parameters are malformed", f"field {field.number} of a description")
    if kind not in ITEM_BYTES or any(n >= 1 << 48 for n in shape):
        raise MalformedInput("a Paddle tensor has an unknown type or shape", f"{kind}, {shape[:4]}")
    return math.prod(shape) * ITEM_BYTES[kind]


def _number(data: Data, at: int, width: int) -> int:
    if at + width > len(data):
        raise MalformedInput("Paddle parameters are cut short", f"at {at}")
    return int.from_bytes(data[at : at + width], "little")
