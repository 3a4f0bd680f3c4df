"""GGUF 2 and 3: every count, text, array and tensor range against the size of the file; chat templates taken out.

Source: ggml, `docs/gguf.md`; CVE-2024-23496 and CVE-2024-21802 (unchecked counts and sizes in readers).
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator

from assay.core.errors import MalformedInput
from assay.formats.chat_template import template_facts
from assay.formats.facts import Fact
from assay.formats.impossible import Impossible
from assay.formats.pickle_machine import Data
from assay.formats.secrets.metadata import secrets_in_pairs

MAGIC = b"GGUF"
MAX_ITEMS = 20_000_000
MAX_KEYS = 100_000
MAX_TENSORS = 1_000_000
MAX_DIMENSIONS = 4
_FIXED = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
_STRING, _ARRAY, _U32 = 8, 9, 4
_OTHERS = (1, 1 << 24, 2 << 24, 3 << 24)  # the first version, and big-endian files
# ggml type -> (items of a block, bytes of a block)
BLOCKS = {
    0: (1, 4), 1: (1, 2), 2: (32, 18), 3: (32, 20), 6: (32, 22), 7: (32, 24), 8: (32, 34), 9: (32, 36), 10: (256, 84), 11: (256, 110),
    12: (256, 144), 13: (256, 176), 14: (256, 210), 15: (256, 292), 16: (256, 66), 17: (256, 74), 18: (256, 98), 19: (256, 50),
    20: (32, 18), 21: (256, 110), 22: (256, 82), 23: (256, 136), 24: (1, 1), 25: (1, 2), 26: (1, 4), 27: (1, 8), 28: (1, 8),
    29: (256, 56), 30: (1, 2), 34: (256, 54), 35: (256, 66), 39: (32, 17),
}  # fmt: skip


class _Reader:
    """A position in the file; every step is checked against what remains."""

    def __init__(self, data: Data) -> None:
        self.data, self.at, self.size = data, 4, len(data)

    def take(self, count: int) -> bytes:
        self.skip(count)
        return bytes(self.data[self.at - count : self.at])

    def skip(self, count: int) -> None:
        if count > self.size - self.at:
            raise Impossible("a GGUF field leaves the file", f"{count} bytes are announced at {self.at}")
        self.at += count

    def number(self, code: str) -> int:
        return int(struct.unpack("<" + code, self.take(struct.calcsize(code)))[0])

    def text(self, bound: int = 1 << 26) -> str:
        length = self.number("Q")
        if length > bound:
            raise Impossible("a GGUF text is too long", f"{length} bytes")
        return self.take(length).decode("utf-8", "backslashreplace")


def gguf_facts(data: Data) -> Iterator[Fact]:
    """Facts of a file that begins with the magic.

    Raises:
        MalformedInput: a count, length, type or key that does not hold.
    """
    reader = _Reader(data)
    version = reader.number("I")
    if version not in (2, 3):
        fault = MalformedInput if version in _OTHERS else Impossible
        raise fault(f"GGUF version {version} is not known", "2 and 3 are")
    tensors, keys = reader.number("Q"), reader.number("Q")
    if tensors > MAX_TENSORS or keys > MAX_KEYS:
        raise Impossible("GGUF counts are out of range", f"{tensors} tensors, {keys} keys")
    alignment, seen, texts = 32, set[str](), list[tuple[str, str]]()
    for _ in range(keys):
        key = reader.text(65_535)
        if key in seen or not key.isascii() or not key or "\\" in key:  # bytes that are no UTF-8 were escaped
            raise Impossible("a GGUF key stands twice, or is empty or not ASCII", key[:80])
        seen.add(key)
        kind = reader.number("I")
        value = _value(reader, kind)
        if key == "general.alignment":
            if kind != _U32 or not isinstance(value, int) or value < 8 or value & (value - 1) or value > 1 << 20:
                raise Impossible("the GGUF alignment is no power of two", str(value)[:20])
            alignment = value
        if isinstance(value, str):
            texts.append((key, value))
        if isinstance(value, str) and ("chat_template" in key or "{%" in value or "{{" in value):
            yield from template_facts(value, key[:80])
    yield from secrets_in_pairs(texts, "a key of the header")
    yield from _tensor_facts(reader, tensors, alignment)


def _value(reader: _Reader, kind: int) -> str | int | None:
    """Reads a text or integer, or walks an array, whose items no loader renders; with a list, never by recursion."""
    waiting, items, is_array = [(kind, 1)], 0, kind == _ARRAY
    value: str | int | None = None
    while waiting:
        kind, count = waiting.pop()
        if kind in _FIXED:
            if count == 1 and kind in (4, 10):
                value = int.from_bytes(reader.take(_FIXED[kind]), "little")
            else:
                reader.skip(_FIXED[kind] * count)
        elif kind == _STRING:
            items += count
            _check_items(items, reader)
            for _ in range(count):
                value = reader.text()
        elif kind == _ARRAY:
            items += 1
            _check_items(items, reader)
            if count > 1:
                waiting.append((_ARRAY, count - 1))
            inner, length = reader.number("I"), reader.number("Q")
            waiting.append((inner, length)) if length else None
            if len(waiting) > 64:
                raise Impossible("GGUF arrays are nested too deeply", "more than 64 levels")
        else:
            raise Impossible("a GGUF value has an unknown type", str(kind))
    return None if is_array else value


def _check_items(count: int, reader: _Reader) -> None:
    if count > MAX_ITEMS or count > reader.size:
        raise Impossible("a GGUF array is too long", f"{count} items")


def _tensor_facts(reader: _Reader, count: int, alignment: int) -> Iterator[Fact]:
    spans: list[tuple[int, int, str]] = []
    names = set()
    for _ in range(count):
        name = reader.text(65_535)
        dimensions = reader.number("I")
        if dimensions > MAX_DIMENSIONS or name in names:
            raise Impossible("a GGUF tensor is malformed", f"{name[:80]!r}: {dimensions} dimensions, or named twice")
        names.add(name)
        shape = [reader.number("Q") for _ in range(dimensions)]
        kind, offset = reader.number("I"), reader.number("Q")
        if kind not in BLOCKS:
            yield Fact("unexamined", "", None, (f"tensor {name[:80]!r} has the type {kind}, which is not known",))
            continue
        items, size = BLOCKS[kind]
        if math.prod(shape) > 2**60 or offset % alignment or (shape and shape[0] % items):
            raise Impossible("a GGUF tensor is out of range", f"{name[:80]!r}")
        spans.append((offset, offset + math.prod(shape) // items * size, name))
    start = (reader.at + alignment - 1) // alignment * alignment
    yield from _span_facts(spans, start, reader.size, alignment, count)


def _span_facts(spans: list[tuple[int, int, str]], start: int, size: int, alignment: int, count: int) -> Iterator[Fact]:
    end = 0
    for begin, stop, name in sorted(spans):
        if begin < end or start + stop > size:
            yield Fact("tensors", "", start + begin, (f"tensor {name[:80]!r} overlaps another or leaves the file",))
            return
        if len(spans) == count and begin - end >= alignment:
            yield Fact("tensors", "", start + end, (f"{begin - end} bytes before tensor {name[:80]!r} belong to none",))
            return
        end = stop
    if len(spans) == count and size - start - end >= max(alignment, 1) and size > start + end:
        yield Fact("trailing", "", start + end, (f"{size - start - end} bytes follow the last tensor",))
