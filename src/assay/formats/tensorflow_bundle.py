"""The index of a TensorFlow checkpoint (`*.index`): a sorted table of tensors, walked to its end; data lie in files beside it.

Source: TensorFlow 2.21, `core/lib/io/format.h` (table format of LevelDB), `core/protobuf/tensor_bundle.proto`.
"""

from __future__ import annotations

from collections.abc import Iterator

from assay.core.errors import MalformedInput
from assay.formats.facts import Fact
from assay.formats.pickle_machine import Data
from assay.formats.protobuf_wire import Wire

FOOTER_BYTES = 48
MARK = bytes.fromhex("57fb808b247547db")
MAX_BLOCKS = 100_000
MAX_ENTRIES = 2_000_000
PLAIN = 0


def is_bundle_index(data: Data) -> bool:
    """Whether a file ends as a table does."""
    return len(data) >= FOOTER_BYTES and data[len(data) - 8 :] == MARK


def bundle_facts(data: Data) -> Iterator[Fact]:
    """Facts of a table.

    Raises:
        MalformedInput: a block, entry or message that does not hold.
    """
    footer = len(data) - FOOTER_BYTES
    _, at = _handle(data, footer, len(data) - 8)
    index, _ = _handle(data, at, len(data) - 8)
    blocks = 0
    for _, value in _entries(data, *index):
        blocks += 1
        if blocks > MAX_BLOCKS:
            raise MalformedInput("a checkpoint index has too many blocks", f"more than {MAX_BLOCKS}")
        (start, size), _ = _handle(value, 0, len(value))
        if data[start + size : start + size + 1] != bytes([PLAIN]):
            yield Fact("unexamined", "", start, ("a compressed block of a checkpoint index",))
            continue
        for _, message in _entries(data, start, size):
            wire = Wire(message)
            for field in wire.fields(0, len(message)):
                if field.number > 7:
                    raise MalformedInput("a checkpoint entry has an unknown field", str(field.number))


def _handle(data: Data, at: int, stop: int) -> tuple[tuple[int, int], int]:
    """Offset and size of a block, and where the next handle stands."""
    offset, at = _varint(data, at, stop)
    size, at = _varint(data, at, stop)
    return (offset, size), at


def _entries(data: Data, start: int, size: int) -> Iterator[tuple[bytes, bytes]]:
    """Keys and values: bytes shared with the key before, bytes of its own, bytes of the value; then the restart points."""
    if start + size + 5 > len(data) or size < 4:
        raise MalformedInput("a checkpoint index is cut short", f"a block of {size} bytes at {start}")
    stop = start + size
    restarts = int.from_bytes(data[stop - 4 : stop], "little")
    stop -= 4 + 4 * restarts
    if stop < start:
        raise MalformedInput("a checkpoint index is malformed", f"{restarts} restart points")
    key, at, count = b"", start, 0
    while at < stop:
        count += 1
        shared, at = _varint(data, at, stop)
        own, at = _varint(data, at, stop)
        length, at = _varint(data, at, stop)
        if shared > len(key) or at + own + length > stop or count > MAX_ENTRIES:
            raise MalformedInput("a checkpoint index is malformed", f"an entry at {at}")
        key = key[:shared] + bytes(data[at : at + own])
        yield key, bytes(data[at + own : at + own + length])
        at += own + length


def _varint(data: Data, at: int, stop: int) -> tuple[int, int]:
    value = shift = 0
    while at < stop and shift < 64:
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, at
        shift += 7
    raise MalformedInput("a checkpoint index is cut short", f"a number at {at}")
