"""Writing a report to stdout in the chosen format, and to every file that `--report FORMAT=FILE` names."""

from __future__ import annotations

import shutil
from pathlib import Path

from assay.core.errors import UsageError
from assay.surfaces.cli.session import Session
from assay.surfaces.reports import FORMATS, human, write_report
from assay.surfaces.reports.results import Report


def write_reports(session: Session, report: Report) -> None:
    """Prints the report and writes its files; the exit code never depends on any of it.

    Raises:
        UsageError: a `--report` that is not FORMAT=FILE.
        StorageError: a file cannot be written.
    """
    files = [_target(text) for text in session.options.report]
    if session.options.format == "human":
        width = min(shutil.get_terminal_size((100, 24)).columns, 120)
        print(human.render(report, color=session.use_color, width=width), end="")
    else:
        print(FORMATS[session.options.format](report), end="")
    for name, path in files:
        write_report(path, FORMATS[name](report))


def _target(text: str) -> tuple[str, Path]:
    name, found, path = text.partition("=")
    if not found or name not in FORMATS or not path:
        raise UsageError(
            f"--report {text!r} is not FORMAT=FILE", f"formats are {', '.join(FORMATS)}", "--report sarif=assay.sarif"
        )
    return name, Path(path)
