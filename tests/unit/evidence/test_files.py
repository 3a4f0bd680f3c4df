"""From files to a manifest: links, loops, pipes, hidden folders, files that change, and a cache that must not lie."""

from __future__ import annotations

import os
import socket
import sqlite3
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.support import manifest

from assay.core.assets import Kind, Manifest, differences
from assay.core.errors import AssayError, ChangedMeanwhile, MalformedInput, StorageError, UsageError
from assay.evidence import files
from assay.evidence.files import find_files, hash_open, manifest_of, open_file
from assay.evidence.hash_cache import HashCache

OLD_NS = time.time_ns() - 3600 * 10**9


def tree(root: Path, contents: dict[str, bytes]) -> Path:
    for path, data in contents.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(data)
    return root


def made(root: Path, **options) -> Manifest:  # type: ignore[no-untyped-def]
    return manifest_of(root, Kind.MODEL, **options)


def test_a_folder_and_a_single_file_have_the_manifest_of_their_bytes(tmp_path: Path) -> None:
    contents = {"a.bin": b"1", "sub/b.bin": b"22", ".hidden": b""}
    assert made(tree(tmp_path / "m", contents)) == manifest(contents)
    assert made(tmp_path / "m" / "sub" / "b.bin") == manifest({"b.bin": b"22"})


@pytest.mark.parametrize(
    "added", [".git/hooks/x", ".git/config", ".github/w.yml", ".gitignore", ".gitattributes", "__pycache__/x.pyc", ".assay/x",
              ".DS_Store", "sub/.hidden/deep/er/x"]
)  # fmt: skip
def test_a_file_added_anywhere_is_seen(tmp_path: Path, added: str) -> None:
    """OMS model-signing 1.1.1 verifies trees to which files under .git were added."""
    root = tree(tmp_path / "m", {"a": b"1", "sub/b": b"2"})
    before = made(root)
    tree(root, {added: b"evil"})
    assert differences(before, made(root)).added == (added,)


def test_nothing_is_ignored_unless_the_manifest_says_so(tmp_path: Path) -> None:
    root = tree(tmp_path / "m", {"a": b"1", ".git/x": b"2", "logs/y": b"3"})
    ignoring = made(root, ignored=[".git", "logs/*"])
    assert [e.path for e in ignoring.entries] == ["a"] and ignoring.ignored == (".git", "logs/*")
    assert ignoring.digest != manifest({"a": b"1"}).digest


def test_a_link_is_refused_or_stands_for_its_content(tmp_path: Path) -> None:
    root = tree(tmp_path / "m", {"a": b"1"})
    tree(tmp_path / "blobs", {"x": b"2"})
    (root / "b").symlink_to(tmp_path / "blobs" / "x")
    with pytest.raises(MalformedInput, match="symbolic link"):
        made(root)
    assert made(root, symlinks="content") == manifest({"a": b"1", "b": b"2"})
    (tmp_path / "link").symlink_to(root)
    with pytest.raises(MalformedInput, match="symbolic link"):
        made(tmp_path / "link")


def test_a_folder_link_is_refused_or_stands_for_its_content(tmp_path: Path) -> None:
    root = tree(tmp_path / "m", {"a": b"1", "sub/x": b"2"})
    (root / "again").symlink_to("sub")
    with pytest.raises(MalformedInput, match="symbolic link"):
        made(root)
    assert made(root, symlinks="content") == manifest({"a": b"1", "sub/x": b"2", "again/x": b"2"})


def _to_itself(root: Path) -> None:
    (root / "sub" / "x").symlink_to("x")


def _to_nothing(root: Path) -> None:
    (root / "sub" / "x").symlink_to("nowhere")


def _to_its_folder(root: Path) -> None:
    (root / "sub" / "x").symlink_to(".")


def _to_the_root(root: Path) -> None:
    (root / "sub" / "x").symlink_to(root)


def _to_a_folder_above(root: Path) -> None:
    (root / "sub" / "deep").mkdir()
    (root / "sub" / "deep" / "x").symlink_to("../../sub")


def _to_each_other(root: Path) -> None:
    (root / "other").mkdir()
    (root / "sub" / "x").symlink_to("../other")
    (root / "other" / "x").symlink_to("../sub")


@pytest.mark.parametrize("make", [_to_itself, _to_nothing, _to_its_folder, _to_the_root, _to_a_folder_above, _to_each_other])  # fmt: skip
def test_a_link_without_an_end_is_refused_even_where_links_are_followed(
    tmp_path: Path, make: Callable[[Path], None]
) -> None:
    root = tmp_path / "m"
    (root / "sub").mkdir(parents=True)
    make(root)
    for symlinks in ("refuse", "content"):
        with pytest.raises(MalformedInput):
            made(root, symlinks=symlinks)


def test_folders_without_files_cannot_be_nested_without_end(tmp_path: Path) -> None:
    deep = tmp_path / "m" / "/".join("d" * 70)
    deep.mkdir(parents=True)
    with pytest.raises(MalformedInput, match="deep"):
        made(tmp_path / "m")


