"""A manifest is its bytes: independent of order and place, one name for one content, no name that two systems read apart."""

from __future__ import annotations

import os
import random
import unicodedata
from pathlib import Path

import pytest
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st

from assay.core.assets import Entry, Kind, Manifest, check_path, differences
from assay.core.canonical import canonical, parse
from assay.core.digests import sha256
from assay.core.errors import MalformedInput
from assay.evidence.files import manifest_of

STEP = st.text(st.sampled_from("abcXYZ019._- éß€\u03a9"), min_size=1, max_size=6).filter(lambda s: s not in (".", ".."))
PATH = st.lists(STEP, min_size=1, max_size=3).map(lambda steps: unicodedata.normalize("NFC", "/".join(steps)))
CONTENT = st.binary(max_size=8)
FILES = st.dictionaries(PATH, CONTENT, min_size=1, max_size=8)


def made(files: dict[str, bytes], kind: Kind = Kind.MODEL) -> Manifest:
    return Manifest.of(kind, [Entry(path, sha256(data), len(data)) for path, data in files.items()])


def is_accepted(files: dict[str, bytes]) -> bool:
    try:
        made(files)
    except MalformedInput:
        return False
    return True


@given(FILES, st.randoms())
def test_the_digest_does_not_depend_on_the_order_of_entries(files: dict[str, bytes], luck: random.Random) -> None:
    assume(is_accepted(files))
    shuffled = list(files.items())
    luck.shuffle(shuffled)
    assert made(dict(shuffled)).digest == made(files).digest


@given(FILES, st.sampled_from(list(Kind)))
def test_a_manifest_is_read_back_from_its_bytes(files: dict[str, bytes], kind: Kind) -> None:
    assume(is_accepted(files))
    manifest = made(files, kind)
    assert Manifest.parse(manifest.canonical_bytes) == manifest


@given(FILES, st.data())
def test_any_change_of_bytes_name_or_kind_is_another_asset(files: dict[str, bytes], data: st.DataObject) -> None:
    assume(is_accepted(files))
    path = data.draw(st.sampled_from(sorted(files)))
    others: list[Manifest] = [made(files, Kind.DATASET), made(files | {path: files[path] + b"x"})]
    renamed = {("zz-" + p if p == path else p): c for p, c in files.items()}
    if is_accepted(renamed):
        others.append(made(renamed))
    if len(files) > 1:
        others.append(made({p: c for p, c in files.items() if p != path}))
    assert made(files).digest not in {other.digest for other in others}
    assert all(differences(made(files), other) or other.kind is not Kind.MODEL for other in others)


@given(FILES, st.data())
def test_no_other_spelling_of_a_manifest_is_read(files: dict[str, bytes], data: st.DataObject) -> None:
    assume(is_accepted(files))
    value = parse(made(files).canonical_bytes)
    mutated = data.draw(
        st.sampled_from(
            [
                {**value, "extra": 1},
                {key: item for key, item in value.items() if key != "ignored"},
                {**value, "kind": "weights"},
                {**value, "schema": "urn:assay:manifest:v2"},
                {**value, "ignored": "abc"},
                {**value, "ignored": [1]},
                {**value, "entries": []},
                {**value, "entries": {}},
                {**value, "entries": None},
                {**value, "entries": [*value["entries"], value["entries"][0]]},
                {**value, "entries": [{**value["entries"][0], "sha256": "A" * 64}]},
                {**value, "entries": [{**value["entries"][0], "size": -1}]},
                {**value, "entries": [{**value["entries"][0], "size": True}]},
                {**value, "entries": [{**value["entries"][0], "size": 1.5}]},
                {**value, "entries": [{**value["entries"][0], "path": 7}]},
                {**value, "entries": [{**value["entries"][0], "mode": 1}]},
                [value],
                "text",
                None,
            ]
        )
    )
    with pytest.raises(MalformedInput):
        Manifest.parse(canonical(mutated))
    with pytest.raises(MalformedInput):
        Manifest.parse(made(files).canonical_bytes + b"\n")


@given(st.text(max_size=12))
@example("C:evil")
@example("a/./b")
@example("e\u0301")
@example("\ud800")
@example("a\x7f")
@example("a\u0085b")
def test_an_accepted_path_stays_below_its_root_on_every_system(path: str) -> None:
    try:
        check_path(path)
    except MalformedInput:
        return
    assert not path.startswith("/") and "\\" not in path and "\x00" not in path
    assert all(step not in ("", ".", "..") for step in path.split("/"))
    assert unicodedata.normalize("NFC", path) == path
    assert Path("/root", path).is_relative_to("/root") and os.path.normpath(path) == path


@given(PATH, st.data())
def test_two_names_that_some_system_takes_for_one_are_refused(path: str, data: st.DataObject) -> None:
    other = data.draw(st.sampled_from([path.upper(), path.lower(), path.swapcase(), path.casefold(), f"{path}/x"]))
    other = unicodedata.normalize("NFC", other)
    assume(other != path and is_accepted({path: b""}) and is_accepted({other: b""}))
    assume(other == f"{path}/x" or other.casefold() == path.casefold())
    assert not is_accepted({path: b"1", other: b"2"})


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(files=FILES, seed=st.integers(0, 10))
def test_files_on_disk_have_the_manifest_of_their_contents(tmp_path_factory, files: dict[str, bytes], seed: int) -> None:  # type: ignore[no-untyped-def]  # fmt: skip
    assume(is_accepted(files))
    root: Path = tmp_path_factory.mktemp("asset")
    order = sorted(files)
    random.Random(seed).shuffle(order)
    for path in order:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(files[path])
        (root / path).chmod(random.Random(seed).choice([0o600, 0o755]))
    (root / "empty folder").mkdir(exist_ok=True)
    assert manifest_of(root, Kind.MODEL) == made(files)
