"""Arrays that joblib writes raw into the middle of a pickle: how many bytes to skip, or the pickle that stands there instead.

After BUILD of a `NumpyArrayWrapper` joblib reads the array from the file itself: one byte that counts the padding (since 1.2),
the padding, then shape x itemsize bytes. An array of objects is a pickle of its own at that place.
Source: joblib 1.6, `numpy_pickle.py`, `NumpyArrayWrapper.read_array`.
"""

from __future__ import annotations

import math
import re
from typing import NamedTuple

from assay.formats.pickle_machine import Machine
from assay.formats.pickle_values import Box, Made, Name, Value

_CODE = re.compile(r"[<>|=]?([?bBhHiIlLqQfdgcuFDGeSUVOMm])(\d{0,9})(?:\[\w{1,8}\])?")
_LETTER_BYTES = {"?": 1, "b": 1, "B": 1, "h": 2, "H": 2, "i": 4, "I": 4, "l": 8, "L": 8, "q": 8, "Q": 8, "f": 4, "d": 8, "g": 16,
                 "F": 8, "D": 16, "G": 32, "e": 2, "M": 8, "m": 8, "O": 8}  # fmt: skip
WRAPPERS = frozenset(
    {("joblib.numpy_pickle", "NumpyArrayWrapper"), ("sklearn.externals.joblib.numpy_pickle", "NumpyArrayWrapper")}
)


class ItemType(NamedTuple):
    """Bytes of one item, and whether items are objects."""

    size: int
    has_objects: bool


def skip_array(machine: Machine, pos: int) -> int:
    """Called after BUILD: the offset behind the raw array if one stands here, else `pos`."""
    made = machine.peek()
    if (
        type(made) is not Made
        or type(made.callee) is not Name
        or (made.callee.module, made.callee.name) not in WRAPPERS
    ):
        return pos
    state: dict[str, Value] = made.state.kept if isinstance(made.state, Box) else {}
    shape, item = state.get("shape"), item_type(state.get("dtype"))
    if type(shape) is not tuple or not all(type(n) is int and n >= 0 for n in shape) or item is None:
        machine.strange("anomaly", "an inline array of unknown size")
        return pos
    if item.has_objects:
        return _nested(machine, made, pos)
    start = pos
    if (alignment := state.get("numpy_array_alignment_bytes")) is not None and pos < machine.size:
        pad = machine.data[pos]
        if type(alignment) is not int or pad > max(16, alignment):
            machine.strange("anomaly", "the padding of an inline array is too long")
        pos += 1 + pad
    end = pos + math.prod(shape) * item.size
    if end > machine.size:
        machine.breaks("an inline array is cut short")
        return machine.size
    machine.skipped.append((start, end))
    made.raw = (pos, end)
    return end


def item_type(value: Value) -> ItemType | None:
    """What a `numpy.dtype(...)` with its state says of one item; None where that is not certain."""
    if type(value) is not Made or type(value.args) is not tuple or not value.args or type(value.args[0]) is not str:
        return None
    found = _CODE.fullmatch(value.args[0])
    if found is None:
        return None
    letter, digits = found[1], found[2]
    if letter == "V" and isinstance(value.state, tuple) and len(value.state) > 4 and type(value.state[4]) is Box:
        return _structured(value, int(digits or 0))
    size = int(digits) * (4 if letter == "U" else 1) if digits else _LETTER_BYTES.get(letter, 0)
    return ItemType(size, letter == "O")


def _structured(value: Made, size: int) -> ItemType | None:
    state: Value = value.state
    fields = state[4]
    if fields.others or len(fields.kept) != fields.count:
        return None
    inner = [item_type(field[0]) if type(field) is tuple and field else None for field in fields.kept.values()]
    if any(item is None for item in inner):
        return None
    return ItemType(size, any(item.has_objects for item in inner if item))


def _nested(machine: Machine, made: Made, pos: int) -> int:
    """The pickle of an object array, walked by the same machine with a stack and memo of its own."""
    if machine.depth >= 100:
        machine.limit = "object arrays are nested too deeply"
        return pos
    kept = machine.stack, machine.marks, machine.memo, machine.start, machine.frame_end
    machine.stack, machine.marks, machine.memo = [], [], {}
    machine.depth += 1
    end = machine.run(pos)
    made.inner = machine.stack[-1] if machine.stack else None
    if not machine.has_stopped:
        machine.breaks("the pickle of an object array does not end")
    machine.has_stopped = False
    machine.stack, machine.marks, machine.memo, machine.start, machine.frame_end = kept
    machine.depth -= 1
    return end
