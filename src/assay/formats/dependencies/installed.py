"""What is installed in an environment: `METADATA` and `PKG-INFO` files below site-packages.

Source: Core metadata specifications 2.4; PEP 610 (2020) for `direct_url.json`.
"""

from __future__ import annotations

import json

from assay.formats.dependencies.ecosystems import PYPI
from assay.formats.dependencies.values import Dependency, Listing, plain_text, unpinned, unread

_HEAD_BYTES = 256 << 10


def read_metadata(data: bytes, where: str, direct_url: bytes | None = None) -> Listing:
    """Name and version of one installed distribution; an editable one is the user's own project and left out."""
    fields = _fields(data)
    name, version = plain_text(fields.get("name")), plain_text(fields.get("version"))
    if not name:
        return Listing("installed", (unread(where, "its metadata name no distribution"),))
    source = _source(direct_url)
    if source == "editable":
        return Listing("installed", left_out=(name,))
    if source:
        reason = f"installed from a {source}, so its version is only a claim"
        return Listing("installed", (Dependency(PYPI, name, version or None, where, reason, "direct"),))
    found = Dependency(PYPI, name, version, where) if version else unpinned(PYPI, name, where)
    return Listing("installed", (found,))


def _fields(data: bytes) -> dict[str, str]:
    """The first value of each header, up to the first blank line."""
    found: dict[str, str] = {}
    for line in data[:_HEAD_BYTES].decode("utf-8", "replace").splitlines():
        if not line.strip():
            break
        key, colon, value = line.partition(":")
        if colon and not line[0].isspace():
            found.setdefault(key.lower(), value.strip())
    return found


def _source(direct_url: bytes | None) -> str:
    """Where it came from if not from an index; unreadable counts as an address."""
    if direct_url is None:
        return ""
    try:
        said = json.loads(direct_url[:_HEAD_BYTES])
    except (ValueError, RecursionError):
        return "address"
    if not isinstance(said, dict):
        return "address"
    folder = said.get("dir_info")
    if isinstance(folder, dict):
        return "editable" if folder.get("editable") is True else "folder"
    return "repository" if "vcs_info" in said else "address"
