"""Reads any file as every loader might: all formats whose marks fit, inside one another, with bounds. Bytes in, facts out.

    facts = read_facts(data, "models/m.pkl")          # FileFacts("pickle", (Fact("global", ...), ...))

The format is found by content. Every reader whose mark stands at the start is run, and a pickle is looked for where any other
format is, since its instructions are letters; an archive is also found at the end and behind a prefix. What two readers
understand is two formats at once, and that is told. Nothing is imported, unpickled, rendered, run, or written to disk.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator

from assay.core.errors import MalformedInput
from assay.formats.binary_models import known_binary, known_message
from assay.formats.budget import MAX_DEPTH, Budget
from assay.formats.chat_template import template_facts
from assay.formats.compressed import compression_of
from assay.formats.containers import Archives
from assay.formats.facts import Fact, FileFacts, storable, within
from assay.formats.gguf_file import MAGIC as GGUF_MAGIC
from assay.formats.gguf_file import gguf_facts
from assay.formats.hdf5.headers import begins_at
from assay.formats.hdf5_file import hdf5_facts
from assay.formats.impossible import broken_fact
from assay.formats.npy_file import MAGIC as NPY_MAGIC
from assay.formats.npy_file import MAX_HEADER_BYTES, read_npy_header
from assay.formats.pickle_file import PickleFile, acts_as_pickle, runs_as_pickle
from assay.formats.pickle_machine import Data
from assay.formats.safetensors_file import check_safetensors, looks_like_safetensors
from assay.formats.secrets.metadata import secrets_in_pairs, secrets_in_text_file
from assay.formats.seven_zip_file import MAGIC as SEVEN_ZIP_MAGIC
from assay.formats.tar_walk import is_tar
from assay.formats.tensorflow_file import DATA_NAME
from assay.formats.text_file import DATA_SUFFIXES, text_facts
from assay.formats.zip_headers import END, LOCAL, end_of_archive
from assay.formats.zip_walk import walk

MIN_TAR_BYTES = 512
MAX_PICKLE_GUESS = 64 << 20
MAX_FACTS = 100_000
_EXPECTED = {
    ".safetensors": {"safetensors"}, ".gguf": {"gguf"}, ".npy": {"npy"}, ".npz": {"npz", "zip"}, ".onnx": {"onnx"}, ".json": {"json", "keras-config"},
    ".skops": {"skops"}, ".keras": {"keras"}, ".h5": {"hdf5", "keras-h5"},
    ".hdf5": {"hdf5", "keras-h5"}, ".txt": {"text", "lightgbm", "json", "yaml"}, ".md": {"text"},
}  # fmt: skip
_NOT_UNDERSTOOD = frozenset({"malformed", "impossible", "unrecognised", "broken"})
Found = tuple[str, Callable[[], FileFacts]]


def read_facts(data: Data, path: str) -> FileFacts:
    """All facts of one file's bytes, as evidence may hold them; never raises for bytes, whatever they are."""
    if not len(data) and not path.lower().endswith(DATA_SUFFIXES):
        return FileFacts("empty", (Fact("unrecognised", "", None, ("the file is empty",)),))
    found = _Reading(Budget(), 0).read(data, path)
    if len(found.facts) > MAX_FACTS:
        found = FileFacts(
            found.format, (*found.facts[:MAX_FACTS], Fact("limit", "", None, (f"more than {MAX_FACTS} facts",)))
        )
    suffix = "." + path.lower().rpartition(".")[2]
    if suffix in _EXPECTED and found.format not in _EXPECTED[suffix] and not found.facts:
        words = f"named {suffix}, holds {found.format or 'no known format'}"
        return FileFacts(found.format, (Fact("misnamed", "", None, (words,)),))
    return storable(found)


