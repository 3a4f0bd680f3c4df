"""HDF5 files as Keras, PyTables and others write them: every object walked, attributes that loaders act on read, nothing run.

What is told: configurations of Keras (`keras_config`), attributes that hold pickles (PyTables unpickles them), links, raw data
and virtual datasets that lie in other files, data that leave the file or claim to be far larger than it, filters that are not
part of HDF5. Source: HDF5 File Format Specification 4.0; Keras, `legacy_h5_format.py`; CVE-2025-9905 (Lambda layers in H5 files),
CVE-2026-1669 (external data), CVE-2026-0897 (shape bombs).
"""

from __future__ import annotations

from collections.abc import Iterator

from assay.core.errors import MalformedInput
from assay.formats.facts import Fact, FileFacts
from assay.formats.hdf5.cursor import Parts, TooMuch
from assay.formats.hdf5.datatypes import (
    DATATYPE,
    OPAQUE,
    VARIABLE,
    Attribute,
    Datatype,
    count_of,
    read_attribute,
    read_dataspace,
    read_datatype,
)
from assay.formats.hdf5.groups import (
    ATTRIBUTE,
    ATTRIBUTE_INFO,
    EXTERNAL,
    HARD,
    SOFT,
    Link,
    dense,
    links_of,
    tree_entries,
)
from assay.formats.hdf5.headers import SHARED, Message, messages_of, read_superblock
from assay.formats.hdf5.heaps import GlobalHeaps, LocalHeap
from assay.formats.impossible import broken_fact
from assay.formats.json_text import value_of
from assay.formats.keras_config import is_keras, keras_facts
from assay.formats.outside_paths import leads_outside
from assay.formats.pickle_file import PickleFile, acts_as_pickle
from assay.formats.pickle_machine import Data
from assay.formats.secrets.metadata import secrets_in_pairs

CONFIGURATIONS = frozenset({"model_config", "training_config", "layer_config", "config"})
KNOWN_FILTERS = frozenset(
    {1, 2, 3, 4, 5, 6, 305, 307, 32000, 32001, 32004, 32008, 32013, 32015, 32017, 32019, 32022, 32026}
)
DATASPACE, LAYOUT, FILTERS, EXTERNAL_FILES = 0x01, 0x08, 0x0B, 0x07
MAX_TEXTS = 200_000
MAX_FACTS = 200
BOMB_BYTES = 1 << 30
BOMB_RATIO = 1_000


def hdf5_facts(data: Data, at: int = 0) -> FileFacts:
    """Facts of the file whose superblock stands at an offset; never raises for bytes."""
    walk = _Walk(data)
    try:
        walk.run(at)
    except TooMuch as error:
        walk.tell("limit", f"{error.what}: {error.why}")
    except MalformedInput as error:
        walk.facts.append(broken_fact(error))
    return FileFacts("keras-h5" if walk.is_keras else "hdf5", tuple(dict.fromkeys(walk.facts)))


