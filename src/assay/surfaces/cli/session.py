"""What every command shares: the workspace and project that it works in, and how it prints."""

from __future__ import annotations

import argparse
import getpass
import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from assay.app.project import Project, find_project
from assay.app.workspace import Passphrase, Workspace, find_folder, no_passphrase, passphrase_from_fd
from assay.core.assets import Reference
from assay.core.canonical import Json
from assay.core.digests import Digest, short
from assay.core.errors import UsageError
from assay.evidence.ledger import Receipt
from assay.registry.queries import Version


@dataclass
class Session:
    """One run of a command. `options` are its parsed arguments."""

    options: argparse.Namespace
    formats: Sequence[str] = ("human", "json")

    def __post_init__(self) -> None:
        if self.options.format not in self.formats:
            raise UsageError(f"this command has no format {self.options.format!r}", f"it has {', '.join(self.formats)}")

    @property
    def is_json(self) -> bool:
        """Whether stdout carries JSON alone."""
        return bool(self.options.format == "json")

    @property
    def use_color(self) -> bool:
        """Whether escape codes may be printed."""
        return sys.stdout.isatty() and not self.options.no_color and not os.environ.get("NO_COLOR")

    @cached_property
    def project(self) -> Project:
        """The nearest project file."""
        return find_project(Path.cwd())

    @cached_property
    def folder(self) -> Path:
        """The workspace's folder: flag, then ASSAY_WORKSPACE, then `.assay` upward."""
        named = self.options.workspace or os.environ.get("ASSAY_WORKSPACE")
        return Path(named).absolute() if named else find_folder(Path.cwd())

    @cached_property
    def passphrase(self) -> Passphrase:
        """Where passphrases come from: a descriptor, else the terminal, else nowhere. Never an argument."""
        from_fd = passphrase_from_fd()
        if from_fd is not None:
            return from_fd
        if sys.stdin.isatty():
            return lambda name: getpass.getpass(f"passphrase of key {name}: ").encode()
        return no_passphrase

    def open(self) -> Workspace:
        """The workspace, opened; close it with `with`."""
        return Workspace(self.folder, passphrase=self.passphrase)

    def show(self, schema: str, value: Mapping[str, Json], text: Callable[[], str] | str) -> None:
        """Prints the result: JSON with its schema, or text for people."""
        if self.is_json:
            print(json.dumps({"schema": f"assay/{schema}/v1", **value}, ensure_ascii=False))
        else:
            print(text if isinstance(text, str) else text())

    def note(self, text: str) -> None:
        """A line for people on stderr."""
        if not self.options.quiet:
            print(text, file=sys.stderr)


def resolve(workspace: Workspace, project: Project, text: str) -> Version:
    """The version that an argument names; a bare name of the project file means the bytes that it points to now.

    Raises:
        UsageError: nothing of that name is registered.
    """
    return (
        workspace.registry.resolve(Reference.parse(text))
        if "@" in text or text not in project.assets
        else _newest(workspace, text)
    )


def _newest(workspace: Workspace, name: str) -> Version:
    found = workspace.registry.find(Reference(name))
    if found is None:
        raise UsageError(f"{name} is not registered yet", fix=f"run `assay register {name}`")
    return found


def receipt_json(receipt: Receipt | None) -> Json:
    """The statement digest that a changing command prints."""
    return f"sha256:{receipt.digest}" if receipt else None


def receipt_text(receipt: Receipt | None) -> str:
    """The same for people."""
    return f"statement {short(receipt.digest)}… is ledger entry {receipt.index}" if receipt else "nothing was logged"


def table(rows: Sequence[Sequence[str]], head: Sequence[str]) -> str:
    """Aligned columns; control characters are made visible so that no name can move the cursor."""
    clean = [[_inert(cell) for cell in row] for row in (head, *rows)]
    widths = [max(len(row[i]) for row in clean) for i in range(len(head))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in clean
    )


def digest_text(digest: Digest | None) -> str:
    """Twelve characters and an ellipsis, or a dash."""
    return f"{short(digest)}…" if digest else "-"


def _inert(text: str) -> str:
    return "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in text)
