"""`assay scan`: what files are, without a workspace, and whether loading them could run code."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from datetime import date
from pathlib import Path
from typing import cast

from assay.app.scan import Scan, Scanned, Waiver, exit_code, read_waivers, scan
from assay.app.watched import Limits
from assay.checks.model_file.format import ID, finding_of, findings_of
from assay.checks.model_file.lists import Lists, read_list
from assay.core.digests import Digest
from assay.core.errors import UsageError
from assay.core.outcomes import FileVerdict, Skipped
from assay.surfaces.cli.output import Output, write_reports
from assay.surfaces.reports import FORMATS, Found, ScanReport, Waived

ABOUT = {
    "scan": "Says of every file, offline and without running it: clean, malicious, unknown or inconclusive, and why."
}
REFRESH_S = 0.1


def add_arguments(command: str, parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of `scan`."""
    parser.add_argument("paths", nargs="+", metavar="PATH", help="files and folders")
    parser.add_argument("--no-hash", action="store_true", help="do not compute sha256; nothing can be waived then")
    parser.add_argument(
        "--lists",
        metavar="FILE",
        action="append",
        default=[],
        help="one more allow-list, FILE or FILE@sha256:HEX; may be repeated",
    )
    parser.add_argument(
        "--suppressions", metavar="FILE", help="waivers: a YAML list of {sha256, rule, reason, expires}"
    )
    parser.add_argument(
        "--jobs", type=_positive, metavar="N", help="workers; by default one, or all processors for much data"
    )
    parser.add_argument(
        "--file-seconds", type=_positive, metavar="S", default=10, help="processor time for one file, hashing apart"
    )
    parser.add_argument("--file-megabytes", type=_positive, metavar="MB", default=512, help="memory for one file")


def _positive(text: str) -> int:
    """A whole number of at least one."""
    number = int(text)
    if number < 1:
        raise ValueError(text)
    return number


def run(command: str, options: argparse.Namespace) -> int:
    """Scans and prints; the exit code does not depend on the format."""
    output = Output(options, tuple(FORMATS))
    if options.suppressions and options.no_hash:
        raise UsageError("--suppressions needs hashes", "waivers are bound to the content", "leave out --no-hash")
    waivers = read_waivers(Path(options.suppressions)) if options.suppressions else ()
    limits = Limits(options.file_seconds, options.file_megabytes << 20)
    how = Scan(Lists(map(read_list, options.lists)), waivers, not options.no_hash, limits, options.jobs)
    shown = _Counter(not options.quiet and sys.stderr.isatty())
    found = list(scan(options.paths, how, shown.step))
    shown.end()
    write_reports(output, report_of(found, waivers))
    return exit_code(found)


def report_of(found: Sequence[Scanned], waivers: Sequence[Waiver] = ()) -> ScanReport:
    """The report of a scan: files, findings, and what was waived or had expired."""
    files = tuple(FileVerdict(f.path, cast(Digest, f.sha256), f.judgement.format, f.judgement.verdict) for f in found)
    return ScanReport(
        files,
        tuple(_findings(found)),
        tuple(_expired(waivers)),
        exit_code=exit_code(found),
        waived=tuple(_waived(found)),
    )


def _findings(found: Iterable[Scanned]) -> Iterator[Found]:
    for item in found:
        for finding in findings_of(item.path, item.judgement):
            yield Found(item.path, ID, finding)


def _waived(found: Iterable[Scanned]) -> Iterator[Waived]:
    for item in found:
        for problem, waiver in item.waived:
            yield Waived(Found(item.path, ID, finding_of(item.path, problem)), waiver.reason, str(waiver.expires))


def _expired(waivers: Iterable[Waiver]) -> Iterator[Skipped]:
    for waiver in waivers:
        if waiver.expires < date.today():
            yield Skipped(
                f"waiver of {waiver.rule} for {waiver.sha256[:12]}…", f"expired on {waiver.expires} and is ignored"
            )


class _Counter:
    """One line on a terminal that counts files."""

    def __init__(self, is_shown: bool) -> None:
        self._is_shown, self._count, self._next = is_shown, 0, 0.0

    def step(self, path: str) -> None:
        """A file begins."""
        self._count += 1
        if self._is_shown and time.monotonic() >= self._next:
            self._next = time.monotonic() + REFRESH_S
            print(f"\r\x1b[K{self._count} files", end="", file=sys.stderr, flush=True)

    def end(self) -> None:
        """Clears the line."""
        if self._is_shown:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)
