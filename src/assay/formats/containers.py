"""What lies in archives and compressed streams: every member is read as a file of its own, however it is packed or named.

`inner` reads a member's bytes one level deeper; one budget counts for all of them. Raw tensors are not interpreted, unless they
begin as a stream that a loader would run. Nothing is extracted to disk.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from assay.formats.budget import Budget
from assay.formats.compressed import unpacked
from assay.formats.facts import Fact, FileFacts, within
from assay.formats.npy_file import MAGIC as NPY_MAGIC
from assay.formats.npy_file import MAX_HEADER_BYTES, read_npy_header
from assay.formats.pickle_file import PickleFile, acts_as_pickle
from assay.formats.pickle_machine import Data
from assay.formats.seven_zip_file import seven_zip_members
from assay.formats.skops_file import skops_facts
from assay.formats.tar_walk import TarMember, tar_members
from assay.formats.torch_archive import is_small_record, is_tensor_record, kind_of, script_facts, without_script_classes
from assay.formats.zip_headers import LOCAL
from assay.formats.zip_members import Content, contents
from assay.formats.zip_walk import Member, walk

MAX_PROBED_BYTES = 1 << 20
MAX_SMALL_BYTES = 4096
MAX_COPIED_BYTES = 64 << 20
MAX_NAME = 200

Inner = Callable[[Data, str], FileFacts]


class Archives:
    """The archives of one file."""

    def __init__(self, inner: Inner, budget: Budget) -> None:
        self._inner, self._budget = inner, budget

    def zip(self, data: Data, base: int = 0, stop: int | None = None) -> FileFacts:
        """Facts of a zip archive between two offsets."""
        found = walk(data, base, stop)
        if found is None:
            return FileFacts(
                "zip", (Fact("malformed", "", None, ("it has no directory",)), *PickleFile(data).search(base))
            )
        kind = kind_of(member.name for member in found.members)
        facts, room, packed = list(found.facts), self._budget.inflated, 0
        for member in found.members:
            packed += member.header.packed
            facts += self._counted() or self._zip_member(data, member, kind)
            if self._budget.spent:
                break
        if self._budget.is_bomb(packed, size := room - self._budget.inflated) and any(
            fact.kind == "unrecognised" for fact in facts
        ):
            facts.append(_bomb(packed, size))
        if kind == "skops":
            facts += _skops(data[base:stop] if base or stop else data)
        if not found.members:
            facts.append(Fact("malformed", "", None, ("an archive without members",)))
        return FileFacts(kind, tuple(facts))

    def tar(self, data: Data) -> Iterator[Fact]:
        """Facts of a tar archive."""
        for item in tar_members(data):
            yield from self._counted() or ([item] if isinstance(item, Fact) else self._part(data, item))
            if self._budget.spent:
                return

    def seven_zip(self, data: Data) -> Iterator[Fact]:
        """Facts of a 7z archive."""
        for item in seven_zip_members(data, self._budget):
            yield from self._counted() or (
                [item]
                if isinstance(item, Fact)
                else within(item.name[:MAX_NAME], self._inner(item.data, item.name).facts)
            )
            if self._budget.spent:
                return

    def compressed(self, data: Data, name: str, path: str) -> FileFacts:
        """Facts of compressed streams; the format is that of the compression alone if nothing at all comes out."""
        found = unpacked(data, name, self._budget.room(len(data)))
        size, is_bomb = len(found.data), self._budget.is_bomb(len(data), len(found.data))
        problem = [Fact(found.problem[0], "", found.trail, (found.problem[1],))] if found.problem else []
        if found.trail is not None:
            problem += PickleFile(data).search(found.trail)
        with self._budget.holding(found.data):
            if self._budget.spent or not len(found.data):
                return FileFacts(name, (*problem, *self._counted()))
            inner = self._inner(found.data, _stem(path))
            if is_bomb and _is_of_no_format(inner.facts):
                problem.append(_bomb(len(data), size))
            facts = [f for f in inner.facts if not problem or f.kind != "unrecognised"]
            return FileFacts(f"{inner.format}+{name}", (*problem, *within(f"<{name}>", facts)))

    def _counted(self) -> list[Fact]:
        """Counts a member; the bound that it passes, if any."""
        self._budget.members -= 1
        return [Fact("limit", "", None, (self._budget.spent,))] if self._budget.spent else []

    def _part(self, data: Data, item: TarMember) -> list[Fact]:
        """A member whose bytes stand in the data as they are; large archives are read where they are."""
        name, end = item.name[:MAX_NAME], item.start + item.size
        if item.size > MAX_COPIED_BYTES and data[item.start : item.start + 4] == LOCAL:
            return within(name, self.zip(data, item.start, end).facts)
        if item.size > self._budget.room(item.size):
            return [
                Fact(
                    "limit",
                    name,
                    item.start,
                    (f"a member of {item.size} bytes is too large to be read inside another file",),
                )
            ]
        with self._budget.holding(content := data[item.start : end]):
            return within(name, self._inner(content, item.name).facts)

    def _zip_member(self, data: Data, member: Member, kind: str) -> list[Fact]:
        """Facts of one member, read as both of its headers say."""
        name, start, size = member.name, member.header.start, member.header.size
        if name.endswith("/") and size == member.header.packed == 0:
            return []
        if member.is_plain and is_tensor_record(name, kind):
            return within(name, _raw_record(data, start, size))
        if member.is_plain and size > MAX_COPIED_BYTES:
            if _is_raw_array(data, start, size):
                return []
            if data[start : start + 4] == LOCAL:
                return self._part(data, TarMember(name, start, size))
        facts: list[Fact] = []
        for content in contents(data, member, self._budget):
            size, inner = len(content.data), self._content(content, name, kind)
            facts += [*content.facts, *inner]
            if self._budget.is_bomb(member.header.packed, size) and _is_of_no_format(inner):
                facts.append(_bomb(member.header.packed, size))
        return within(name[:MAX_NAME], facts)

    def _content(self, content: Content, name: str, kind: str) -> list[Fact]:
        data = content.data
        if is_small_record(name, kind) and len(data) < MAX_SMALL_BYTES and not acts_as_pickle(data):
            return []
        if kind == "torchscript" and name.endswith(".py"):
            return list(script_facts(data[:].decode("utf-8", "replace")))
        if is_tensor_record(name, kind) or (kind == "torchscript" and name.endswith(".debug_pkl")):
            return _raw_record(data, 0, len(data))
        if kind == "skops" and name == "schema.json":
            return []
        inner = self._inner(data, name)
        return without_script_classes(inner.facts) if kind == "torchscript" else list(inner.facts)


def _is_of_no_format(facts: Iterable[Fact]) -> bool:
    return any(fact.kind == "unrecognised" and not fact.member for fact in facts)


def _bomb(packed: int, size: int) -> Fact:
    """Zeros of an array pack as tightly, but they are an array; what is nothing was made to fill memory (42.zip, CWE-409)."""
    return Fact("bomb", "", None, (f"{packed} bytes become {size} or more, which are of no format",))


def _raw_record(data: Data, start: int, size: int) -> list[Fact]:
    """Tensor bytes: not interpreted, unless they begin as something that a loader would run."""
    mark = data[start : start + 2]
    if mark[:1] != b"\x80" or mark[1:2] > b"\x05":
        return []
    return PickleFile(data[start : start + min(size, MAX_PROBED_BYTES)]).search(0)


def _is_raw_array(data: Data, start: int, size: int) -> bool:
    """Whether a large member is an npy file of numbers, whole and with nothing behind it."""
    head = data[start : start + MAX_HEADER_BYTES + 12]
    if not head.startswith(NPY_MAGIC):
        return False
    header = read_npy_header(head)
    return not header.has_objects and header.start + header.data_bytes == size


def _skops(data: Data) -> list[Fact]:
    facts = skops_facts(data)
    found = [Fact("skops-type", "", None, (named.loader, named.qualified)) for named in facts.types]
    return found + [Fact("unexamined", "", None, (f"skops: {problem}",)) for problem in facts.problems]


def _stem(path: str) -> str:
    """The name without the suffix of its compression."""
    stem, dot, suffix = path.rpartition(".")
    return stem if dot and suffix.lower() in ("gz", "bz2", "xz", "z", "lzma", "zst", "lz4") else path
