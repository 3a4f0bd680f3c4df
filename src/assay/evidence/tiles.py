"""The ledger as a folder of files that any static server can serve and any C2SP client can audit.

    checkpoint                the newest signed note; written last
    tile/L/N[.p/W]            hashes: 256 roots of subtrees of 256**L leaves, or the W that there are
    tile/entries/N[.p/W]      the leaves themselves, each behind its length as two big-endian bytes

N is written in groups of three digits, `x001/x234/067` for 1234067. A file once written never changes: another width
has another name. Writing is atomic file by file, and everything is on disk before the checkpoint that needs it, so a
reader never sees a checkpoint without its tiles.

Reading trusts nothing but the checkpoint, and that only after `verify_checkpoint`: `read_tiles` first derives the root
from the hash tiles, then hands out each bundle of leaves after its hashes led to that root.

Source: C2SP tlog-tiles (https://c2sp.org/tlog-tiles), sections "Merkle Tree" and "Log entries".
"""

from __future__ import annotations

import errno
import os
import secrets
import stat
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Final

from assay.core.errors import LedgerDamaged, MalformedInput, StorageError
from assay.evidence.merkle import HASH_BYTES, RootBuilder, leaf_hash
from assay.evidence.note import MAX_NOTE_BYTES, Checkpoint, open_note, parse_checkpoint

TILE_WIDTH: Final = 256
MAX_LEAF_BYTES: Final = 0xFFFF
MAX_LEAVES: Final = 10_000_000

_CHECKPOINT: Final = "checkpoint"
_LENGTH_BYTES: Final = 2


@dataclass(frozen=True, slots=True)
class TiledLog:
    """What a folder holds: the note, still to be verified, and the leaves of its checkpoint in order.

    `leaves` can be read once. Every leaf it gives is already proven to be in the checkpoint; it raises MalformedInput
    at the first bundle that is not, and StorageError where a file cannot be read.
    """

    note: bytes
    checkpoint: Checkpoint
    leaves: Iterator[bytes]


@dataclass(frozen=True, slots=True)
class _File:
    """A file of the log, by its path from the folder of the log."""

    path: str
    data: bytes


def tile_path(level: int, index: int, width: int = TILE_WIDTH) -> str:
    """Where the hash tile `index` of `level` is stored, `tile/0/x001/234.p/5` for one that is 5 hashes wide."""
    return f"tile/{level}/{_numbered(index, width)}"


def entries_path(index: int, width: int = TILE_WIDTH) -> str:
    """Where the leaves of the level 0 tile `index` are stored."""
    return f"tile/entries/{_numbered(index, width)}"


# -- writing


def export_tiles(directory: Path, size: int, leaves: Iterable[bytes], checkpoint_note: bytes) -> None:
    """Writes the first `size` of `leaves` and their hash tiles, then the note, which must be of exactly this tree.

    Needs memory for one bundle. Files that are there with the same bytes are left alone, so an export can be repeated,
    continued after a crash, or grown; older partial tiles stay for readers of older checkpoints.

    Leaves that turn out wrong at the end leave their tiles behind, which no checkpoint names and later exports refuse.

    Raises:
        LedgerDamaged: the leaves do not lead to the root in the note, a file there has other bytes, or the checkpoint
            there is of a longer or another log. The checkpoint there is left as it was.
        MalformedInput: the note is not a checkpoint of this size, or a leaf exceeds 65,535 bytes.
        StorageError: the folder cannot be written.
    """
    checkpoint = parse_checkpoint(open_note(checkpoint_note).text)
    if checkpoint.size != size:
        raise MalformedInput("cannot export the log", f"the note is of size {checkpoint.size}, not {size}")
    previous = _published(directory)
    tree, touched = RootBuilder(), {directory}
    try:
        directory.mkdir(parents=True, exist_ok=True)
        for file in _files(_compared(islice(leaves, size), tree, previous)):
            touched |= _write_once(directory, file)
        _expect_same(checkpoint, tree)
        for folder in touched:
            _sync_folder(folder)
        _replace(directory / _CHECKPOINT, checkpoint_note)
        _sync_folder(directory)
    except OSError as error:
        raise StorageError(
            f"cannot export the log to {directory}", str(error), "free space, or check rights"
        ) from error


