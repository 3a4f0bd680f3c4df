"""Judges the names and uses of pickle streams against the allow-list. Pure: facts and lists in, problems out."""

from __future__ import annotations

from collections.abc import Iterator

from assay.checks.model_file.arguments import fits, type_of
from assay.checks.model_file.judgement import Problem
from assay.checks.model_file.lists import Entry, Lists, spellings
from assay.checks.model_file.names import is_dangerous
from assay.formats.facts import Fact
from assay.formats.pickle_values import Shape

_ITEM_OPS = frozenset({"APPEND", "APPENDS", "SETITEM", "SETITEMS", "ADDITEMS"})
_FORMS = (("s", "storage"), ("s", "module"))


class PickleJudge:
    """Judges one file's streams; remembers what each name may do."""

    def __init__(self, lists: Lists) -> None:
        self._lists = lists
        self._known: dict[tuple[str | None, str | None], Entry | None] = {}

    def find(self, module: str | None, name: str | None) -> Entry | None:
        """The entry of a name as spelt in the stream: every spelling that a loader may import must be listed."""
        key = (module, name)
        if key not in self._known:
            entries = [] if module is None or name is None else [self._lists.find(*s) for s in spellings(module, name)]
            self._known[key] = entries[0] if entries and all(entries) else None
        return self._known[key]

    def named(self, fact: Fact) -> Iterator[Problem]:
        """A global that the stream names."""
        module, name = fact.data
        if module is None or name is None:
            told = f"{module or '?'}.{name or '?'}"[:200]
            yield Problem(
                "ASY-PKL-011",
                f"imports {told}, whose missing part is put together while loading",
                fact.offset,
                fact.member,
            )
        elif self.find(module, name) is None:
            yield unlisted(module, name, fact)

    def used(self, fact: Fact) -> Iterator[Problem]:
        """A call, a state or items put into something."""
        op, target, args = fact.data
        if op == "PERSID":
            if not self._is_storage(args):
                yield Problem("ASY-PKL-007", f"persistent id {_told(args)}", fact.offset, fact.member)
        elif target[0] != "g":
            yield from self._used_value(op, target, args, fact)
        elif target[1] is None or target[2] is None:
            yield Problem("ASY-PKL-003", f"{op} of {_told(target)}", fact.offset, fact.member)
        elif op == "BUILD" or op in _ITEM_OPS:
            yield Problem("ASY-PKL-004", f"{op} on {_told(target)} itself", fact.offset, fact.member)
        elif (entry := self.find(target[1], target[2])) is not None and not self._may_call(op, entry, args):
            yield Problem("ASY-PKL-005", f"{op} of {_told(target)} with {_told(args)}", fact.offset, fact.member)

    def _may_call(self, op: str, entry: Entry, args: Shape) -> bool:
        if op in ("NEWOBJ", "NEWOBJ_EX") or (op in ("INST", "OBJ") and args == ("t",)):
            return entry.role == "type" and self._may_make(op, entry, args)
        return entry.args is not None and fits(args, entry.args, self.find)

    def _may_make(self, op: str, entry: Entry, args: Shape) -> bool:
        """Arguments of `__new__`: none, those of the constructor's constraint, or any where `__new__` is a builtin's."""
        if op == "NEWOBJ_EX":
            if args[0] != "t" or len(args) != 3 or args[2] not in (("d", 0), ("k", 0, ())):
                return False
            args = args[1]
        if args == ("t",) or entry.new_args:
            return bool(args[0] == "t")
        return entry.args is not None and fits(args, entry.args, self.find)

    def _used_value(self, op: str, target: Shape, args: Shape, fact: Fact) -> Iterator[Problem]:
        """Uses of what another instruction made."""
        if op != "BUILD" and op not in _ITEM_OPS:
            yield Problem(
                "ASY-PKL-003", f"{op} of {_told(target)}, which is the result of a call", fact.offset, fact.member
            )
            return
        made = type_of(target, self.find)
        entry = self.find(*made) if made else None
        if entry is None:
            if target[0] != "r" or target[1][0] != "g" or self.find(target[1][1], target[1][2]) is not None:
                yield Problem(
                    "ASY-PKL-012", f"{op} on {_told(target)}, of which no type is known", fact.offset, fact.member
                )
        elif op in _ITEM_OPS and not entry.takes_items:
            yield Problem("ASY-PKL-012", f"{op} on {_told(target)}", fact.offset, fact.member)
        elif op == "BUILD" and not self._may_be_state(entry, args):
            yield Problem("ASY-PKL-012", f"BUILD of {_told(target)} with {_told(args)}", fact.offset, fact.member)

    def _may_be_state(self, entry: Entry, state: Shape) -> bool:
        return fits(state, entry.state_args, self.find) if entry.state_args is not None else _may_be_state(entry, state)

    def _is_storage(self, shape: Shape) -> bool:
        """`("storage", class, key, location, count)` of torch, with a view behind it in legacy files."""
        if shape[0] != "t" or not 5 <= len(shape) <= 7 or shape[1] not in _FORMS or shape[2][0] != "g":
            return False
        entry = self.find(shape[2][1], shape[2][2])
        if shape[1] == ("s", "module"):
            return entry is not None and entry.role == "type"
        return (
            entry is not None
            and entry.role in ("type", "inert")
            and [part[0] for part in shape[3:6]] in (["s", "s", "i"], ["i", "s", "i"])
        )


def unlisted(module: str, name: str, fact: Fact) -> Problem:
    """What a name that no list has means."""
    joined = f"{module}.{name}"
    dangerous = any(is_dangerous(f"{m}.{n}") for m, n in [*spellings(module, name), (module, name)])
    if dangerous:
        return Problem("ASY-PKL-001", f"names {joined[:200]}", fact.offset, fact.member)
    return Problem("ASY-PKL-002", f"names {joined[:200]}, which is not listed", fact.offset, fact.member)


def _may_be_state(entry: Entry, state: Shape) -> bool:
    """A reviewed `__setstate__` takes anything; without one a dict sets attributes, and a pair sets slots by `setattr`."""
    if entry.own_state or state[0] in ("k", "d", "n"):
        return True
    if state[0] != "t" or len(state) != 3 or state[1][0] not in ("k", "d", "n"):
        return False
    slots = state[2]
    if slots[0] == "n" or (slots[0] in ("d", "k") and slots[1] == 0):
        return True
    return entry.plain_slots and slots[0] == "k" and not any(key.startswith("__") for key in slots[2])


def _told(shape: Shape) -> str:
    """A shape in few words."""
    letter = shape[0]
    if letter == "g":
        return f"{shape[1] or '?'}.{shape[2] or '?'}"[:160]
    if letter == "r":
        return f"{_told(shape[1])}(…)"
    if letter == "t":
        return "(" + ", ".join(part if part == "…" else _told(part) for part in shape[1:]) + ")"
    if letter in ("s", "i", "o"):
        return repr(shape[1])[:60]
    words = {
        "b": "bytes",
        "l": "a list",
        "d": "a dict",
        "k": "a dict",
        "e": "a set",
        "z": "a set",
        "n": "None",
        "f": "a float",
    }
    return words.get(letter, "a value that nothing is known of")