def test_pipes_sockets_and_devices_are_refused_without_waiting_for_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    root = tree(tmp_path / "m", {"a": b"1"})
    os.mkfifo(root / "pipe")
    with pytest.raises(MalformedInput, match="no regular file"):
        made(root)
    with pytest.raises(MalformedInput, match="no regular file"):
        open_file(root / "pipe")
    (root / "pipe").unlink()
    monkeypatch.chdir(root)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind("socket")
        with pytest.raises(MalformedInput, match="no regular file"):
            made(root)
    with pytest.raises(MalformedInput):
        made(Path("/dev/null"))


@pytest.mark.parametrize("name", [b"a\\b", b"a\nb", b"\xff", "e\u0301".encode(), b"C:x", b"\x1b[31m"])
def test_a_name_that_reads_differently_elsewhere_is_refused(tmp_path: Path, name: bytes) -> None:
    (tmp_path / "m").mkdir()
    with open(os.fsencode(tmp_path / "m") + b"/" + name, "wb") as file:  # noqa: PTH123 - pathlib has no byte names
        file.write(b"1")
    with pytest.raises(MalformedInput):
        made(tmp_path / "m")


def test_names_that_collide_elsewhere_are_refused(tmp_path: Path) -> None:
    for pair in (("A", "a"), ("x/y", "X/z"), ("ß", "ss")):
        root = tree(tmp_path / pair[0].replace("/", "-"), dict.fromkeys(pair, b"1"))
        with pytest.raises(MalformedInput, match="collide"):
            made(root)