def _files(leaves: Iterable[bytes]) -> Iterator[_File]:
    """All files of a log but the checkpoint: entries and level 0 as they come, then the levels above."""
    full_roots: list[bytes] = []
    for index, batch in enumerate(_batches(leaves)):
        hashes = [leaf_hash(leaf) for leaf in batch]
        yield _File(entries_path(index, len(batch)), b"".join(_framed(leaf) for leaf in batch))
        yield _File(tile_path(0, index, len(batch)), b"".join(hashes))
        if len(batch) == TILE_WIDTH:
            full_roots.append(_root(hashes))
    yield from _upper_tiles(full_roots)


def _upper_tiles(roots: list[bytes]) -> Iterator[_File]:
    """The tiles of level 1 and up over the roots of all full level 0 tiles."""
    level = 1
    while roots:
        above: list[bytes] = []
        for index, batch in enumerate(_batches(roots)):
            yield _File(tile_path(level, index, len(batch)), b"".join(batch))
            if len(batch) == TILE_WIDTH:
                above.append(_root(batch))
        level, roots = level + 1, above


def _compared(leaves: Iterable[bytes], tree: RootBuilder, previous: Checkpoint | None) -> Iterator[bytes]:
    """Passes the leaves on, growing `tree`, and holds it against the checkpoint that is already published."""
    for leaf in leaves:
        yield leaf
        tree.add(leaf_hash(leaf))
        if previous is not None and tree.size == previous.size:
            _expect_same(previous, tree)
    if previous is not None and tree.size < previous.size:
        raise LedgerDamaged("cannot export the log", f"a checkpoint of {previous.size} leaves is already published")


def _expect_same(checkpoint: Checkpoint, tree: RootBuilder) -> None:
    if (tree.size, tree.root()) != (checkpoint.size, checkpoint.root):
        raise LedgerDamaged(
            "cannot export the log",
            f"the {tree.size} leaves given do not lead to the checkpoint of {checkpoint.size} leaves",
            "verify the ledger, and compare it with the newest checkpoint kept elsewhere",
        )


def _framed(leaf: bytes) -> bytes:
    if len(leaf) > MAX_LEAF_BYTES:
        raise MalformedInput("cannot export the log", f"a leaf of {len(leaf)} bytes exceeds {MAX_LEAF_BYTES}")
    return len(leaf).to_bytes(_LENGTH_BYTES, "big") + leaf


def _published(directory: Path) -> Checkpoint | None:
    if not os.path.lexists(directory / _CHECKPOINT):
        return None
    return parse_checkpoint(open_note(_read(directory, _CHECKPOINT, MAX_NOTE_BYTES)).text)


def _write_once(directory: Path, file: _File) -> set[Path]:
    """Writes a file that never changes; returns the folders to sync."""
    path = directory / file.path
    if os.path.lexists(path):
        _expect_published(directory, file)
        return set()
    path.parent.mkdir(parents=True, exist_ok=True)
    _replace(path, file.data)
    return {directory / folder for folder in Path(file.path).parents}


def _expect_published(directory: Path, file: _File) -> None:
    try:
        why = "" if _read(directory, file.path, len(file.data)) == file.data else "with other bytes"
    except MalformedInput as error:
        why = f"but {error.why}"
    if why:
        fix = "compare both logs; where this folder is the wrong one, export to an empty folder"
        raise LedgerDamaged("cannot export the log", f"{file.path} was published {why}", fix)


