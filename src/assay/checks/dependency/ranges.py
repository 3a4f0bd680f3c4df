"""Whether an OSV record affects a version: `versions` or `ranges`, as the format's own algorithm says.

Source: OSV format 1.7, "Evaluation". Two deviations, both towards "affected": at one version a `fixed` event counts
before an `introduced` one, and a locally built version (`2.0+cu118`) is also read as the public one.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from assay.formats.dependencies.osv import Affected, Range
from assay.formats.dependencies.versions import Key, Ordering, ordering_of, readings, same_version

# At equal versions: a fix ends what came before, then a new range begins, then an inclusive end closes it.
_AT_ONE_VERSION = {"fixed": 0, "introduced": 1, "last_affected": 2}


@dataclass(frozen=True)
class Reach:
    """`hits` is None where it cannot be told; then `reason` says why. `fixed` are fixes above the version."""

    hits: bool | None
    reason: str = ""
    fixed: tuple[str, ...] = ()


def reach(affected: Affected, version: str) -> Reach:
    """Whether `version` is affected. Listed versions decide first, and need no ordering."""
    ecosystem, listed = affected.ecosystem, frozenset(affected.versions)
    candidates = readings(ecosystem, version)
    hits = any(same_version(ecosystem, candidate) in listed for candidate in candidates)
    reasons = [affected.broken] if affected.broken else []
    fixed: list[str] = []
    ordered = [one for one in affected.ranges if one.type != "GIT"]
    for one in ordered:
        ordering = ordering_of(ecosystem, one.type)
        if ordering is None:
            reasons.append(f"versions of {ecosystem} cannot be ordered by this release")
            continue
        try:
            keys = [ordering(candidate) for candidate in candidates]
            hits = hits or any(_is_within(key, one, ordering) for key in keys)
            fixed += [text for what, text in one.events if what == "fixed" and ordering(text) > keys[-1]]
        except ValueError as error:
            reasons.append(f"a version or range cannot be understood: {str(error)[:120]}")
    if len(ordered) < len(affected.ranges) and not ordered:
        reasons.append("only commits are given, and no range of versions")
    if hits:
        return Reach(True, fixed=tuple(dict.fromkeys(fixed)))
    return Reach(None, reasons[0]) if reasons else Reach(False)


def _is_within(key: Key, one: Range, ordering: Ordering) -> bool:
    events = [
        (what, None if what == "introduced" and text == "0" else ordering(text))
        for what, text in one.events
        if text != "*"
    ]
    limits = [bound for what, bound in events if what == "limit"]
    if limits and not any(key < limit for limit in limits):
        return False
    inside = False
    for what, bound in _sorted(event for event in events if event[0] != "limit"):
        if what == "introduced" and (bound is None or key >= bound):
            inside = True
        elif (what == "fixed" and key >= bound) or (what == "last_affected" and key > bound):
            inside = False
    return inside


def _sorted(events: Iterable[tuple[str, Key]]) -> list[tuple[str, Key]]:
    """From the lowest version up; `introduced: 0`, whose bound is None, comes before every version."""
    listed = sorted(events, key=lambda event: _AT_ONE_VERSION[event[0]])
    first = [event for event in listed if event[1] is None]
    return first + sorted((event for event in listed if event[1] is not None), key=lambda event: event[1])