def test_nothing_at_the_path_is_wrong_use_and_an_empty_folder_is_no_asset(tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        made(tmp_path / "none")
    (tmp_path / "empty" / "sub").mkdir(parents=True)
    with pytest.raises(MalformedInput, match="nothing to register"):
        made(tmp_path / "empty")


def test_a_folder_that_cannot_be_listed_is_an_error_not_an_empty_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    root = tree(tmp_path / "m", {"a": b"1", "sub/x": b"2"})

    def refuse(path: object) -> object:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(files.os, "scandir", refuse)
    with pytest.raises(StorageError):
        made(root)


def test_a_file_that_changes_while_it_is_read_has_no_digest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = tree(tmp_path / "m", {"a": b"1" * 100})

    def slow(descriptor: int, into: object = None) -> tuple[str, int]:
        found = hash_open(descriptor)
        with (root / "a").open("ab") as file:
            file.write(b"x")
        return found

    monkeypatch.setattr(files, "hash_open", slow)
    with pytest.raises(ChangedMeanwhile):
        made(root)


def test_a_change_whose_mtime_is_set_back_is_still_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = tree(tmp_path / "m", {"a": b"1" * 100})
    info = (root / "a").stat()

    def slow(descriptor: int, into: object = None) -> tuple[str, int]:
        found = hash_open(descriptor)
        (root / "a").write_bytes(b"2" * 100)
        os.utime(root / "a", ns=(info.st_atime_ns, info.st_mtime_ns))
        return found

    monkeypatch.setattr(files, "hash_open", slow)
    with pytest.raises(ChangedMeanwhile):
        made(root)


def test_a_file_that_vanishes_between_listing_and_reading_is_an_error(tmp_path: Path) -> None:
    root = tree(tmp_path / "m", {"a": b"1"})
    found = list(find_files(root))
    (root / "a").unlink()
    with pytest.raises(ChangedMeanwhile):
        open_file(found[0].where)


def test_a_file_swapped_for_a_link_between_listing_and_reading_is_not_followed(tmp_path: Path) -> None:
    root = tree(tmp_path / "m", {"a": b"1"})
    tree(tmp_path, {"secret": b"s"})
    found = list(find_files(root))
    (root / "a").unlink()
    (root / "a").symlink_to(tmp_path / "secret")
    with pytest.raises(MalformedInput):
        open_file(found[0].where)


def test_many_large_files_are_hashed_by_threads_to_the_same_manifest(tmp_path: Path) -> None:
    contents = {f"f{i}": bytes([i]) * (1 << 20) for i in range(6)}
    told: list[int] = []
    assert made(tree(tmp_path / "m", contents), seen=told.append) == manifest(contents)
    assert sum(told) == 6 << 20


# -- the hash cache


class Tool:
    """Registers a folder with its cache and tells whether the cache was used."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "hashes.sqlite"
        self.is_used = False

    def __call__(self, root: Path) -> Manifest:
        cache = HashCache(self.path, root)
        try:
            return manifest_of(root, Kind.MODEL, memory=cache)
        finally:
            cache.close()
            self.is_used = cache.is_used


@pytest.fixture
def still(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if hashing began ten seconds after the files were written."""
    real = time.time_ns
    monkeypatch.setattr(files.time, "time_ns", lambda: real() + 10 * 10**9)


@pytest.mark.usefixtures("still")
def test_an_unchanged_file_is_recalled(tmp_path: Path) -> None:
    root, tool = tree(tmp_path / "m", {"a": b"1", "b/c": b"2"}), Tool(tmp_path)
    assert tool(root) == manifest({"a": b"1", "b/c": b"2"}) and not tool.is_used
    assert tool(root) == manifest({"a": b"1", "b/c": b"2"}) and tool.is_used


@pytest.mark.usefixtures("still")
def test_a_change_is_seen_though_size_and_mtime_are_as_before(tmp_path: Path) -> None:
    """Whoever sets mtime back with utime cannot set ctime back."""
    root, tool = tree(tmp_path / "m", {"a": b"good"}), Tool(tmp_path)
    tool(root)
    info = (root / "a").stat()
    with (root / "a").open("r+b") as file:
        file.write(b"evil")
    os.utime(root / "a", ns=(info.st_atime_ns, info.st_mtime_ns))
    after = (root / "a").stat()
    assert (after.st_ino, after.st_size, after.st_mtime_ns) == (info.st_ino, info.st_size, info.st_mtime_ns)
    assert tool(root) == manifest({"a": b"evil"}) and not tool.is_used


@pytest.mark.usefixtures("still")
def test_another_file_moved_into_the_place_is_seen(tmp_path: Path) -> None:
    root, tool = tree(tmp_path / "m", {"a": b"good"}), Tool(tmp_path)
    tool(root)
    tree(tmp_path, {"other": b"evil"})
    (tmp_path / "other").rename(root / "a")
    assert tool(root) == manifest({"a": b"evil"})


def test_a_file_that_was_just_written_is_not_remembered(tmp_path: Path) -> None:
    root, tool = tree(tmp_path / "m", {"a": b"1"}), Tool(tmp_path)
    os.utime(root / "a", ns=(OLD_NS, OLD_NS))  # an old mtime does not help: ctime is new
    tool(root)
    tool(root)
    assert not tool.is_used


@pytest.mark.parametrize("damage", [b"", b"garbage" * 1000, None])
@pytest.mark.usefixtures("still")
def test_a_damaged_cache_is_dropped(tmp_path: Path, damage: bytes | None) -> None:
    root, tool = tree(tmp_path / "m", {"a": b"1"}), Tool(tmp_path)
    tool(root)
    if damage is None:
        with sqlite3.connect(tool.path) as db:
            db.execute("UPDATE hash SET sha256='not a digest'")
        db.close()
    else:
        tool.path.write_bytes(damage)
    assert tool(root) == manifest({"a": b"1"}) and not tool.is_used
    assert tool(root) == manifest({"a": b"1"}) and tool.is_used


def test_a_cache_that_cannot_be_written_is_no_error(tmp_path: Path) -> None:
    root = tree(tmp_path / "m", {"a": b"1"})
    tree(tmp_path, {"file": b""})
    cache = HashCache(tmp_path / "file" / "hashes.sqlite", root)
    assert manifest_of(root, Kind.MODEL, memory=cache) == manifest({"a": b"1"})
    cache.close()


@pytest.mark.parametrize(
    ("mounts", "is_off"),
    [("d / ext4 rw 0 0", False), ("d / ext4 rw 0 0\ns {root} nfs4 rw 0 0", True), ("s {up} fuse.sshfs rw 0 0", True),
     ("s {root}x nfs4 rw 0 0", False), ("s {root} nfs rw 0 0\nt {root} tmpfs rw 0 0", False), ("s {root}/m cifs rw 0 0", True)],
)  # fmt: skip
def test_the_cache_is_off_on_network_file_systems(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mounts: str, is_off: bool) -> None:  # fmt: skip
    base = tmp_path / "my share"
    root = tree(base / "m", {"a": b"1"})
    (tmp_path / "link").symlink_to(base)
    table = mounts.format(root=str(base).replace(" ", r"\040"), up=str(tmp_path))
    real = Path.read_text
    monkeypatch.setattr(
        Path, "read_text", lambda p, *a, **k: table if str(p) == "/proc/self/mounts" else real(p, *a, **k)
    )
    for start in (root, tmp_path / "link" / "m"):
        cache = HashCache(tmp_path / "hashes.sqlite", start)
        assert (cache._db is None) == is_off
        cache.close()


def test_a_writer_that_never_stops_never_yields_a_false_digest(tmp_path: Path) -> None:
    root = tree(tmp_path / "m", {"a": b"0" * 300_000})
    whole = {manifest({"a": bytes([48 + i]) * 300_000}).digest for i in range(2)}
    stop = threading.Event()

    def write() -> None:
        turn = 0
        while not stop.is_set():
            turn = 1 - turn
            (root / "new").write_bytes(bytes([48 + turn]) * 300_000)
            (root / "new").rename(root / "a")

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for _ in range(60):
            try:
                found = made(root)
            except AssayError:
                continue
            if len(found.entries) == 1:
                assert found.digest in whole
    finally:
        stop.set()
        writer.join()
