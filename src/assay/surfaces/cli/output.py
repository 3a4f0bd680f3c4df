"""Writing a report to stdout in the chosen format, and to every file that `--report FORMAT=FILE` names."""

from __future__ import annotations

import shutil

from assay.core.errors import StorageError
from assay.surfaces.cli.session import Session
from assay.surfaces.reports import FORMATS, human, write_report
from assay.surfaces.reports.results import Report


class ReportNotWritten(StorageError):
    """A file that `--report` names could not be written; what the command did stands."""

    code, exit_code = "A-REPORT", 4  # --exit-zero must not hide that nobody can read the result


def write_reports(session: Session, report: Report) -> None:
    """Prints the report and writes its files.

    Raises:
        ReportNotWritten: a file cannot be written.
    """
    print_report(session, report)
    write_report_files(session, report)


def print_report(session: Session, report: Report) -> None:
    """Prints the report in the chosen format."""
    if session.options.format == "human":
        width = min(shutil.get_terminal_size((100, 24)).columns, 120)
        print(human.render(report, color=session.use_color, width=width), end="")
    else:
        print(FORMATS[session.options.format](report), end="")


def write_report_files(session: Session, report: Report) -> None:
    """Writes the files that `--report` names.

    Raises:
        ReportNotWritten: a file cannot be written.
    """
    for name, path in session.reports:
        try:
            write_report(path, FORMATS[name](report))
        except StorageError as error:
            raise ReportNotWritten(error.what, error.why, error.fix) from error
