"""A dependency file together with those that it includes, which must lie inside the same root.

Reading is handed in, so that a folder, an asset and a test all work alike.
"""

from __future__ import annotations

import posixpath
from collections.abc import Callable
from dataclasses import replace

from assay.formats.dependencies.recognise import read_listing
from assay.formats.dependencies.values import Listing, unread

MAX_INCLUDES = 200
Read = Callable[[str], bytes | None]


def listings_of(path: str, read: Read, seen: set[str]) -> list[Listing]:
    """The listing of `path`, relative to the root, and of all it includes; `seen` holds what was read before.

    An include that leads out of the root, is an address or is not there becomes an unknown dependency at its line.
    """
    found: list[Listing] = []
    waiting = [(path, path)]
    while waiting:
        wanted, place = waiting.pop()
        if wanted in seen:
            continue
        data = read(wanted) if len(seen) <= MAX_INCLUDES * 1000 and len(found) <= MAX_INCLUDES else None
        if data is None:
            found.append(Listing("unread", (unread(place, f"{wanted[:120]!r} cannot be read"),)))
            continue
        seen.add(wanted)
        listing = read_listing(data, wanted)
        refused = []
        for target, line in listing.includes:
            inside = _inside(wanted, target)
            if inside is None:
                refused.append(unread(line, f"includes {target[:80]!r}, which lies outside or is an address"))
            else:
                waiting.append((inside, line))
        found.append(replace(listing, dependencies=(*listing.dependencies, *refused)))
    return found


def _inside(path: str, target: str) -> str | None:
    if not target or "://" in target or target.startswith(("/", "~", "$")) or "\\" in target or "\x00" in target:
        return None
    joined = posixpath.normpath(posixpath.join(posixpath.dirname(path), target))
    return None if joined.startswith("../") or joined in ("..", ".") else joined