class _Reading:
    """Reads one file, or one member at some depth of it."""

    def __init__(self, budget: Budget, depth: int) -> None:
        self._budget, self._depth = budget, depth
        self._archives = Archives(self._inner, budget)

    def read(self, data: Data, path: str) -> FileFacts:
        """Facts of the data as every reader sees them."""
        if self._depth > MAX_DEPTH:
            return FileFacts("nested", (Fact("bomb", "", None, (f"nested more than {MAX_DEPTH} levels deep",)),))
        if len(data) < MIN_TAR_BYTES and data[:1] == b"\x80" and b"\x00" <= data[1:2] <= b"\x05" and data[8:9] != b"{":
            return self._with_archive(data, self._one("pickle", lambda: self._pickle(data)))  # no other mark fits here
        found = [one for name, read in self._by_start(data, path) if (one := self._one(name, read)).format != "zlib"]
        understood = [one for one in found if not any(f.kind in _NOT_UNDERSTOOD for f in one.facts)]
        first = (
            understood[0] if understood else found[0] if found else self._one("binary", lambda: self._rest(data, path))
        )
        facts = list(first.facts)
        for other in understood[1:]:
            facts += [
                Fact("polyglot", "", 0, (f"{first.format} and {other.format}, by their beginnings",)),
                *other.facts,
            ]
        if found and first.format not in _PICKLES and (acting := self._acting(data)):
            facts += [Fact("polyglot", "", 0, (f"{first.format} and a pickle that runs something",)), *acting]
        return self._with_archive(data, FileFacts(first.format, tuple(facts)))

    def _inner(self, data: Data, path: str) -> FileFacts:
        return _Reading(self._budget, self._depth + 1).read(data, path)

    def _one(self, name: str, read: Callable[[], FileFacts]) -> FileFacts:
        try:
            return read()
        except MalformedInput as error:
            return FileFacts(name, (broken_fact(error),))

    def _by_start(self, data: Data, path: str) -> Iterator[Found]:
        """The readers whose mark stands at the start, the most certain first."""
        start = data[:600]
        if start[:4] == LOCAL and path.lower().endswith(".distcp"):
            yield "torch-distributed", lambda: FileFacts("torch-distributed", tuple(self._sequence(data)))
        elif start[:4] in (LOCAL, END):
            yield "zip", lambda: self._archives.zip(data)
        if start.startswith(NPY_MAGIC):
            yield "npy", lambda: FileFacts("npy", tuple(_npy(data)))
        if start.startswith(GGUF_MAGIC):
            yield "gguf", lambda: FileFacts("gguf", tuple(gguf_facts(data)))
        if looks_like_safetensors(start, len(data), path):
            yield "safetensors", lambda: _safetensors(data)
        if is_tar(start):
            yield "tar", lambda: FileFacts("tar", tuple(self._archives.tar(data)))
        if start.startswith(SEVEN_ZIP_MAGIC):
            yield "7z", lambda: FileFacts("7z", tuple(self._archives.seven_zip(data)))
        if binary := known_binary(data, len(data)):
            yield binary.format, lambda: binary
        if at := begins_at(data):
            yield "hdf5", lambda: _hdf5_behind(data, at)
        if start[:1] == b"\x80" and b"\x00" <= start[1:2] <= b"\x05":
            yield "pickle", lambda: self._pickle(data)
        if name := compression_of(start):
            yield name, lambda: self._archives.compressed(data, name, path)

    def _sequence(self, data: Data) -> Iterator[Fact]:
        """Archives one after the other, as `torch.distributed.checkpoint` writes them; each is read as a file of its own."""
        at = 0
        while at < len(data):
            end = end_of_archive(data, at)
            if end is None:
                yield Fact("trailing", "", at, (f"{len(data) - at} bytes follow the last archive",))
                yield from _searched(data[at:])
                return
            yield from within(f"<archive at {at}>", self._archives.zip(data, at, end).facts)
            at = end

    def _rest(self, data: Data, path: str) -> FileFacts:
        """No magic: an old pickle, a protocol buffer, text, or nothing that is known."""
        self._budget.parsed -= len(data)
        if self._budget.spent:
            return FileFacts("binary", (Fact("limit", "", None, (self._budget.spent,)),))
        if len(data) <= MAX_PICKLE_GUESS and acts_as_pickle(data):
            return self._pickle(data)
        if (found := known_message(data, path)) is not None:
            return found
        if DATA_NAME.fullmatch(path):
            return FileFacts("tensor-data", tuple(_searched(data)))
        if len(data) <= MAX_PICKLE_GUESS and (text := text_facts(data[:], path)) is not None:
            return FileFacts(text.format, (*text.facts, *secrets_in_text_file(data[:], path)))
        words = ("of no format that this version knows",)
        return FileFacts("binary", (Fact("unrecognised", "", None, words), *_searched(data)))

    def _pickle(self, data: Data) -> FileFacts:
        reader = PickleFile(data, lambda inner: list(self._inner(inner, "").facts), self._budget)
        facts = reader.read()
        return FileFacts(reader.format, tuple(facts))

    def _acting(self, data: Data) -> list[Fact]:
        """What a loader of pickles would run of data that are something else; empty if nothing."""
        if data[:1] == b"P" or not runs_as_pickle(data):  # a persistent id at the start stops every loader
            return []
        facts = [
            f for f in self._pickle(data).facts if f.kind == "global" or (f.kind == "use" and f.data[0] != "PERSID")
        ]
        return facts if any(f.kind == "global" for f in facts) else []

    def _with_archive(self, data: Data, first: FileFacts) -> FileFacts:
        """Adds the archive that readers find which begin at a file's end, unless it is a part that was read already."""
        if data[:4] in (LOCAL, END) or data.rfind(END, max(0, len(data) - 22 - 0xFFFF)) < 0:
            return first
        place = walk(data)
        if place is None:
            return first
        if first.format in _WITH_PARTS or "+" in first.format:
            inside = walk(data, place.starts_at, place.ends_at)
            if inside is not None and not inside.facts:  # a whole archive that is a part of the other, and no more
                return FileFacts(
                    first.format, (*first.facts, *self._archives.zip(data, place.starts_at, place.ends_at).facts)
                )
        hidden = self._archives.zip(data)
        if first.format in ("", "binary", "text"):
            return FileFacts(hidden.format, (*hidden.facts, Fact("gap", "", 0, ("bytes stand before the archive",))))
        both = Fact("polyglot", "", None, (f"{first.format} and {hidden.format}, for readers that begin at the end",))
        return FileFacts(first.format, (both, *first.facts, *hidden.facts))


