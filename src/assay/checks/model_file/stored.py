"""What a scan saw in the files of an asset, as one blob of canonical JSON that later lists judge without the files.

    {"files": [{"facts": [...], "format": "pickle", "path": "model.pkl", "sha256": "...", "size": 312}], "schema": "urn:assay:file-facts:v3"}

The blob is bounded. A file whose facts found no room stands there with `leftOut` and a reason, or not at all; either way it is
not judged again, and never clean by that. Facts hold no bytes of tensors and no credentials (`formats.facts`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from assay.core.assets import Entry
from assay.core.canonical import Json, canonical, parse
from assay.core.digests import Digest
from assay.core.errors import MalformedInput
from assay.formats.facts import SCHEMA, FileFacts, facts_as_json, facts_from_json

MAX_FILE_BYTES = 8 << 20
MAX_BLOB_BYTES = 32 << 20
_FRAME_BYTES = 200


@dataclass(frozen=True)
class StoredFile:
    """One file of a blob; `facts` is None where they were left out, and `why` says so."""

    path: str
    sha256: Digest
    facts: FileFacts | None
    why: str = ""


class Keeper:
    """Gathers the facts of files until the blob is full."""

    def __init__(self) -> None:
        self._rows: list[bytes] = []
        self._left = MAX_BLOB_BYTES - _FRAME_BYTES

    def keep(self, entry: Entry, found: FileFacts) -> None:
        """Adds one file; what is too large is left out and says so."""
        about: dict[str, Json] = {"path": entry.path, "sha256": entry.sha256, "size": entry.size}
        most = min(MAX_FILE_BYTES, self._left)
        row = canonical(about | facts_as_json(found)) if _fits(found, most) else b""
        if not row or len(row) > most:
            row = canonical(about | {"leftOut": f"its facts have more than {most} bytes"})
        if len(row) < self._left:
            self._left -= len(row) + 1
            self._rows.append(row)

    def blob(self) -> bytes:
        """The canonical JSON of everything that was kept."""
        return b'{"files":[' + b",".join(self._rows) + b'],"schema":' + canonical(SCHEMA) + b"}"


def read_stored(data: bytes) -> Mapping[str, StoredFile]:
    """The files of a blob by path.

    Raises:
        MalformedInput: no such blob, or one of another schema, whose readers saw less or otherwise.
    """
    value = parse(data, what="stored facts", max_bytes=MAX_BLOB_BYTES)
    try:
        if value["schema"] != SCHEMA:
            raise MalformedInput("the facts are of another schema", f"{str(value['schema'])[:80]}, not {SCHEMA}")
        return {file.path: file for file in map(_file, value["files"])}
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise MalformedInput("stored facts are malformed", f"{type(error).__name__}: {error}"[:200]) from error


def _file(value: Json) -> StoredFile:
    path, sha256 = str(value["path"]), str(value["sha256"])
    if "leftOut" in value:
        return StoredFile(path, sha256, None, str(value["leftOut"])[:200])
    return StoredFile(path, sha256, facts_from_json(value))


def _fits(found: FileFacts, most: int) -> bool:
    """Whether facts may fit, so that a value repeated a thousand times is never written out to be thrown away."""
    room = most
    for text_bytes in _sizes(found):
        room -= text_bytes
        if room < 0:
            return False
    return True


def _sizes(found: FileFacts) -> Iterator[int]:
    """Least bytes of each part of the facts in JSON."""
    for fact in found.facts:
        yield len(fact.kind) + len(fact.member) + 8
        waiting = [fact.data]
        while waiting:
            for item in waiting.pop():
                if isinstance(item, tuple):
                    waiting.append(item)
                yield len(item) + 3 if isinstance(item, str) else 2
