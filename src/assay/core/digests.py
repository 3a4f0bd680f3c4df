"""Digests: the names of things. Inside, a digest is 64 lower-case hex characters; people see `sha256:` before it."""

from __future__ import annotations

import hashlib
import re

from assay.core.canonical import Json, canonical
from assay.core.errors import MalformedInput

Digest = str

_HEX64 = re.compile(r"[0-9a-f]{64}")


def sha256(data: bytes) -> Digest:
    """The digest of `data`."""
    return hashlib.sha256(data).hexdigest()


def digest_of(value: Json) -> Digest:
    """The digest of the canonical JSON of `value`."""
    return sha256(canonical(value))


def is_digest(text: object) -> bool:
    """Whether `text` is 64 lower-case hex characters."""
    return isinstance(text, str) and _HEX64.fullmatch(text) is not None


def read_digest(text: str) -> Digest:
    """Accepts `HEX` or `sha256:HEX`.

    Raises:
        MalformedInput: anything else.
    """
    found = text.removeprefix("sha256:")
    if not is_digest(found):
        raise MalformedInput(f"{text[:80]!r} is not a digest", "expected sha256: and 64 lower-case hex characters")
    return found


def shown(digest: Digest) -> str:
    """The long form that people and JSON outputs see."""
    return f"sha256:{digest}"


def short(digest: Digest) -> str:
    """The first twelve characters, for tables."""
    return digest[:12]
