"""The forms by the name that `--format` and `--report` know, and the file that a report is written to."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from types import MappingProxyType
from typing import Protocol

from assay.core.errors import StorageError
from assay.surfaces.reports import human, json_object
from assay.surfaces.reports.results import Report


class Renderer(Protocol):
    """Makes the text of one form. `human.render` also takes `color` and `width`."""

    def __call__(self, report: Report, /) -> str: ...


def _late(name: str) -> Renderer:
    """The renderer of a module that is imported when it is first asked for: pages and their plots cost a tenth of a scan's start."""

    def render(report: Report, /) -> str:
        module = import_module(f"assay.surfaces.reports.{name}")
        return str(module.render(report))

    return render


FORMATS: Mapping[str, Renderer] = MappingProxyType(
    {"human": human.render, "json": json_object.render}
    | {name: _late(name) for name in ("sarif", "junit", "github", "gitlab", "markdown", "html")}
)


def write_report(path: Path, text: str) -> None:
    """Writes a report whole or not at all: an older file at `path` stays until the new one is on the disk.

    Raises:
        StorageError: the folder is missing or not writable, the disk is full, or `path` is a folder.
    """
    temporary = ""
    try:
        descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name[:100]}.", suffix=".tmp", dir=path.parent)
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(text.encode("utf-8", "backslashreplace"))
            stream.flush()
            os.fchmod(stream.fileno(), 0o644)
            os.fsync(stream.fileno())
        Path(temporary).replace(path)
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        with suppress(OSError, ValueError):
            Path(temporary).unlink()
        raise StorageError(
            f"cannot write the report {str(path)!r}", str(error), "give a file in a folder that you may write to"
        ) from error
