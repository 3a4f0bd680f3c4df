"""Where the text lies in a JSON body: a shape says it once, as data, and `body_of` walks a body along it.

    CHAT = Record({"model": WORD, "messages": Items(Record({"role": WORD, "content": Text(Role.USER, Source.USER)}))})

    Text      a string that a model reads or wrote: a part with its provenance
    WORD      a number, a boolean, null, or a short string without spaces: names, ids, enumerations
    Free      any JSON; each of its strings and keys is a part
    Opaque    numbers or base64: embeddings, signatures, what only the server can read
    Tokens    log probabilities, whose tokens spell the answer once more; dropped whole where that has to be redacted
    Closed    known, and nothing here can look into it: pictures, sound, files; refused unless its name is let through
    Record    an object with these members; any other member is refused, or walked along `rest`
    Items     an array
    Tagged    an object whose shape its `type` (or `role`) says
    Either    a string, an array, an object or null, each with a shape of its own

A body that does not fit its shape raises `UnknownPart`: what is not understood is not scanned, so it does not pass.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from assay.core.canonical import Json
from assay.core.errors import AssayError
from assay.runtime.firewall.values import Role, Segment, Source

MAX_PARTS = 20_000
MAX_WORD = 256
MAX_NAME = 32
_IS_WORD = re.compile(r"[A-Za-z0-9._:/@+=#-]{0,256}").fullmatch
# What a name of a member may be without being read as a text: too short for a value, or nothing but letters in lower case.
_IS_NAME = re.compile(r"[a-z_]{1,64}|[A-Za-z_$][A-Za-z0-9_$.-]{0,15}").fullmatch
_IS_BASE64 = re.compile(r"[A-Za-z0-9+/_-]*={0,2}").fullmatch

Path = tuple[str | int, ...]


class UnknownPart(AssayError):
    """A request or an answer of a model holds a part that the firewall does not know, so nobody can say what is in it."""

    code, exit_code = "A-UNKNOWN-PART", 3


@dataclass(frozen=True, slots=True)
class Part:
    """A text in a body. `path` leads to it; None for names of members, which cannot be replaced.

    `is_loose` says that it is one of many small texts that may be judged together; `is_derived` that it was put together
    from what stands there, so that it can be dropped and not replaced.
    """

    path: Path | None
    text: str
    role: Role
    source: Source
    is_loose: bool = False
    is_derived: bool = False

    @property
    def segment(self) -> Segment:
        """As the firewall takes it."""
        return Segment(self.text, self.role, self.source)


@dataclass
class Seen:
    """What a walk has found so far: texts, and by name what stands there and was not looked into."""

    may_pass: frozenset[str] = frozenset()
    parts: list[Part] = field(default_factory=list)
    unscanned: set[str] = field(default_factory=set)

    def add(self, part: Part) -> None:
        """One text more; an empty one is none."""
        if not part.text:
            return
        if len(self.parts) >= MAX_PARTS:
            raise unknown(part.path or (), f"a body may hold at most {MAX_PARTS} texts")
        self.parts.append(part)


class Shape(ABC):
    """What may stand at one place; `walk` adds the texts found there to what was seen."""

    @abstractmethod
    def walk(self, value: Json, path: Path, seen: Seen) -> None:
        """Raises `UnknownPart` where `value` does not fit."""


@dataclass(frozen=True)
class Text(Shape):
    """A string, or null."""

    role: Role
    source: Source

    def walk(self, value: Json, path: Path, seen: Seen) -> None:
        """One part, unless it is empty."""
        if isinstance(value, str):
            seen.add(Part(path, value, self.role, self.source))
        elif value is not None:
            raise unknown(path, "expected a text")


@dataclass(frozen=True)
class Word(Shape):
    """A scalar that says no sentence."""

    def walk(self, value: Json, path: Path, seen: Seen) -> None:
        """No part."""
        if not _fits_word(value):
            raise unknown(path, f"expected a number, or a name or id of at most {MAX_WORD} plain characters")


def _fits_word(value: Json) -> bool:
    return _IS_WORD(value) is not None if isinstance(value, str) else not isinstance(value, (dict, list))


@dataclass(frozen=True)
class Free(Shape):
    """Any JSON."""

    role: Role
    source: Source

    def walk(self, value: Json, path: Path, seen: Seen) -> None:
        """One part a string, and one for each name of a member that is more than a plain name."""
        if isinstance(value, str):
            seen.add(Part(path, value, self.role, self.source, is_loose=True))
        elif isinstance(value, dict):
            for key, item in value.items():
                self.named(key, seen)
                self.walk(item, (*path, key), seen)
        elif isinstance(value, list):
            for i, item in enumerate(value):
                self.walk(item, (*path, i), seen)

    def named(self, key: str, seen: Seen) -> None:
        """The name of a member, where it could be a value."""
        if not _IS_NAME(key):
            seen.add(Part(None, key, self.role, self.source, is_loose=True))


@dataclass(frozen=True)
class Opaque(Shape):
    """Numbers, or base64 in either alphabet: a vector, a signature, a sealed text."""

    def walk(self, value: Json, path: Path, seen: Seen) -> None:
        """No part."""
        if value is None:
            return
        is_numbers = isinstance(value, list) and all(isinstance(item, (int, float)) for item in value)
        if not is_numbers and not (isinstance(value, str) and _IS_BASE64(value)):
            raise unknown(path, "expected numbers, or base64 of them")


@dataclass(frozen=True)
class Tokens(Shape):
    """Log probabilities of tokens, as OpenAI writes them."""

    role: Role
    source: Source

    def walk(self, value: Json, path: Path, seen: Seen) -> None:
        """What the tokens spell, what their bytes spell where that differs, and the alternatives side by side."""
        if value is None:
            return
        _only_tokens(value, path)
        spelled = {"".join(_said(value, "token")), bytes(_said(value, "bytes")).decode("utf-8", "replace")}
        for text in sorted(spelled):
            seen.add(Part(path, text, self.role, self.source, is_derived=True))


@dataclass(frozen=True)
class Closed(Shape):
    """Known, and nothing here can look into it; passes only where its name was let through by the operator."""

    name: str
    why: str

    def walk(self, value: Json, path: Path, seen: Seen) -> None:
        """Refuses anything but null and emptiness, unless told to let it pass."""
        if value and self.name not in seen.may_pass:
            raise unknown(path, f"{self.why}; `unscanned: [{self.name}]` in the settings lets it pass")
        if value:
            seen.unscanned.add(self.name)


@dataclass(frozen=True)
class Record(Shape):
    """An object."""

    fields: Mapping[str, Shape]
    rest: Shape | None = None

    def walk(self, value: Json, path: Path, seen: Seen) -> None:
        """Walks each member."""
        if not isinstance(value, dict):
            raise unknown(path, "expected an object")
        for key, item in value.items():
            shape = self.fields.get(key, self.rest)
            if shape is WORD and key in self.fields and _fits_word(item):
                continue  # most members are such; no path is made for them
            if shape is None:
                raise unknown((*path, key), "this member is not known, so it is not scanned")
            if isinstance(shape, Free) and key not in self.fields:
                shape.named(key, seen)
            elif key not in self.fields and (not _IS_WORD(key) or len(key) > MAX_NAME):
                raise unknown((*path, key[:40]), "the name of this member is no plain word")
            shape.walk(item, (*path, key), seen)


@dataclass(frozen=True)
class Items(Shape):
    """An array."""

    item: Shape

    def walk(self, value: Json, path: Path, seen: Seen) -> None:
        """Walks each item."""
        if not isinstance(value, list):
            raise unknown(path, "expected an array")
        for i, item in enumerate(value):
            self.item.walk(item, (*path, i), seen)


@dataclass(frozen=True)
class Tagged(Shape):
    """An object whose member `key` says which shape it has; `default` where it is absent."""

    key: str
    kinds: Mapping[str, Shape]
    default: str = ""
    rest: Shape | None = None

    def walk(self, value: Json, path: Path, seen: Seen) -> None:
        """Walks along the shape of its kind."""
        if not isinstance(value, dict):
            raise unknown(path, "expected an object")
        kind = value.get(self.key, self.default)
        shape = self.kinds.get(kind, self.rest) if isinstance(kind, str) else None
        if shape is None:
            raise unknown((*path, self.key), f"there is no known {self.key} {str(kind)[:40]!r} here")
        shape.walk(value, path, seen)


@dataclass(frozen=True)
class Either(Shape):
    """A string, an array or an object; null always fits."""

    text: Shape | None = None
    items: Shape | None = None
    record: Shape | None = None
    scalar: Shape | None = None

    def walk(self, value: Json, path: Path, seen: Seen) -> None:
        """Walks along the shape for its JSON type."""
        if value is None:
            return
        shape = self._for(value)
        if shape is None:
            raise unknown(path, "a value of this type is not known here")
        shape.walk(value, path, seen)

    def _for(self, value: Json) -> Shape | None:
        if isinstance(value, str):
            return self.text
        if isinstance(value, list):
            return self.items
        return self.record if isinstance(value, dict) else self.scalar


@dataclass(frozen=True)
class Body:
    """A parsed body and its texts, in the order in which they stand."""

    value: Json
    parts: Sequence[Part] = field(repr=False)
    unscanned: frozenset[str] = frozenset()

    def replace(self, part: Part, text: str) -> None:
        """Puts `text` in the place of a part.

        Raises:
            UnknownPart: the part is the name of a member.
        """
        if part.path is None:
            raise unknown((), "a name in the body would have to be redacted")
        holder = self.value
        for step in part.path[:-1]:
            holder = holder[step]
        holder[part.path[-1]] = None if part.is_derived else text


WORD = Word()


def words(names: str) -> dict[str, Shape]:
    """Members that are all words, from their names."""
    return dict.fromkeys(names.split(), WORD)


def body_of(value: Json, shape: Shape, may_pass: frozenset[str] = frozenset()) -> Body:
    """The texts of `value` along `shape`; `may_pass` are the names of closed parts that the operator lets through.

    Raises:
        UnknownPart: it does not fit.
    """
    seen = Seen(may_pass)
    shape.walk(value, (), seen)
    return Body(value, tuple(seen.parts), frozenset(seen.unscanned))


def unknown(path: Path, why: str) -> UnknownPart:
    """The error for one place of a body."""
    place = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path).lstrip(".")[:200]
    return UnknownPart(f"the firewall cannot look into {place or 'this body'}", why,
                       "leave it out, or see the reference of the firewall for the parts it knows", reason=place)  # fmt: skip


_TOKEN_MEMBERS = frozenset(["content", "refusal", "token", "logprob", "bytes", "top_logprobs", "id", "rank"])


def _only_tokens(value: Json, path: Path) -> None:
    """Refuses what `_said` would not read: any string but a token, any other member."""
    for key, item in value.items() if isinstance(value, dict) else [("", value)]:
        if key not in _TOKEN_MEMBERS and (key or not isinstance(value, list)):
            raise unknown((*path, key), "log probabilities have no such member")
        if isinstance(item, str) and key != "token":
            raise unknown((*path, key), "log probabilities hold no text but their tokens")
        for inner in item if isinstance(item, list) else [item] if isinstance(item, dict) else ():
            if isinstance(inner, dict):
                _only_tokens(inner, (*path, key))
            elif key != "bytes" or not isinstance(inner, int):
                raise unknown((*path, key), "log probabilities hold tokens, their bytes and numbers")


def is_name(key: str) -> bool:
    """Whether the name of a member is plain enough to go through without being read as a text."""
    return _IS_NAME(key) is not None


def _said(value: Json, member: str) -> Iterator[Any]:
    """The tokens or bytes of an answer in order, then those of the alternatives."""
    later: list[Json] = []
    waiting = [value]
    while waiting:
        item = waiting.pop()
        if isinstance(item, list):
            waiting.extend(reversed(item))
        elif isinstance(item, dict):
            said = item.get(member)
            if member == "token" and isinstance(said, str):
                yield said
            elif member == "bytes" and isinstance(said, list):
                yield from (byte for byte in said if isinstance(byte, int) and 0 <= byte < 256)
            later += [item["top_logprobs"]] if isinstance(item.get("top_logprobs"), list) else []
            waiting.extend(
                found
                for key, found in item.items()
                if key not in (member, "top_logprobs", "bytes") and isinstance(found, (list, dict))
            )
        if not waiting and later:
            waiting, later = later[::-1], []
