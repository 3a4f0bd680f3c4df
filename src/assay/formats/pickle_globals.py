"""Every global that a pickle stream names and every instruction that could call one, without executing anything.

The stack is tracked with the effects that `pickletools` documents, holding constants where they are known. Reading goes on
to the first error and keeps what was seen: a real loader would have run that part already. This is the small reader; where
its picture of the stack ends it says so (`is_complete` False) and callers must not call the file clean.
Source: Python documentation, "pickletools" and PEP 3154 (protocol 4).
"""

from __future__ import annotations

import io
import pickletools
import struct
from dataclasses import dataclass

MAX_OPCODES = 5_000_000
MAX_MEMO = 2_000_000
MAX_GLOBALS = 100_000

_CALLS = {"REDUCE", "NEWOBJ", "NEWOBJ_EX", "OBJ", "INST", "BUILD"}
_OPAQUE = {"EXT1", "EXT2", "EXT4", "PERSID", "BINPERSID", "NEXT_BUFFER", "READONLY_BUFFER"}
_UNICODE = {"UNICODE", "SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8"}
_STRINGS = {"STRING", "SHORT_BINSTRING", "BINSTRING"}
_STORES = {"PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE"}
_FETCHES = {"GET", "BINGET", "LONG_BINGET"}


@dataclass(frozen=True)
class Global:
    """A name that the stream asks to be imported, at a byte offset; None where it is put together while loading."""

    module: str | None
    name: str | None
    offset: int

    @property
    def qualified(self) -> str:
        """`module.name`, with `?` for a part that is computed."""
        return f"{'?' if self.module is None else self.module}.{'?' if self.name is None else self.name}"


@dataclass(frozen=True)
class PickleFacts:
    """What one stream does. `calls` counts the instructions that can run code, `builds` those that set an object's state.

    Calls on an empty stack are not counted, as every loader fails there. `opaque` names instructions that hide a name.

    `end` is where STOP was read, or where reading broke off; `problem` says why it broke off, "" if it did not.
    """

    globals: tuple[Global, ...]
    calls: int
    builds: int
    opaque: tuple[str, ...]
    protocol: int
    opcodes: int
    end: int
    problem: str

    @property
    def is_complete(self) -> bool:
        """Whether the stream was read to its STOP and the picture of its stack never failed."""
        return not self.problem


class _Mark:
    """The marker that MARK pushes."""


_MARK = _Mark()


def pickle_facts(data: bytes) -> PickleFacts:
    """Reads the stream at the start of `data`; never raises for bytes, whatever they are."""
    reader = _Reader()
    problem, end = "", 0
    try:
        for opcode, argument, position in pickletools.genops(io.BytesIO(data)):
            end = position or 0
            reader.step(opcode, argument, end)
            if reader.opcodes > MAX_OPCODES or len(reader.memo) > MAX_MEMO or len(reader.globals) > MAX_GLOBALS:
                problem = "too many instructions"
                break
    except (ValueError, IndexError, KeyError, OverflowError, MemoryError, struct.error, UnicodeError) as error:
        problem = f"breaks off: {str(error)[:120]}"
    return PickleFacts(
        tuple(reader.globals),
        reader.calls,
        reader.builds,
        tuple(sorted(reader.opaque)),
        reader.protocol,
        reader.opcodes,
        end + (0 if problem else 1),
        problem or reader.problem,
    )


class _Reader:
    """The state of one walk; values on the stack are str constants, `_MARK`, or None for anything else."""

    def __init__(self) -> None:
        self.stack: list[object] = []
        self.memo: dict[int, object] = {}
        self.globals: list[Global] = []
        self.opaque: set[str] = set()
        self.calls = self.builds = self.protocol = self.opcodes = self.underflows = 0
        self.problem = ""

    def step(self, opcode: pickletools.OpcodeInfo, argument: object, offset: int) -> None:
        """Follows one instruction."""
        name = opcode.name
        self.opcodes += 1
        if name in _OPAQUE:
            self.opaque.add(name)
        if name == "PROTO" and isinstance(argument, int):
            self.protocol = max(self.protocol, argument)
        elif name in ("GLOBAL", "INST"):
            module, _, attribute = str(argument).partition(" ")
            self.globals.append(Global(module, attribute, offset))
        elif name == "STACK_GLOBAL":
            self._stack_global(offset)
        if name in _STORES:
            self._store(name, argument)
        elif name in _FETCHES:
            self._push(self.memo.get(argument if isinstance(argument, int) else -1))
        else:
            before = self.underflows
            self._effect(opcode, argument)
            self.calls += name in _CALLS and self.underflows == before
            self.builds += name == "BUILD"

    def _stack_global(self, offset: int) -> None:
        module, name = ([None, None, *self.stack])[-2:]
        texts = [part if isinstance(part, str) else None for part in (module, name)]
        self.globals.append(Global(texts[0], texts[1], offset))

    def _store(self, name: str, argument: object) -> None:
        slot = len(self.memo) if name == "MEMOIZE" else argument
        if not self.stack or not isinstance(slot, int):
            self.problem = "the memo is used with an empty stack"
            return
        if slot in self.memo and self.memo[slot] != self.stack[-1]:
            self.problem = "a memo slot is written twice"  # readers may differ in what it holds
        self.memo[slot] = self.stack[-1]

    def _effect(self, opcode: pickletools.OpcodeInfo, argument: object) -> None:
        """Pops and pushes what `pickletools` says that the instruction does."""
        if opcode.name == "DUP":
            self._push(self.stack[-1] if self.stack else None)
            return
        if opcode.name == "POP":  # it may take a mark, which its description leaves out
            self._pop(1)
            return
        before, after = list(opcode.stack_before), list(opcode.stack_after)
        if pickletools.markobject in before:
            self._pop_to_mark()
            before = before[: before.index(pickletools.markobject)]
        self._pop(len(before))
        for item in after:
            if item is pickletools.markobject:
                self._push(_MARK)
            elif opcode.name in _UNICODE | _STRINGS:
                self._push(argument if isinstance(argument, str) else None)
            else:
                self._push(None)

    def _push(self, value: object) -> None:
        self.stack.append(value)

    def _pop(self, count: int) -> None:
        if count > len(self.stack):
            self._underflow("the stack runs empty")
        del self.stack[max(0, len(self.stack) - count) :]

    def _pop_to_mark(self) -> None:
        while self.stack:
            if self.stack.pop() is _MARK:
                return
        self._underflow("a mark is missing")

    def _underflow(self, problem: str) -> None:
        self.problem = problem
        self.underflows += 1
