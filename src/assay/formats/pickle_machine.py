"""A pickle stream run over abstract values: what it names, calls and sets, without doing any of it.

The rules (design, "Scan", section 2, "Pickle machine"):
1. Semantics are the union of the C unpickler, the Python one and pickletools; where they differ, an `anomaly` is noted.
2. An error never ends the walk: what stood before it has run in a real loader. The first is noted as `broken`.
3. Every use is a fact, also of a result that is popped. Nothing is recursive; budgets are counted, not timed.

    machine = Machine(b"cos\\nsystem\\n(S'id'\\ntR.")
    machine.run(0)                     # 20, the offset behind STOP
    machine.facts("")                  # global os.system, use REDUCE of it with ("t", ("s", "id"))

Sources: CPython 3.11-3.14, `Lib/pickle.py`, `Modules/_pickle.c`, `Lib/pickletools.py`; PickleFuzzer, arXiv 2605.15084.
"""

from __future__ import annotations

import mmap
import re
import struct
from collections.abc import Callable

from assay.formats.facts import Fact
from assay.formats.pickle_opcodes import TABLE
from assay.formats.pickle_values import MAX_PARTS, NOTHING, Blob, Cut, Made, Name, Room, Shape, Stopped, Value, describe

MAX_OPCODES = 5_000_000
MAX_STACK = 4_000_000
MAX_USES = 20_000
FREE_PARTS = 16
PART_COST = 2
MAX_GLOBALS = 50_000
MAX_BLOBS = 1_000
_WORD = rb"([A-Za-z_][\w.]{0,80})"
_MEMO = rb"(?:\x94|q.|p\d+\n)?"
_NAMES = re.compile(
    rb"[ci]" + _WORD + rb"\n" + _WORD + rb"\n|\x8c." + _WORD + _MEMO + rb"\x8c." + _WORD + _MEMO + rb"\x93", re.DOTALL
)
MAX_SWEPT = 1_000

Data = bytes | mmap.mmap


class Machine:
    """One walk over one stream. `inline` is called after BUILD: what joblib reads raw from the file stands there."""

    def __init__(
        self, data: Data, size: int | None = None, *, inline: Callable[[Machine, int], int] | None = None
    ) -> None:
        self.data, self.size, self.inline = data, len(data) if size is None else size, inline
        self.stack: list[Value] = []
        self.marks: list[int] = []
        self.memo: dict[int, Value] = {}
        self.names: dict[tuple[str | None, str | None], int] = {}
        self.uses: dict[tuple[str, Shape, Shape], int] = {}
        self.odd: dict[tuple[str, str], int] = {}
        self.blobs: list[Blob] = []
        self.texts: list[tuple[int, int]] = []
        self.skipped: list[tuple[int, int]] = []
        self.depth = 0
        self.start = self.at = self.opcodes = self.protocol = self.protos = self.frame_end = self.constants = 0
        self.broken: tuple[int, str] | None = None
        self.has_stopped = False
        self.limit = ""

    def run(self, start: int) -> int:
        """Walks from `start` to behind STOP, or to where decoding fails; returns that offset."""
        table, data, size, pos = TABLE, self.data, self.size, start
        self.start, budget = start, MAX_OPCODES - self.opcodes
        count = 0
        try:
            while pos < size:
                handler = table[data[pos]]
                if handler is None:
                    raise Cut(f"there is no instruction 0x{data[pos]:02x}")
                count += 1
                if count > budget or len(self.stack) > MAX_STACK:
                    self.limit = f"more than {MAX_OPCODES} instructions"
                    break
                self.at = pos
                pos = handler(self, pos + 1)
            else:
                raise Cut("the stream ends before STOP")
        except Stopped:
            self.has_stopped = True
            pos += 1
        except Cut as cut:
            self.breaks(str(cut), pos)
        except (struct.error, IndexError):
            self.breaks("an argument is cut short", pos)
        self.opcodes += count
        return pos

    def breaks(self, why: str, at: int | None = None) -> None:
        """Notes that loaders fail here; the first place counts."""
        if self.broken is None:
            self.broken = (self.at if at is None else at, why)

    def strange(self, kind: str, what: str) -> None:
        """Notes something that readers may take differently, or that hides what happens."""
        if len(self.odd) < MAX_SWEPT:
            self.odd.setdefault((kind, what), self.at)

    def pop(self) -> Value:
        """The topmost value; under a mark or an empty stack loaders fail, and so says `broken`."""
        fence = self.marks[-1] if self.marks else 0
        if len(self.stack) > fence:
            return self.stack.pop()
        self.breaks("the stack runs empty")
        if self.marks:
            self.marks.pop()
        return self.stack.pop() if self.stack else NOTHING

    def peek(self) -> Value:
        """The topmost value, left where it is."""
        fence = self.marks[-1] if self.marks else 0
        if len(self.stack) <= fence:
            self.breaks("the stack runs empty")
        return self.stack[-1] if self.stack else NOTHING

    def popped_to_mark(self) -> list[Value]:
        """The values above the last mark."""
        if not self.marks:
            self.breaks("a mark is missing")
            items, self.stack[:] = self.stack[:], []
            return items
        height = self.marks.pop()
        items = self.stack[height:]
        del self.stack[height:]
        return items

    def named(self, module: str | None, name: str | None) -> Name:
        """Records a global."""
        made = Name(module, name, self.at)
        key = (made.module, made.name)
        if key not in self.names:
            if len(self.names) >= MAX_GLOBALS:
                self.limit = f"more than {MAX_GLOBALS} names"
            else:
                self.names[key] = self.at
        return made

    def used(self, op: str, target: Value, args: Value) -> None:
        """Records a use, once for each shape; telling a large shape costs as much as instructions do."""
        if self.opcodes > MAX_OPCODES or len(self.uses) > MAX_USES:
            self.limit = self.limit or f"more than {MAX_USES} different uses, or too many of large values"
            return
        room = Room()
        key = (op, describe(target, room), describe(args, room))
        self.opcodes += PART_COST * max(0, MAX_PARTS - FREE_PARTS - room.left)
        self.uses.setdefault(key, self.at)

    def call(self, op: str, target: Value, args: Value) -> None:
        """Records a call and pushes what it makes."""
        self.used(op, target, args)
        self.stack.append(Made(op, target, args))

    def facts(self, member: str) -> list[Fact]:
        """What the walk saw, in order of kind and offset."""
        found = [Fact("global", member, at, key) for key, at in self.names.items()]
        found += [Fact("use", member, at, key) for key, at in self.uses.items()]
        found += [Fact(kind, member, at, (what,)) for (kind, what), at in self.odd.items()]
        if self.broken:
            found.append(Fact("broken", member, self.broken[0], (self.broken[1],)))
        if self.limit:
            found.append(Fact("limit", member, self.at, (self.limit,)))
            found += swept(self.data, self.at, self.size, member)
        return found


def swept(data: Data, start: int, stop: int, member: str) -> list[Fact]:
    """Names that pickles may spell between two offsets, found by pattern; the last resort beyond a budget."""
    found: dict[tuple[str, str], int] = {}
    for match in _NAMES.finditer(data, start, stop):
        module, name = (match[1], match[2]) if match[1] else (match[3], match[4])
        found.setdefault((module.decode("latin-1"), name.decode("latin-1")), match.start())
        if len(found) >= MAX_SWEPT:
            break
    return [Fact("swept", member, at, key) for key, at in found.items()]
