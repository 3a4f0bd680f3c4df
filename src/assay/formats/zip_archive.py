"""A zip archive for readers that must be able to trust it: anything that `zip_walk` finds odd refuses it whole.

Two readers that trust different headers see different files, so an archive is accepted only where all of them see the same,
no bytes lie before, between or behind the members, and nothing is larger than the bounds. Nothing is written to disk.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from assay.core.assets import check_path
from assay.core.errors import MalformedInput
from assay.formats.budget import MAX_INFLATED_BYTES, MAX_RATIO, RATIO_FREE_BYTES, Budget
from assay.formats.pickle_machine import Data
from assay.formats.zip_members import DEFLATED, contents
from assay.formats.zip_walk import STORED, Member, walk


@dataclass(frozen=True)
class Archive:
    """An archive whose headers agree; `members` by name."""

    members: Mapping[str, Member]
    data: Data = field(repr=False)

    def read(self, name: str, max_bytes: int) -> bytes:
        """One member, its checksum verified.

        Raises:
            MalformedInput: no such member, larger than `max_bytes`, or its data or checksum is wrong.
        """
        if name not in self.members:
            raise MalformedInput("archive member is missing", repr(name[:120]))
        if self.members[name].header.size > max_bytes:
            raise MalformedInput(f"archive member {name[:120]!r} is too large", f"at most {max_bytes} bytes are read")
        for content in contents(self.data, self.members[name], Budget(max_bytes + 1)):
            if content.facts:
                raise MalformedInput(f"archive member {name[:120]!r} cannot be read", str(content.facts[0].data[0]))
            return bytes(content.data[:])
        raise MalformedInput(f"archive member {name[:120]!r} cannot be read", "it has no content")


def open_archive(data: Data) -> Archive:
    """Walks an archive and checks every header; reads no member.

    Raises:
        MalformedInput: not a zip, headers that disagree, names that collide or climb, bytes that no member owns,
            encryption, an unusual compression, too many members or too much data.
    """
    found = walk(data)
    if found is None:
        raise MalformedInput("archive cannot be read", "it has no directory")
    if found.facts:
        fact = found.facts[0]
        raise MalformedInput(f"archive is refused: {fact.kind}", f"{fact.data[0]} {fact.member[:120]}".strip())
    members = found.members
    total, stored = sum(m.header.size for m in members), sum(m.header.packed for m in members)
    if total > MAX_INFLATED_BYTES or (total > RATIO_FREE_BYTES and total > MAX_RATIO * max(1, stored)):
        raise MalformedInput("archive is a bomb", f"{stored} bytes would inflate to {total}")
    for member in members:
        check_path(member.name.removesuffix("/"))
        if member.header.method not in (STORED, DEFLATED):
            raise MalformedInput("archive member uses another compression", f"method {member.header.method}")
    return Archive({member.name: member for member in members}, data)
