"""How a command prints: its format, and the files that `--report FORMAT=FILE` names. Needs no workspace."""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from assay.core.errors import StorageError, UsageError
from assay.surfaces.reports import FORMATS, human, write_report
from assay.surfaces.reports.results import Report

PLAIN = ("human", "json")


@dataclass
class Output:
    """The parsed arguments of a command, as far as they say how it prints.

    Raises:
        UsageError: a format or `--report` that the command does not have, before it does anything.
    """

    options: argparse.Namespace
    formats: Sequence[str] = PLAIN
    reports: list[tuple[str, Path]] = field(default_factory=list)

    def __post_init__(self) -> None:
        known = ", ".join(self.formats)
        if self.options.format not in self.formats:
            raise UsageError(f"this command has no format {self.options.format!r}", fix=f"use one of {known}")
        for text in self.options.report:
            name, found, path = text.partition("=")
            if not found or name not in self.formats or not path or len(self.formats) == 2:
                why = "this command writes no reports" if len(self.formats) == 2 else f"formats are {known}"
                fix = (
                    "redirect stdout, or leave --report out" if len(self.formats) == 2 else "--report sarif=assay.sarif"
                )
                raise UsageError(f"--report {text!r} cannot be written", why, fix)
            self.reports.append((name, Path(path)))

    @property
    def is_json(self) -> bool:
        """Whether stdout carries JSON alone."""
        return bool(self.options.format == "json")

    @property
    def use_color(self) -> bool:
        """Whether escape codes may be printed."""
        return sys.stdout.isatty() and not self.options.no_color and not os.environ.get("NO_COLOR")


class ReportNotWritten(StorageError):
    """A file that `--report` names could not be written; what the command did stands."""

    code, exit_code = "A-REPORT", 4  # --exit-zero must not hide that nobody can read the result


def write_reports(output: Output, report: Report) -> None:
    """Prints the report and writes its files.

    Raises:
        ReportNotWritten: a file cannot be written.
    """
    print_report(output, report)
    write_report_files(output, report)


def print_report(output: Output, report: Report) -> None:
    """Prints the report in the chosen format."""
    if output.options.format == "human":
        width = min(shutil.get_terminal_size((100, 24)).columns, 120)
        print(human.render(report, color=output.use_color, width=width), end="")
    else:
        print(FORMATS[output.options.format](report), end="")


def write_report_files(output: Output, report: Report) -> None:
    """Writes the files that `--report` names.

    Raises:
        ReportNotWritten: a file cannot be written.
    """
    for name, path in output.reports:
        try:
            write_report(path, FORMATS[name](report))
        except StorageError as error:
            raise ReportNotWritten(error.what, error.why, error.fix) from error
