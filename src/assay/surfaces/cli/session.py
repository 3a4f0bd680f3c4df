"""What every command shares: the workspace and project that it works in, and how it prints."""

from __future__ import annotations

import getpass
import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TypeVar

from assay.app.project import Project, ProjectAsset, find_project
from assay.app.workspace import Passphrase, Workspace, find_folder, no_passphrase, passphrase_from_fd
from assay.core.assets import Reference
from assay.core.canonical import Json
from assay.core.digests import Digest, short
from assay.core.errors import MalformedInput, UsageError
from assay.evidence.files import manifest_of
from assay.evidence.ledger import Receipt
from assay.registry.queries import Version
from assay.surfaces.cli.output import Output
from assay.surfaces.cli.visible import visible

T = TypeVar("T")
MAX_COUNT = 100_000


@dataclass
class Session(Output):
    """One run of a command, with the workspace and project that it works in."""

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
            print(json.dumps({"schema": f"assay/{schema}/v1", **value}))
        else:
            print(visible(text if isinstance(text, str) else text()))

    def note(self, text: str) -> None:
        """A line for people on stderr."""
        if not self.options.quiet:
            print(visible(text), file=sys.stderr)


def typed(read: Callable[[str], T]) -> Callable[[str], T]:
    """A type for `add_argument`: an argument that `read` cannot make sense of is wrong use, never a denial."""

    def convert(text: str) -> T:
        try:
            return read(text)
        except MalformedInput as error:
            raise UsageError(error.what, error.why, error.fix) from error

    return convert


def count(text: str) -> int:
    """A type for `add_argument`: a whole number of days, seconds or processes that makes sense."""
    if not text.isdecimal() or not 1 <= int(text[:9]) <= MAX_COUNT:
        raise UsageError(f"{text[:40]!r} is no number of this kind", f"expected a whole number from 1 to {MAX_COUNT}")
    return int(text[:9])


def resolve(workspace: Workspace, project: Project, text: str) -> Version:
    """The version that an argument names; a bare name of the project file means the bytes that it points to now.

    Raises:
        UsageError: nothing of that name is registered, or not these bytes.
    """
    if "@" in text or text not in project.assets:
        return workspace.registry.resolve(Reference.parse(text))
    return _pointed_to(workspace, project.asset(text))


def _pointed_to(workspace: Workspace, asset: ProjectAsset) -> Version:
    """Hashed now, without the cache: what is gated under a bare name is what lies there, not what once did."""
    about = asset.about
    newest = workspace.registry.find(Reference(about.name))
    if newest is None:
        raise UsageError(f"{about.name} is not registered yet", fix=f"run `assay register {about.name}`")
    manifest = manifest_of(asset.path, about.kind, ignored=about.ignored, symlinks=about.symlinks)
    found = workspace.registry.find(Reference(about.name, digest=manifest.digest))
    if found is None:
        raise UsageError(f"the bytes of {about.name} at {asset.path} are not registered", f"the newest version is {newest}",
                         f"run `assay register {about.name}`, or say {newest}")  # fmt: skip
    return found


def statement_named(workspace: Workspace, text: str) -> Digest:
    """The digest of a logged statement from the digest itself or its first six or more characters.

    Raises:
        UsageError: none of the ledger's statements begins so, or several do.
    """
    wanted = text.removeprefix("sha256:")
    if not 6 <= len(wanted) <= 64 or not all(c in "0123456789abcdef" for c in wanted):
        raise UsageError(f"{text[:80]!r} is no statement digest", "expected 6 to 64 lower-case hex characters",
                         "see `assay log ASSET` for digests")  # fmt: skip
    query = "SELECT DISTINCT lower(hex(statement)) FROM entry WHERE lower(hex(statement)) LIKE ? LIMIT 2"
    with workspace.store.reading() as db:
        rows = db.execute(query, (wanted + "%",)).fetchall()
    if len(rows) != 1:
        count = "several statements begin" if rows else "no statement of the ledger begins"
        raise UsageError(f"{count} with {wanted}", fix="see `assay log ASSET` for digests")
    return str(rows[0][0])


def receipt_json(receipt: Receipt | None) -> Json:
    """The statement digest that a changing command prints."""
    return f"sha256:{receipt.digest}" if receipt else None


def receipt_text(receipt: Receipt | None) -> str:
    """The same for people."""
    return f"statement {short(receipt.digest)}… is ledger entry {receipt.index}" if receipt else "nothing was logged"


def table(rows: Sequence[Sequence[str]], head: Sequence[str]) -> str:
    """Aligned columns; control characters are made visible so that no name can move the cursor."""
    clean = [[visible(cell).replace("\n", "\\x0a") for cell in row] for row in (head, *rows)]
    widths = [max(len(row[i]) for row in clean) for i in range(len(head))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in clean
    )


def digest_text(digest: Digest | None) -> str:
    """Twelve characters and an ellipsis, or a dash."""
    return f"{short(digest)}…" if digest else "-"


def new_passphrase(name: str) -> bytes:
    """A passphrase for a new key: from ASSAY_PASSPHRASE_FD, else asked twice on the terminal.

    Raises:
        UsageError: there is nobody to ask, or the two differ.
    """
    if (from_fd := passphrase_from_fd()) is not None:
        return from_fd(name)
    if not sys.stdin.isatty():
        raise UsageError(f"a passphrase is needed for key {name}", "there is no terminal to ask on",
                         "pass --no-passphrase to keep it unencrypted, set ASSAY_PASSPHRASE_FD, or run it in a terminal")  # fmt: skip
    first = getpass.getpass(f"new passphrase for key {name}: ")
    if not first or first != getpass.getpass("again: "):
        raise UsageError("the passphrases differ or are empty", fix="run it again")
    return first.encode()