_PICKLES = ("pickle", "joblib", "torch-legacy")
_WITH_PARTS = frozenset({"tar", "7z", "npy", *_PICKLES})


def _searched(data: Data) -> list[Fact]:
    """Streams inside of what nobody understands; only what would act is told."""
    return PickleFile(data).search(0)


def _hdf5_behind(data: Data, at: int) -> FileFacts:
    """The HDF5 file behind a block of 512 bytes or a doubling of it, where its readers look too."""
    behind = hdf5_facts(data, at)
    return FileFacts(behind.format, (*behind.facts, *PickleFile(data[:at]).search(0)))


def _npy(data: Data) -> Iterator[Fact]:
    header = read_npy_header(data[: MAX_HEADER_BYTES + 12])
    if header.has_objects:
        yield from PickleFile(data).read(header.start)
    elif header.start + header.data_bytes > len(data):
        raise MalformedInput("npy data are cut short", f"{header.data_bytes} bytes expected")
    elif header.start + header.data_bytes < len(data):
        end = header.start + header.data_bytes
        yield Fact("trailing", "", end, (f"{len(data) - end} bytes follow the array",))
        yield from PickleFile(data).search(end)


def _safetensors(data: Data) -> FileFacts:
    found = check_safetensors(io.BytesIO(data) if isinstance(data, bytes) else _as_file(data), len(data))
    texts = [
        fact
        for key, text in found.metadata.items()
        if "{%" in text or "{{" in text
        for fact in template_facts(text, key[:80])
    ]
    return FileFacts("safetensors", (*texts, *secrets_in_pairs(found.metadata.items(), "__metadata__")))


def _as_file(data: Data) -> io.BytesIO:
    """A mapped file's header as a file; the tensors themselves are not read."""
    length = int.from_bytes(data[:8], "little")
    return io.BytesIO(data[: 8 + min(length, 100 << 20)])
