"""The forms by the name that `--format` and `--report` know, and the file that a report is written to."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import MappingProxyType
from typing import Protocol

from assay.core.errors import StorageError
from assay.surfaces.reports import github, gitlab, html, human, json_object, junit, markdown, sarif
from assay.surfaces.reports.results import Report


class Renderer(Protocol):
    """Makes the text of one form. `human.render` also takes `color` and `width`."""

    def __call__(self, report: Report, /) -> str: ...


FORMATS: Mapping[str, Renderer] = MappingProxyType(
    {
        "human": human.render,
        "json": json_object.render,
        "sarif": sarif.render,
        "junit": junit.render,
        "github": github.render,
        "gitlab": gitlab.render,
        "markdown": markdown.render,
        "html": html.render,
    }
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
