"""Names of other files that a model would have its loader open: inside the model's folder, or leading outside."""

from __future__ import annotations

import re


def leads_outside(place: str) -> bool:
    """Whether a path is absolute, climbs, names a drive or a URL, or would be cut at a zero byte."""
    return (
        place.startswith(("/", "\\", "~"))
        or ".." in re.split(r"[/\\]", place)
        or re.match(r"[A-Za-z]:|\w+://", place) is not None
        or "\x00" in place
    )
