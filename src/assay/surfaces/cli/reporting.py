"""Writes the report of a scan in the formats that were asked for, without opening a workspace."""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from pathlib import Path

from assay.core.errors import UsageError
from assay.surfaces.reports import FORMATS, human, write_report
from assay.surfaces.reports.results import ScanReport


def emit(options: argparse.Namespace, report: ScanReport) -> None:
    """Prints the report and writes every `--report FORMAT=FILE`.

    Raises:
        UsageError: a `--report` that is not FORMAT=FILE.
        StorageError: a file cannot be written.
    """
    targets = [text.partition("=") for text in options.report]
    for name, _, path in targets:
        if name not in FORMATS or not path:
            raise UsageError(
                f"--report {name!r} is not FORMAT=FILE",
                f"formats are {', '.join(FORMATS)}",
                "--report sarif=assay.sarif",
            )
    if options.format in ("human", "text"):
        is_colored = sys.stdout.isatty() and not options.no_color and not os.environ.get("NO_COLOR")
        width = min(shutil.get_terminal_size((100, 24)).columns, 120)
        print(human.render(report, color=is_colored, width=width), end="")
    else:
        print(FORMATS[options.format](report), end="")
    for name, _, path in targets:
        write_report(Path(path), FORMATS[name](report))