class _Walk:
    """A walk over all objects that hard links reach; one broken object does not end it."""

    def __init__(self, data: Data) -> None:
        self.data, self.facts, self.is_keras = data, list[Fact](), False

    def tell(self, kind: str, words: str, place: str = "", at: int | None = None) -> None:
        if len(self.facts) < MAX_FACTS:
            self.facts.append(Fact(kind, place[:200], at, (words[:300],)))

    def run(self, at: int) -> None:
        start = read_superblock(self.data, at)
        self.cursor, self.heaps = start.cursor, GlobalHeaps(start.cursor)
        self.size = len(self.data) - start.cursor.base
        waiting, seen = [("", start.root)], {start.root}
        while waiting:
            place, address = waiting.pop()
            try:
                for link in self._object(place, address):
                    path = f"{place}/{link.name}"
                    if link.kind != HARD:
                        self._far(link, path)
                    elif link.target not in seen:
                        seen.add(link.target)
                        waiting.append((path, link.target))
            except TooMuch:
                raise
            except MalformedInput as error:
                self.facts += [broken_fact(error, place, address)] if len(self.facts) < MAX_FACTS else []
        if at + start.end < len(self.data) and start.end > 0:
            self.tell("trailing", f"{len(self.data) - at - start.end} bytes follow the end of the file", "", start.end)

    def _object(self, place: str, address: int) -> Iterator[Link]:
        messages = messages_of(self.cursor, address)
        for attribute in self._attributes(messages):
            self._judged(attribute, place)
        if any(message.kind == LAYOUT for message in messages):
            _Dataset(self, place, messages).tell()
        yield from links_of(messages, self.cursor)

    def _attributes(self, messages: list[Message]) -> Iterator[Attribute]:
        for message in messages:
            if message.kind == ATTRIBUTE:
                yield read_attribute(message, self.cursor)
            elif message.kind == ATTRIBUTE_INFO:
                for body in dense(message.body, self.cursor, ATTRIBUTE):
                    yield read_attribute(Message(ATTRIBUTE, 0, body), self.cursor)

    def _judged(self, attribute: Attribute, place: str) -> None:
        """Texts that a loader takes for a configuration or for a pickle."""
        for text in self.texts(attribute):
            said = text.rstrip(b"\0").decode("utf-8", "replace")
            self.facts += secrets_in_pairs([(attribute.name, said)], f"the attribute {attribute.name[:80]}")
            if attribute.name in CONFIGURATIONS or text[:1] == b"{":
                self._configured(attribute.name, text, place)
            elif len(text) > 2 and acts_as_pickle(text):
                found = PickleFile(text).read()
                self.facts += [
                    f._replace(member=f"{place}@{attribute.name}"[:200]) for f in found if f.kind in ("global", "use")
                ][:MAX_FACTS]

    def _configured(self, name: str, text: bytes, place: str) -> None:
        value, problem, kind = value_of(text.rstrip(b"\0"))
        if problem and name in CONFIGURATIONS:
            self.tell(kind, f"the attribute {name} is no JSON: {problem}", place)
        if name in CONFIGURATIONS or is_keras(value):
            self.is_keras = self.is_keras or name in ("model_config", "training_config")
            self.facts += [fact._replace(member=f"{place}@{name}"[:200]) for fact in keras_facts(value)][:MAX_FACTS]

    def texts(self, attribute: Attribute) -> Iterator[bytes]:
        """The items of an attribute that may be text: fixed, opaque, or in a global heap."""
        kind, body = attribute.datatype, attribute.body
        if kind.kind == VARIABLE:
            step = 4 + self.cursor.wide + 4
            if kind.size != step:
                raise MalformedInput("an HDF5 text has a reference of another size", str(kind.size))
            for i in range(min(len(body) // step, MAX_TEXTS)):
                yield from self._from_heap(Parts(body[i * step : (i + 1) * step], self.cursor))
        elif kind.is_text or kind.kind == OPAQUE:
            for i in range(min(count_of(attribute.shape), MAX_TEXTS)):
                yield body[i * kind.size : (i + 1) * kind.size]

    def _from_heap(self, reference: Parts) -> Iterator[bytes]:
        length, address, index = reference.number(4), reference.address(), reference.number(4)
        if address not in (0, self.cursor.nowhere) and length:
            yield self.heaps.object(address, index)[:length]

    def _far(self, link: Link, path: str) -> None:
        if link.kind == EXTERNAL:
            kind = "outside-data" if leads_outside(link.words[0]) else "other-file"
            self.tell(kind, f"a link into the file {link.words[0][:120]!r}", path)
        elif link.kind != SOFT:
            self.tell("unexamined", f"a link of the user-defined type {link.kind}", path)


class _Dataset:
    """Where the data of one dataset lie and whether they can be as large as it says."""

    def __init__(self, walk: _Walk, place: str, messages: list[Message]) -> None:
        self.walk, self.place, self.cursor = walk, place, walk.cursor
        self.by_kind = {message.kind: message for message in reversed(messages)}

    def tell(self) -> None:
        if EXTERNAL_FILES in self.by_kind:
            self._external(Parts(self.by_kind[EXTERNAL_FILES].body, self.cursor))
        for number in self._filters():
            if number not in KNOWN_FILTERS:
                self.walk.tell("unexamined", f"a filter of number {number}, which a plug-in would run", self.place)
        shape = read_dataspace(self.by_kind[DATASPACE].body, self.cursor) if DATASPACE in self.by_kind else None
        kind = Datatype(0, 1, False)
        if DATATYPE in self.by_kind:
            message = self.by_kind[DATATYPE]
            kind = read_datatype(message.body, self.cursor, is_shared=bool(message.flags & SHARED))
        wanted = count_of(shape) * kind.size
        if wanted > BOMB_BYTES and wanted > BOMB_RATIO * self.walk.size:
            self.walk.tell("tensors", f"a dataset of {wanted} bytes in a file of {self.walk.size}", self.place)
        self._layout(Parts(self.by_kind[LAYOUT].body, self.cursor), wanted)

    def _filters(self) -> Iterator[int]:
        """Filter pipeline, versions 1 and 2: id, length of the name, flags, count of values, name, values."""
        if FILTERS not in self.by_kind:
            return
        parts = Parts(self.by_kind[FILTERS].body, self.cursor)
        version, count = parts.number(1), parts.number(1)
        parts.take(6 if version == 1 else 0)
        for _ in range(count):
            number = parts.number(2)
            length = parts.number(2) if version == 1 or number >= 256 else 0
            parts.take(2)
            values = parts.number(2)
            parts.take((length + 7) // 8 * 8 if version == 1 else length)
            parts.take(4 * values + (4 if version == 1 and values % 2 else 0))
            yield number

    def _external(self, parts: Parts) -> None:
        parts.take(4)
        parts.number(2)
        used, heap = parts.number(2), LocalHeap(self.cursor, parts.address())
        for _ in range(used):
            self.cursor.spend()
            name = heap.text(parts.length())
            parts.length()
            parts.length()
            kind = "outside-data" if leads_outside(name) else "other-file"
            self.walk.tell(kind, f"its bytes are those of the file {name[:120]!r}", self.place)

    def _layout(self, parts: Parts, wanted: int) -> None:
        version = parts.number(1)
        if version in (1, 2):
            rank, kind, _ = parts.number(1), parts.number(1), parts.take(5)
            if kind == 0:
                return
            address = parts.address()
            size = wanted
        elif version in (3, 4, 5):
            kind = parts.number(1)
            if kind == 0:
                return
            rank = parts.number(1) if kind == 2 and version == 3 else 0
            address = self._modern_address(parts, kind, version)
            size = parts.length() if kind == 1 else wanted
        else:
            raise MalformedInput("an HDF5 layout has an unknown version", str(version))
        if kind == 3:
            self._virtual(address, parts.number(4))
        elif address == self.cursor.nowhere or EXTERNAL_FILES in self.by_kind:
            return
        elif kind == 1:
            self._contiguous(address, size, wanted)
        elif version < 4:
            self._chunks(address, rank)
        elif address >= self.walk.size:
            self.walk.tell("tensors", "its index lies outside the file", self.place)

    def _modern_address(self, parts: Parts, kind: int, version: int) -> int:
        """Of a chunked layout of version 4 and later the address is the last field; the index itself is not walked."""
        if kind == 2 and version >= 4:
            return int.from_bytes(parts.rest()[-self.cursor.wide :], "little")
        return parts.address()

    def _contiguous(self, address: int, size: int, wanted: int) -> None:
        if address + size > self.walk.size or size < wanted:
            self.walk.tell("tensors", f"{wanted} bytes at {address} do not fit the file or their storage", self.place)

    def _chunks(self, address: int, rank: int) -> None:
        """Keys of a chunk tree: bytes, filters skipped, one offset of 8 bytes for each dimension and one more."""
        for chunk in tree_entries(self.cursor, address, 1, 8 + 8 * rank):
            if chunk >= self.walk.size:
                self.walk.tell("tensors", "a chunk lies outside the file", self.place)
                return

    def _virtual(self, address: int, index: int) -> None:
        body = self.walk.heaps.object(address, index)
        file = body[1 + self.cursor.long :].partition(b"\0")[0].decode("utf-8", "backslashreplace")
        kind = "outside-data" if leads_outside(file) else "other-file"
        self.walk.tell(kind, f"a virtual dataset over {file[:120]!r} and maybe further files", self.place)
