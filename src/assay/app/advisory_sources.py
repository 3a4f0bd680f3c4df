"""The files of an advisory archive: a folder, a git checkout, a zip or a tar, each member bounded and named.

Archives are hostile: a member is read up to the size of one record, links and devices are named and not followed,
nothing is written to disk, and what inflates beyond a limit ends the import with an error.
"""

from __future__ import annotations

import bz2
import gzip
import lzma
import os
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from io import RawIOBase
from pathlib import Path
from typing import IO, Any

from assay.core.errors import MalformedInput, StorageError, UsageError
from assay.formats.dependencies.osv import MAX_RECORD_BYTES

MAX_FILES = 2_000_000
MAX_INFLATED_BYTES = 16 << 30
_MAX_EXTENDED_HEADER = 1 << 20
_SUFFIXES = (".json", ".yaml", ".yml")
_BROKEN = (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, OSError, RuntimeError, NotImplementedError,
           ValueError, UnicodeError, tarfile.TarError, OverflowError)  # fmt: skip


@dataclass(frozen=True)
class Item:
    """A file that may hold a record, or the reason why it could not be read."""

    path: str
    data: bytes = b""
    problem: str = ""


def files_in(source: Path) -> Iterator[Item]:
    """Every file with the suffix of a record, hidden folders left out.

    Raises:
        UsageError: there is nothing at `source`.
        MalformedInput: it is no folder and no archive, or an archive that is broken or too large.
    """
    try:
        mode = source.stat().st_mode
    except OSError as error:
        raise UsageError(f"there is nothing to import at {source}", str(error)) from error
    if stat.S_ISDIR(mode):
        yield from _bounded(_folder(source))
    elif stat.S_ISREG(mode):
        yield from _bounded(_file(source))
    else:
        raise UsageError(f"{source} is no file or folder", "devices and pipes are refused")


def _bounded(items: Iterator[Item]) -> Iterator[Item]:
    for count, item in enumerate(items):
        if count >= MAX_FILES:
            raise MalformedInput("too many records", f"at most {MAX_FILES} are read")
        yield item


def _file(source: Path) -> Iterator[Item]:
    with source.open("rb") as file:
        start = file.read(6)
    if source.suffix.lower() in _SUFFIXES and not start.startswith(b"PK"):
        yield _plain(source, source.name)
        return
    try:
        if start.startswith(b"PK"):
            yield from _zip(source)
        else:
            yield from _tar(source, start)
    except _BROKEN as error:
        raise MalformedInput(f"{source.name} is no whole archive", f"{type(error).__name__}: {error}"[:200],
                             "fetch it again; zip, tar, tar.gz, tar.bz2 and tar.xz are read") from error  # fmt: skip


def _folder(root: Path) -> Iterator[Item]:
    waiting = [("", root)]
    while waiting:
        prefix, folder = waiting.pop()
        try:
            with os.scandir(folder) as listed:
                items = sorted(listed, key=lambda item: item.name)
        except OSError as error:
            raise StorageError(f"cannot list {folder}", str(error)) from error
        for item in items:
            path = _printable(f"{prefix}{item.name}")
            if item.name.startswith("."):
                continue
            if item.is_dir(follow_symlinks=False):
                waiting.append((f"{path}/", Path(item.path)))
            elif item.name.lower().endswith(_SUFFIXES):
                yield (
                    _plain(Path(item.path), path)
                    if item.is_file(follow_symlinks=False)
                    else Item(path, problem="it is a link or no regular file")
                )


def _plain(file: Path, path: str) -> Item:
    try:
        with file.open("rb") as handle:
            return _read(handle, path)
    except OSError as error:
        return Item(path, problem=str(error.strerror or error))


def _zip(source: Path) -> Iterator[Item]:
    total = 0
    with zipfile.ZipFile(source) as archive:
        for member in archive.infolist():
            if member.is_dir() or not _is_wanted(member.filename):
                continue
            path = _printable(member.filename)
            try:
                with archive.open(member) as handle:
                    item = _read(handle, path)
            except _BROKEN as error:
                item = Item(path, problem=f"{type(error).__name__}: {error}"[:200])
            total += len(item.data)
            if total > MAX_INFLATED_BYTES:
                raise MalformedInput(f"{source.name} is too large", f"it inflates beyond {MAX_INFLATED_BYTES} bytes")
            yield item


class _Measured(RawIOBase):
    """An inflating stream that refuses to grow beyond the limit."""

    def __init__(self, inner: IO[bytes]) -> None:
        self._inner = inner
        self._total = 0
        self.tail = b""

    def read(self, size: int = -1, /) -> bytes:
        data = self._inner.read(size)
        self._total += len(data)
        if self._total > MAX_INFLATED_BYTES:
            raise tarfile.ReadError(f"it inflates beyond {MAX_INFLATED_BYTES} bytes")
        self.tail = (self.tail + data)[-tarfile.BLOCKSIZE :]
        return data


class _Member(tarfile.TarInfo):
    """A member whose extended headers are bounded: tarfile would read them into memory, whatever their size."""

    def _proc_member(self, archive: tarfile.TarFile) -> Any:  # Any: the overridden method is not in the stubs
        extended = (tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE, tarfile.GNUTYPE_LONGNAME,
                    tarfile.GNUTYPE_LONGLINK)  # fmt: skip
        if self.type in extended and self.size > _MAX_EXTENDED_HEADER:
            raise tarfile.ReadError("an extended header is too large")
        return super()._proc_member(archive)  # type: ignore[misc]  # as above


def _tar(source: Path, start: bytes) -> Iterator[Item]:
    with _inflated(source, start) as inner:
        archive = tarfile.open(fileobj=(measured := _Measured(inner)), mode="r|", tarinfo=_Member)  # noqa: SIM115 - `inner` is closed
        for member in archive:
            archive.members = []  # type: ignore[attr-defined]  # else every member stays in memory
            path = _printable(member.name)
            if not _is_wanted(member.name) or member.isdir():
                continue
            if not member.isreg():
                yield Item(path, problem="it is a link or no regular file")
            elif member.size > MAX_RECORD_BYTES:
                yield Item(path, problem=f"larger than {MAX_RECORD_BYTES} bytes")
            else:
                handle = archive.extractfile(member)
                yield _read(handle, path) if handle else Item(path, problem="it cannot be read")
        # NOTE: tarfile takes a file that was cut between two members for a whole one.
        if measured.tail.strip(b"\0"):
            raise tarfile.ReadError("it has no end mark, so members may be missing")


def _inflated(source: Path, start: bytes) -> IO[bytes]:
    if start.startswith(b"\x1f\x8b"):
        return gzip.open(source, "rb")  # type: ignore[return-value]  # it reads like a file
    if start.startswith(b"BZh"):
        return bz2.open(source, "rb")
    if start.startswith(b"\xfd7zXZ"):
        return lzma.open(source, "rb")
    return source.open("rb")


def _read(handle: IO[bytes], path: str) -> Item:
    data = handle.read(MAX_RECORD_BYTES + 1)
    return (
        Item(path, data)
        if len(data) <= MAX_RECORD_BYTES
        else Item(path, problem=f"larger than {MAX_RECORD_BYTES} bytes")
    )


def _is_wanted(name: str) -> bool:
    return name.lower().endswith(_SUFFIXES) and not any(
        step.startswith(".") and step != "." for step in name.split("/")
    )


def _printable(path: str) -> str:
    """A path that can be stored and shown: control characters and undecodable bytes become escapes."""
    with suppress(UnicodeEncodeError):
        if path.isprintable() and path.encode() and len(path) <= 400:
            return path
    return "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in path)[:400]
