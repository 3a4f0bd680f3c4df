"""Takes out of a text what hits ask to be redacted, and leaves a mark that says what stood there."""

from __future__ import annotations

from collections.abc import Iterable

from assay.runtime.firewall.values import Action, Hit


def redacted(text: str, hits: Iterable[Hit]) -> str:
    """`text` with every hit whose action is `redact` replaced by `[rule]`; overlapping hits are one."""
    parts, at = [], 0
    wanted = sorted((hit for hit in hits if hit.action is Action.REDACT), key=lambda hit: (hit.start, -hit.end))
    for hit in wanted:
        if hit.start >= at:
            parts += [text[at : hit.start], mark_of(hit)]
        at = max(at, hit.end)
    return "".join([*parts, text[at:]])


def mark_of(hit: Hit) -> str:
    """What stands in place of a hit; it holds nothing of the text."""
    return f"[{hit.rule}]"