def _replace(path: Path, data: bytes) -> None:
    """Puts `data` at `path` in one step: whole and on disk, or not at all. Readable as the umask allows."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}.tmp")
    try:
        with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666), "wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)
    except BaseException:
        with suppress(FileNotFoundError):
            temporary.unlink()
        raise


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


# -- reading


def read_tiles(directory: Path, max_leaves: int = MAX_LEAVES) -> TiledLog:
    """Opens an exported log and verifies all its hash tiles against the root in its checkpoint, before it returns.

    The signature of the note is for the caller: `verify_checkpoint(log.note, origin, public, verify)`. Files that the
    checkpoint does not need are not looked at. Needs 32 bytes of memory for 256 leaves, and those of one bundle.

    Raises:
        MalformedInput: a file is missing, cut short, too long, edited, a symbolic link or no regular file, or the
            checkpoint names more than `max_leaves`.
        StorageError: a file cannot be read.

    Source: C2SP tlog-tiles, "Merkle Tree" and "Partial Tiles".
    """
    note = _read(directory, _CHECKPOINT, MAX_NOTE_BYTES)
    checkpoint = parse_checkpoint(open_note(note).text)
    if checkpoint.size > max_leaves:
        raise _damaged(_CHECKPOINT, f"it names {checkpoint.size} leaves, more than the {max_leaves} allowed")
    roots = [_root(_hashes(directory, index, width)) for index, width in _bundles(checkpoint.size)]
    # The root over the tiles is the root over the leaves: RFC 6962 splits at powers of two, so between tiles.
    if _root(roots) != checkpoint.root:
        raise _damaged("tile/0", "its hashes do not lead to the root in the checkpoint")
    for file in _upper_tiles(roots[: checkpoint.size // TILE_WIDTH]):
        if _read(directory, file.path, len(file.data)) != file.data:
            raise _damaged(file.path, "its hashes are not those of the tiles below")
    return TiledLog(note, checkpoint, _leaves(directory, checkpoint.size, roots))


def _leaves(directory: Path, size: int, roots: list[bytes]) -> Iterator[bytes]:
    for (index, width), root in zip(_bundles(size), roots, strict=True):
        path = entries_path(index, width)
        bundle = _unframed(path, _read(directory, path, width * (_LENGTH_BYTES + MAX_LEAF_BYTES)), width)
        if _root([leaf_hash(leaf) for leaf in bundle]) != root:
            raise _damaged(path, "its entries do not lead to the root in the checkpoint")
        yield from bundle


def _bundles(size: int) -> Iterator[tuple[int, int]]:
    """Index and width of each level 0 tile of a tree."""
    for start in range(0, size, TILE_WIDTH):
        yield start // TILE_WIDTH, min(TILE_WIDTH, size - start)


def _hashes(directory: Path, index: int, width: int) -> list[bytes]:
    path = tile_path(0, index, width)
    data = _read(directory, path, width * HASH_BYTES)
    if len(data) != width * HASH_BYTES:
        raise _damaged(path, f"it has {len(data)} bytes, not {width * HASH_BYTES}")
    return [data[at : at + HASH_BYTES] for at in range(0, len(data), HASH_BYTES)]


def _unframed(path: str, data: bytes, count: int) -> list[bytes]:
    """Exactly `count` entries and nothing after them."""
    entries, at = [], 0
    for _ in range(count):
        start = at + _LENGTH_BYTES
        at = start + int.from_bytes(data[at:start], "big")
        entries.append(data[start:at])
    if at != len(data):
        raise _damaged(path, f"its {count} entries need {at} bytes, and it has {len(data)}")
    return entries


def _read(directory: Path, path: str, limit_bytes: int) -> bytes:
    """A regular file below `directory`, reached without following a link at any step.

    Raises:
        MalformedInput: it is missing, a link, not a regular file, or larger than `limit_bytes`.
        StorageError: the operating system cannot read it.
    """
    try:
        with os.fdopen(_descriptor(directory, path), "rb") as stream:
            if not stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
                raise _damaged(path, "it is not a regular file")
            data = stream.read(limit_bytes + 1)
    except FileNotFoundError as error:
        raise _damaged(path, "it is missing") from error
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENOTDIR, errno.EISDIR):
            raise _damaged(path, "a symbolic link or something else stands in its place") from error
        raise StorageError(f"cannot read {directory / path}", str(error)) from error
    if len(data) > limit_bytes:
        raise _damaged(path, f"it is larger than {limit_bytes} bytes")
    return data


def _descriptor(directory: Path, path: str) -> int:
    """Opens `path` step by step, so that no part of it can be a link or be exchanged for one meanwhile."""
    *folders, name = path.split("/")
    at = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        for folder in folders:
            inner = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=at)
            os.close(at)
            at = inner
        # NOTE: O_NONBLOCK, or a named pipe in place of a tile would make the reader wait for ever.
        return os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=at)
    finally:
        os.close(at)


# -- shared


def _numbered(index: int, width: int) -> str:
    digits = str(index)
    digits = digits.zfill(-(-len(digits) // 3) * 3)
    groups = [digits[at : at + 3] for at in range(0, len(digits), 3)]
    partial = "" if width == TILE_WIDTH else f".p/{width}"
    return "/".join([*(f"x{group}" for group in groups[:-1]), groups[-1]]) + partial


def _batches(items: Iterable[bytes]) -> Iterator[list[bytes]]:
    rest = iter(items)
    while batch := list(islice(rest, TILE_WIDTH)):
        yield batch


def _root(hashes: Iterable[bytes]) -> bytes:
    tree = RootBuilder()
    for value in hashes:
        tree.add(value)
    return tree.root()


def _damaged(path: str, why: str) -> MalformedInput:
    return MalformedInput(f"the exported log is damaged at {path}", why, "fetch it again, or ask the log for an export")
