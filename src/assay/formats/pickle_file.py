"""Files of pickles: one stream or several, with joblib's raw arrays, torch's legacy storages, or something hidden behind.

Every byte must belong to a stream that is understood. Behind STOP may stand another stream; what is neither is `trailing`, and
is searched for streams that would act if someone loaded from there. Constants that hold a stream themselves are read too.
Source: torch 2.13, `serialization.py`, `_legacy_load` (magic, protocol, system, object, keys, then storages).
"""

from __future__ import annotations

import re
from collections.abc import Callable

from assay.formats.budget import Budget
from assay.formats.facts import Fact, within
from assay.formats.joblib_arrays import skip_array
from assay.formats.pickle_machine import MAX_OPCODES, Data, Machine, swept
from assay.formats.pickle_opcodes import MAX_TEXTS
from assay.formats.pickle_values import Blob, Value
from assay.formats.pickled_trees import check_state
from assay.formats.secrets.metadata import secrets_in_constants

MAX_STREAMS = 10_000
MAX_RESYNCS = 200
MAX_SEARCHED_BYTES = 64 << 20
TORCH_MAGIC = 0x1950A86A20F9469CFC6C
STORAGE_BYTES = {
    "DoubleStorage": 8, "FloatStorage": 4, "HalfStorage": 2, "LongStorage": 8, "IntStorage": 4, "ShortStorage": 2, "CharStorage": 1,
    "ByteStorage": 1, "BoolStorage": 1, "BFloat16Storage": 2, "ComplexDoubleStorage": 16, "ComplexFloatStorage": 8, "QUInt8Storage": 1,
    "QInt8Storage": 1, "QInt32Storage": 4, "QUInt4x2Storage": 1, "QUInt2x4Storage": 1, "UntypedStorage": 1,
}  # fmt: skip
_NAMED = rb"[A-Za-z_][\w.]{0,80}\n[A-Za-z_][\w.]{0,80}\n"
_START = (
    re.compile(  # each way begins with a letter, which makes the search ten times as fast; the bound keeps it linear
        rb"\x80[\x00-\x05]|c" + _NAMED + rb"|i" + _NAMED + rb"|\(\({0,15}[ci][A-Za-z_]"
    )
)

_PACKED = (b"PK", b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"\x93NUMPY")
_LOADS_CONSTANT = ("torch.storage", "_load_from_bytes")
Inner = Callable[[bytes], list[Fact]]


