"""Exported logs: the layout of C2SP tlog-tiles, what a crash leaves, and what a reader refuses."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from assay.core.errors import LedgerDamaged, MalformedInput, StorageError
from assay.evidence import tiles
from assay.evidence.merkle import RootBuilder, leaf_hash
from assay.evidence.note import Checkpoint, sign_checkpoint
from assay.evidence.tiles import entries_path, export_tiles, read_tiles, tile_path

ORIGIN = "assay.example/ledger"
SIZE = 600  # two full bundles and one of 88


def leaf(index: int) -> bytes:
    return b'{"leaf":%d}' % index


def leaves(size: int, first: int = 0) -> list[bytes]:
    return [leaf(index) for index in range(first, first + size)]


def note_of(entries: list[bytes], size: int | None = None) -> bytes:
    tree = RootBuilder()
    for entry in entries:
        tree.add(leaf_hash(entry))
    checkpoint = Checkpoint(ORIGIN, tree.size if size is None else size, tree.root())
    return sign_checkpoint(checkpoint, ORIGIN, lambda message: bytes(64), bytes(32))


def exported(folder: Path, entries: list[bytes]) -> Path:
    export_tiles(folder, len(entries), iter(entries), note_of(entries))
    return folder


def files_in(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return exported(tmp_path_factory.mktemp("log"), leaves(SIZE))


@pytest.fixture
def log(original: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(original, tmp_path / "log"))


# -- layout


@pytest.mark.parametrize(
    ("made", "path"),
    [
        (tile_path(0, 0), "tile/0/000"),
        (tile_path(0, 5, 112), "tile/0/005.p/112"),
        (tile_path(1, 999), "tile/1/999"),
        (tile_path(0, 1000), "tile/0/x001/000"),
        (tile_path(63, 1234067), "tile/63/x001/x234/067"),
        (tile_path(2, 1234067, 1), "tile/2/x001/x234/067.p/1"),
        (entries_path(0), "tile/entries/000"),
        (entries_path(1234067, 255), "tile/entries/x001/x234/067.p/255"),
    ],
)
def test_paths_are_those_of_the_specification(made: str, path: str) -> None:
    assert made == path


def test_a_log_of_70000_has_the_tiles_that_the_specification_counts(tmp_path: Path) -> None:
    entries = [b"%d" % index for index in range(70_000)]
    paths = set(files_in(exported(tmp_path, entries)))
    level_0 = {f"tile/0/{index:03}" for index in range(273)} | {"tile/0/273.p/112"}
    bundles = {path.replace("tile/0", "tile/entries") for path in level_0}
    assert paths == level_0 | bundles | {"tile/1/000", "tile/1/001.p/17", "tile/2/000.p/1", "checkpoint"}
    assert all((tmp_path / f"tile/0/{index:03}").stat().st_size == 8192 for index in range(273))
    assert list(read_tiles(tmp_path).leaves) == entries


def test_a_log_of_256_has_a_full_tile_and_one_hash_above(tmp_path: Path) -> None:
    files = files_in(exported(tmp_path, leaves(256)))
    assert set(files) == {"checkpoint", "tile/0/000", "tile/1/000.p/1", "tile/entries/000"}
    assert files["tile/0/000"] == b"".join(leaf_hash(entry) for entry in leaves(256))


def test_entries_stand_behind_two_big_endian_length_bytes(tmp_path: Path) -> None:
    files = files_in(exported(tmp_path, [b"", b"a", b"b" * 0x0102, b"c" * 0xFFFF]))
    assert files["tile/entries/000.p/4"] == (
        b"\x00\x00" + b"\x00\x01a" + b"\x01\x02" + b"b" * 0x0102 + b"\xff\xff" + b"c" * 0xFFFF
    )


@pytest.mark.parametrize("size", [0, 1, 2, 255, 256, 257, 511, 512, 513, 700])
def test_what_was_exported_reads_back(tmp_path: Path, size: int) -> None:
    log = read_tiles(exported(tmp_path / "new" / "log", leaves(size)))
    assert (log.note, log.checkpoint.size) == (note_of(leaves(size)), size)
    assert list(log.leaves) == leaves(size)


# -- writing


def test_an_export_can_be_repeated_and_grown_without_touching_what_is_there(tmp_path: Path) -> None:
    before = files_in(exported(tmp_path, leaves(300)))
    times = {path: (tmp_path / path).stat().st_mtime_ns for path in before if path != "checkpoint"}
    assert files_in(exported(tmp_path, leaves(300))) == before
    after = files_in(exported(tmp_path, leaves(SIZE)))
    assert {path: after[path] for path in times} == {path: before[path] for path in times}
    assert {path: (tmp_path / path).stat().st_mtime_ns for path in times} == times
    assert list(read_tiles(tmp_path).leaves) == leaves(SIZE)
    # The older partial tiles still serve a reader who kept the older checkpoint.
    (tmp_path / "checkpoint").write_bytes(before["checkpoint"])
    assert list(read_tiles(tmp_path).leaves) == leaves(300)


def test_only_the_leaves_of_the_checkpoint_are_taken_from_a_log_that_grows_meanwhile(tmp_path: Path) -> None:
    rest = iter(leaves(SIZE))
    export_tiles(tmp_path, 300, rest, note_of(leaves(300)))
    assert next(rest) == leaf(300)
    assert list(read_tiles(tmp_path).leaves) == leaves(300)


def test_an_export_that_was_interrupted_leaves_no_checkpoint_and_can_be_continued(tmp_path: Path) -> None:
    def failing() -> Iterator[bytes]:
        yield from leaves(300)
        raise OSError(28, "No space left on device")

    with pytest.raises(StorageError):
        export_tiles(tmp_path, SIZE, failing(), note_of(leaves(SIZE)))
    assert set(files_in(tmp_path)) == {"tile/0/000", "tile/entries/000"}
    assert list(read_tiles(exported(tmp_path, leaves(SIZE))).leaves) == leaves(SIZE)


def test_a_file_that_could_not_be_renamed_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: Path, target: Path) -> Path:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(Path, "replace", refuse)
    with pytest.raises(StorageError):
        exported(tmp_path, leaves(3))
    assert files_in(tmp_path) == {}


def test_everything_is_on_disk_before_the_checkpoint_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    steps: list[str] = []
    replace, sync = Path.replace, os.fsync

    def logged_replace(self: Path, target: Path) -> Path:
        steps.append(str(target.relative_to(tmp_path)))
        return replace(self, target)

    def logged_sync(descriptor: int) -> None:
        target = Path(f"/proc/self/fd/{descriptor}").readlink()
        steps.append(f"sync {target}" if target.is_dir() else "sync file")
        sync(descriptor)

    monkeypatch.setattr(Path, "replace", logged_replace)
    monkeypatch.setattr(os, "fsync", logged_sync)
    exported(tmp_path, leaves(257))
    at = steps.index("checkpoint")
    assert steps[at - 1] == "sync file"
    assert steps[at + 1 :] == [f"sync {tmp_path}"]
    last_tile = max(index for index, step in enumerate(steps) if step.startswith("tile/"))
    folders = {tmp_path, *(path for path in tmp_path.rglob("*") if path.is_dir())}
    assert set(steps[last_tile + 1 : at - 1]) == {f"sync {folder}" for folder in folders}
    assert all(steps[i - 1] == "sync file" for i, step in enumerate(steps) if step.startswith("tile/"))


def test_exported_files_are_readable_as_the_umask_allows(tmp_path: Path) -> None:
    previous = os.umask(0o022)
    try:
        exported(tmp_path, leaves(1))
    finally:
        os.umask(previous)
    assert {path.stat().st_mode & 0o777 for path in tmp_path.rglob("*") if path.is_file()} == {0o644}


@pytest.mark.parametrize("path", ["tile/0/000", "tile/0/002.p/88", "tile/entries/001", "tile/1/000.p/2"])
@pytest.mark.parametrize("edit", [lambda data: data[:-1] + b"!", lambda data: data[:-1], lambda data: data + b"!"])
def test_a_published_file_with_other_bytes_stops_the_export(
    log: Path, path: str, edit: Callable[[bytes], bytes]
) -> None:
    (log / path).write_bytes(edit((log / path).read_bytes()))
    before = files_in(log)
    with pytest.raises(LedgerDamaged, match="was published"):
        exported(log, leaves(SIZE))
    assert files_in(log) == before


def test_a_published_file_that_is_a_link_stops_the_export(log: Path) -> None:
    (log / "tile/0/000").rename(log / "elsewhere")
    (log / "tile/0/000").symlink_to(log / "elsewhere")
    with pytest.raises(LedgerDamaged):
        exported(log, leaves(SIZE))


def test_leaves_that_do_not_lead_to_the_checkpoint_are_not_published(tmp_path: Path) -> None:
    edited = [*leaves(299), b"edited"]
    for given in (edited, leaves(299), []):
        with pytest.raises(LedgerDamaged, match="do not lead to the checkpoint"):
            export_tiles(tmp_path / str(len(given)), 300, given, note_of(leaves(300)))
        assert not (tmp_path / str(len(given)) / "checkpoint").exists()


def test_a_shorter_or_forked_log_does_not_replace_a_published_one(tmp_path: Path) -> None:
    exported(tmp_path, leaves(100))
    with pytest.raises(LedgerDamaged, match="100 leaves is already published"):
        exported(tmp_path, leaves(99))
    with pytest.raises(LedgerDamaged, match="do not lead to the checkpoint of 100"):
        exported(tmp_path, [*leaves(50), b"fork", *leaves(70, 51)])
    assert list(read_tiles(tmp_path).leaves) == leaves(100)


def test_a_note_of_another_size_and_a_leaf_too_long_for_its_length_are_refused(tmp_path: Path) -> None:
    with pytest.raises(MalformedInput, match="of size 3, not 4"):
        export_tiles(tmp_path, 4, leaves(4), note_of(leaves(3)))
    with pytest.raises(MalformedInput, match="65536 bytes exceeds"):
        exported(tmp_path, [b"x" * 65536])
    with pytest.raises(MalformedInput):
        export_tiles(tmp_path, 1, leaves(1), b"not a note")
    assert not (tmp_path / "checkpoint").exists()


# -- reading

FILES = [
    "checkpoint",
    "tile/0/000",
    "tile/0/002.p/88",
    "tile/1/000.p/2",
    "tile/entries/000",
    "tile/entries/002.p/88",
]


def refused(log: Path, why: str | None = None) -> str:
    """The path that the reader blames."""
    with pytest.raises(MalformedInput, match=why) as caught:
        list(read_tiles(log).leaves)
    return str(caught.value.what).rpartition(" at ")[2]


@pytest.mark.parametrize("path", FILES)
def test_a_missing_file_is_named(log: Path, path: str) -> None:
    (log / path).unlink()
    assert refused(log, "missing") == path


@pytest.mark.parametrize("path", FILES[1:])
@pytest.mark.parametrize("cut", [1, 33])
def test_a_file_that_was_cut_short_is_refused(log: Path, path: str, cut: int) -> None:
    data = (log / path).read_bytes()
    (log / path).write_bytes(data[:-cut])
    assert refused(log) == path
    (log / path).write_bytes(b"")
    assert refused(log) == path


@pytest.mark.parametrize("path", FILES[1:])
def test_a_file_that_goes_on_is_refused(log: Path, path: str) -> None:
    with (log / path).open("ab") as stream:
        stream.write(b"\0")
    assert refused(log) == path


@pytest.mark.parametrize("path", FILES[1:])
@pytest.mark.parametrize("at", [0, 3, 40, -1])
def test_a_file_with_one_bit_changed_is_refused(log: Path, path: str, at: int) -> None:
    data = bytearray((log / path).read_bytes())
    data[at] ^= 1
    (log / path).write_bytes(data)
    assert refused(log) == ("tile/0" if path.startswith("tile/0/") else path)


def test_an_edited_checkpoint_does_not_lead_to_the_tiles(log: Path) -> None:
    (log / "checkpoint").write_bytes(note_of([*leaves(SIZE - 1), b"edited"]))
    assert refused(log, "do not lead to the root") == "tile/0"


@pytest.mark.parametrize("size", [0, 512, 599, 601, 2**63 - 1])
def test_a_checkpoint_of_another_size_is_refused(log: Path, size: int) -> None:
    (log / "checkpoint").write_bytes(note_of(leaves(SIZE), size))
    refused(log)


def test_a_log_of_more_leaves_than_allowed_is_refused_before_its_tiles_are_read(log: Path) -> None:
    shutil.rmtree(log / "tile")
    with pytest.raises(MalformedInput, match="600 leaves, more than the 599 allowed"):
        read_tiles(log, max_leaves=599)


def test_bundles_that_were_exchanged_are_refused_before_a_leaf_of_them_is_given(log: Path) -> None:
    first, second = log / entries_path(0), log / entries_path(1)
    first.rename(log / "aside")
    second.rename(first)
    (log / "aside").rename(second)
    found = read_tiles(log).leaves
    with pytest.raises(MalformedInput, match="do not lead to the root"):
        next(found)


def test_leaves_before_the_damage_are_given_and_none_after(log: Path) -> None:
    path = log / entries_path(1)
    path.write_bytes(path.read_bytes().replace(leaf(300), leaf(999)))
    given: list[bytes] = []
    with pytest.raises(MalformedInput):
        for entry in read_tiles(log).leaves:
            given.append(entry)
    assert given == leaves(256)


def test_hash_tiles_are_verified_before_the_log_is_returned(log: Path) -> None:
    (log / "tile/0/001").write_bytes(bytes(8192))
    with pytest.raises(MalformedInput, match="do not lead to the root"):
        read_tiles(log)


@pytest.mark.parametrize("path", FILES)
def test_a_symbolic_link_to_the_right_bytes_is_refused(log: Path, path: str) -> None:
    (log / path).rename(log / "elsewhere")
    (log / path).symlink_to(log / "elsewhere")
    assert refused(log, "symbolic link") == path


@pytest.mark.parametrize("folder", ["tile", "tile/0", "tile/entries", "tile/entries/002.p"])
def test_a_folder_that_is_a_symbolic_link_is_refused(log: Path, folder: str) -> None:
    (log / folder).rename(log / "elsewhere")
    (log / folder).symlink_to(log / "elsewhere", target_is_directory=True)
    refused(log, "symbolic link")


@pytest.mark.timeout(10)
@pytest.mark.parametrize("path", FILES)
def test_a_folder_or_a_named_pipe_in_place_of_a_file_is_refused(log: Path, path: str) -> None:
    (log / path).unlink()
    os.mkfifo(log / path)
    assert refused(log, "not a regular file") == path
    (log / path).unlink()
    (log / path).mkdir()
    assert refused(log) == path


def test_a_huge_file_is_not_read_whole(log: Path) -> None:
    with (log / "checkpoint").open("r+b") as stream:
        stream.truncate(1 << 40)
    assert refused(log, "larger than 65536") == "checkpoint"
    shutil.copy(log / "tile/0/000", log / "aside")
    (log / "checkpoint").write_bytes(note_of(leaves(SIZE)))
    with (log / "tile/entries/002.p/88").open("r+b") as stream:
        stream.truncate(1 << 40)
    assert refused(log, "larger than") == "tile/entries/002.p/88"


def test_a_file_that_may_not_be_read_is_no_proof_of_damage(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object, **options: object) -> int:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(tiles.os, "open", refuse)
    with pytest.raises(StorageError, match="Permission denied"):
        read_tiles(log)


def test_files_that_no_checkpoint_needs_are_not_looked_at(log: Path) -> None:
    (log / "tile/0/003").write_bytes(b"nonsense")
    (log / "tile/0/.000.0123.tmp").write_bytes(b"left by a crash")
    (log / "blobs").mkdir()
    assert list(read_tiles(log).leaves) == leaves(SIZE)
