"""The shell of checks that judge one file at a time: bounds on what is read and said, and a verdict for every file.

The look at one file is a function from bytes and path to `Looked`; a file beyond the bound of size is never handed to it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from assay.core.assets import Asset, Entry
from assay.core.checks import Context
from assay.core.outcomes import FileVerdict, Finding, Outcome, Progress, Skipped, Verdict

MAX_FINDINGS = 800
MAX_SKIPS = 25


@dataclass(frozen=True)
class Looked:
    """What one file was found to be; `reason` says why it could not be looked at, or not wholly."""

    format: str
    verdict: Verdict
    findings: tuple[Finding, ...] = ()
    reason: str = ""


Look = Callable[[bytes, str], Looked]


def file_by_file(asset: Asset, context: Context, look: Look, *, max_bytes: int) -> Iterator[Outcome]:
    """Every file in order: its findings up to 800 in all, a skip where it was not looked at whole, its verdict."""
    entries = asset.manifest.entries
    told = skipped = 0
    for number, entry in enumerate(entries):
        yield Progress(number, len(entries), entry.path)
        found = _looked(asset, context, entry, look, max_bytes)
        for finding in found.findings:
            told += 1
            if told <= MAX_FINDINGS:
                yield finding
        if found.reason and (skipped := skipped + 1) <= MAX_SKIPS:
            yield Skipped(entry.path, found.reason)
        yield FileVerdict(entry.path, entry.sha256, found.format, found.verdict)
    if told > MAX_FINDINGS:
        yield Skipped(
            f"{told - MAX_FINDINGS} findings", f"only the first {MAX_FINDINGS} are listed; every verdict counts"
        )
    if skipped > MAX_SKIPS:
        yield Skipped(f"{skipped - MAX_SKIPS} more files", "were not looked at whole; their verdicts say so")
    yield Progress(len(entries), len(entries), "done")


def _looked(asset: Asset, context: Context, entry: Entry, look: Look, max_bytes: int) -> Looked:
    if entry.size > max_bytes:
        return Looked("binary", Verdict.INCONCLUSIVE, reason=f"larger than {max_bytes} bytes")
    with context.open(asset, entry.path) as handle:
        return look(handle.read(entry.size), entry.path)