class PickleFile:
    """The streams of one file. `format` is "pickle", "joblib" or "torch-legacy" after `read`."""

    def __init__(self, data: Data, inner: Inner | None = None, budget: Budget | None = None) -> None:
        self._data, self._size, self._inner, self._budget = data, len(data), inner, budget or Budget()
        self._facts: list[Fact] = []
        self._hidden: list[Fact] = []
        self._spent = 0
        self.format = "pickle"

    def read(self, start: int = 0) -> list[Fact]:
        """Facts of every stream from `start` on."""
        pos, streams, opcodes = start, 0, MAX_OPCODES - self._budget.opcodes
        tops: list[Value] = []
        while pos < self._size and streams < MAX_STREAMS:
            machine = Machine(self._data, inline=_behind_build)
            machine.opcodes = opcodes
            begin, pos = pos, machine.run(pos)
            opcodes, streams = machine.opcodes, streams + 1
            self._budget.opcodes = MAX_OPCODES - opcodes
            if streams > 1 and not machine.has_stopped and not machine.limit:
                self._trail(begin)
                break
            self._take(machine)
            tops.append(machine.stack[-1] if machine.stack else None)
            if machine.limit:
                break
            if not machine.has_stopped:
                self._resync(machine.broken[0] + 1 if machine.broken else pos)
                break
            if len(tops) == 5 and tops[0] == TORCH_MAGIC:
                self.format = "torch-legacy"
                pos = self._storages(pos)
        return [*self._facts, *self._hidden]

    def _take(self, machine: Machine) -> None:
        self._facts += machine.facts("")
        self._facts += self._credentials(machine)
        if machine.skipped:
            self.format = "joblib"
        for start, end in machine.skipped[:MAX_RESYNCS]:
            self._as_plain_reader(start, end)
        loads = _LOADS_CONSTANT in machine.names
        if loads and machine.constants != len(machine.blobs):
            machine.strange("anomaly", "a constant that is loaded as a file was not read as one")
            self._facts += machine.facts("")[-1:]
        for blob in machine.blobs:
            self._read_blob(blob, loads)

    def _credentials(self, machine: Machine) -> list[Fact]:
        """What the texts of a stream give away."""
        total = sum(end - start for start, end in machine.texts)
        if total > MAX_SEARCHED_BYTES or len(machine.texts) >= MAX_TEXTS:
            return [Fact("limit", "", None, ("it holds more text than is searched for credentials",))]
        texts = (bytes(self._data[start:end]).decode("utf-8", "replace") for start, end in machine.texts)
        return secrets_in_constants(texts, "a text of the pickle")

    def _as_plain_reader(self, start: int, end: int) -> None:
        """What `pickle.load` would make of a raw array: loaders differ here, so what acts in it counts as hidden."""
        other = Machine(self._data, end)
        self._run_hidden(other, start)
        self._hide(other)

    def _read_blob(self, blob: Blob, is_loaded: bool) -> None:
        """A constant that may hold a stream of its own; where the stream loads it, it is read as a file."""
        data = bytes(self._data[blob.at : blob.at + blob.size])
        if is_loaded and self._inner is not None:
            self._facts += within(f"<constant at {blob.at}>", self._inner(data))
        elif self._inner is not None and data.startswith(_PACKED):
            self._keep_hidden(within(f"<constant at {blob.at}>", self._inner(data)))
        else:
            other = Machine(data)
            self._run_hidden(other, 0)
            self._hide(other, blob.at)

    def _trail(self, start: int) -> None:
        self._facts.append(Fact("trailing", "", start, (f"{self._size - start} bytes follow the pickle",)))
        self._resync(start)

    def search(self, start: int) -> list[Fact]:
        """Streams that begin somewhere behind an offset, in a file of which nothing else is known; as hidden facts."""
        self._resync(start)
        return [*self._hidden, *(fact for fact in self._facts if fact.kind == "swept")]

    def _resync(self, start: int) -> None:
        """Streams that begin behind an error or behind the end; places, bytes and instructions are bounded."""
        tried, at, stop = 0, start, min(self._size, start + MAX_SEARCHED_BYTES)
        while tried < MAX_RESYNCS and self._spent < MAX_OPCODES and (match := _START.search(self._data, at, stop)):
            machine = Machine(self._data)
            end = self._run_hidden(machine, match.start())
            self._hide(machine)
            at = max(match.start() + 1, end if machine.has_stopped else 0)
            tried += 1
        if tried == MAX_RESYNCS or self._spent >= MAX_OPCODES:
            self._facts += swept(self._data, at, stop, "")

    def _run_hidden(self, machine: Machine, start: int) -> int:
        """Walks a stream that ordinary loaders do not reach; all of them share one budget."""
        machine.opcodes = self._spent
        end = machine.run(start)
        self._spent = machine.opcodes
        return end

    def _hide(self, machine: Machine, offset: int = 0) -> None:
        """Facts of a stream that no ordinary loader reaches; they are judged by what they would do before it breaks off.

        NOTE: models hold thousands of numbers of eight bytes, and every few thousand reads as a call of nothing. Names that are
        spelt out count behind the break too: the search may have begun in the middle of a stream, where a memo is empty.
        """
        end = machine.broken[0] if machine.broken else machine.size
        found = [
            f for f in machine.facts("") if f.offset is None or f.offset < end or (f.kind == "global" and all(f.data))
        ]
        self._keep_hidden([f._replace(offset=(f.offset or 0) + offset) for f in found])

    def _keep_hidden(self, found: list[Fact]) -> None:
        """Of bytes that nobody loads only what they would do counts, not whether they are well formed."""
        self._hidden += [
            f._replace(kind="hidden", data=(f.kind, *f.data)) for f in found if f.kind in ("global", "use")
        ]
        self._hidden += [f for f in found if f.kind == "hidden"]

    def _storages(self, pos: int) -> int:
        """The raw storages behind a legacy torch file: for each key its count as 8 bytes, then its items."""
        sizes: dict[str, int] = {}
        for fact in self._facts:
            if fact.kind == "use" and fact.data[0] == "PERSID" and (found := _storage(fact.data[2])):
                sizes[found[0]] = found[1]
        end = pos + sum(sizes.values()) + 8 * len(sizes)
        if end > self._size:
            self._facts.append(Fact("broken", "", pos, ("the storages are cut short",)))
            return self._size
        return end


def _behind_build(machine: Machine, pos: int) -> int:
    """What loaders do as soon as a state is set: build compiled trees, and read joblib's arrays."""
    check_state(machine)
    return skip_array(machine, pos)


def _storage(shape: Value) -> tuple[str, int] | None:
    if shape[0] != "t" or len(shape) < 6 or shape[1] != ("s", "storage") or shape[2][0] != "g":
        return None
    width = STORAGE_BYTES.get(shape[2][2])
    return (shape[3][1], shape[5][1] * width) if width and shape[5][0] == "i" and shape[3][0] == "s" else None


def acts_as_pickle(data: Data) -> bool:
    """Whether a loader of pickles would do something with these bytes: a declared stream, a whole one, or one that acts."""
    return (data[:1] == b"\x80" and len(data) > 1 and data[1] <= 5) or runs_as_pickle(data)


def runs_as_pickle(data: Data) -> bool:
    """Whether a loader would come to the end of a stream here, or run something before it fails."""
    machine = Machine(data)
    machine.run(0)
    if machine.has_stopped and machine.broken is None:
        return True
    runs_until = machine.broken[0] if machine.broken else len(data)
    return bool(machine.names) and any(use[0] != "PERSID" and at < runs_until for use, at in machine.uses.items())
