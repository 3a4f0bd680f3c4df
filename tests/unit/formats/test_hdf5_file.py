"""HDF5 read without its library, beside h5py: the same names and texts, attacks named, lies told, no hang on any bytes."""

from __future__ import annotations

import io
import json
import pickle
import struct
from collections.abc import Callable
from functools import cache

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assay.checks.model_file.judge import judge
from assay.core.outcomes import Verdict
from assay.formats.hdf5.cursor import lookup3
from assay.formats.hdf5.groups import links_of
from assay.formats.hdf5.headers import messages_of, read_superblock
from assay.formats.hdf5_file import hdf5_facts
from assay.formats.reading import read_facts

LAYOUTS = ("earliest", "v108", "v110", "v112", "latest")
LAMBDA = {"class_name": "Lambda", "config": {"function": ["4wEAAAA=", None, None]}}
DENSE = {"class_name": "Dense", "config": {"units": 2, "activation": "relu"}}


def made(fill: Callable[[h5py.File], object], libver: str = "earliest", **more: object) -> bytes:
    buffer = io.BytesIO()
    low = (libver, "latest") if libver in ("v108", "v110", "v112") else libver
    with h5py.File(buffer, "w", libver=low, **more) as file:
        fill(file)
    return buffer.getvalue()


def keras(layer: object) -> Callable[[h5py.File], object]:
    def fill(file: h5py.File) -> None:
        file.attrs["keras_version"] = "2.13.1"
        file.attrs["model_config"] = json.dumps(
            {"class_name": "Sequential", "config": {"name": "s", "layers": [layer]}}
        )
        weights = file.create_group("model_weights/dense/dense")
        weights.attrs["weight_names"] = np.array([b"dense/kernel:0", b"dense/bias:0"])
        weights.create_dataset("kernel:0", data=np.ones((4, 2), "f4"))

    return fill


def many(file: h5py.File) -> None:
    """Groups and attributes so many that they lie in B-trees and heaps with several levels."""
    for i in range(700):
        file.create_group(f"group with a long name {i}").attrs["n"] = f"text {i}"
    wide = file.create_group("attributes")
    for i in range(60):
        wide.attrs[f"name {i}"] = "v" * (i * 90)
    file.create_dataset("chunks", data=np.arange(1000.0), chunks=(10,), compression="gzip", shuffle=True)
    file.create_dataset("texts", data=np.array(["a", "bb"], object), dtype=h5py.string_dtype())
    file["soft"] = h5py.SoftLink("/chunks")


@cache
def whole(libver: str) -> bytes:
    return made(lambda file: (many(file), keras(DENSE)(file)), libver, track_order=libver != "earliest")


def verdict(data: bytes, path: str = "m.h5") -> Verdict:
    return judge(read_facts(data, path)).verdict


def rules(data: bytes) -> set[str]:
    return {problem.rule for problem in judge(read_facts(data, "m.h5")).problems}


@pytest.mark.parametrize("libver", LAYOUTS)
def test_a_model_in_every_layout_is_clean(libver: str) -> None:
    found = read_facts(whole(libver), "m.h5")
    assert found.format == "keras-h5"
    assert judge(found).problems == ()


@pytest.mark.parametrize("libver", LAYOUTS)
def test_the_same_links_are_seen_as_by_h5py(libver: str) -> None:
    data = whole(libver)
    start = read_superblock(data, 0)
    ours = {link.name for link in links_of(messages_of(start.cursor, start.root), start.cursor)}
    with h5py.File(io.BytesIO(data)) as file:
        assert ours == set(file)


@pytest.mark.parametrize("libver", LAYOUTS)
@pytest.mark.parametrize("size", [10, 3_000, 200_000])
def test_a_lambda_is_found_however_its_attribute_is_stored(libver: str, size: int) -> None:
    """CVE-2025-9905: legacy H5 files run their Lambda layers in spite of safe mode."""
    if libver == "earliest" and size > 60_000:
        pytest.skip("such a file cannot be written: attributes are limited to 64 KB")

    def fill(file: h5py.File) -> None:
        for i in range(20):
            file.attrs[f"other {i}"] = i
        keras(LAMBDA | {"note": "x" * size})(file)

    assert verdict(made(fill, libver)) is Verdict.MALICIOUS


@pytest.mark.parametrize("text", ["fixed", "variable"])
def test_a_lambda_is_found_in_fixed_and_variable_texts(text: str) -> None:
    config = json.dumps({"class_name": "Sequential", "config": [LAMBDA]})
    value = np.bytes_(config) if text == "fixed" else config
    assert verdict(made(lambda file: file.attrs.__setitem__("model_config", value))) is Verdict.MALICIOUS


@pytest.mark.parametrize("libver", ["earliest", "latest"])
def test_links_and_data_in_other_files_are_told(libver: str) -> None:
    """CVE-2026-1669: weights whose bytes are those of another file."""
    outside = made(lambda f: f.__setitem__("w", h5py.ExternalLink("/etc/passwd", "/x")), libver)
    beside = made(lambda f: f.__setitem__("w", h5py.ExternalLink("other.h5", "/x")), libver)
    raw = made(lambda f: f.create_dataset("w", (4,), "u1", external=[("/etc/hostname", 0, 4)]), libver)
    assert [verdict(outside), verdict(raw), verdict(beside)] == [Verdict.MALICIOUS] * 2 + [Verdict.UNKNOWN]


def test_a_virtual_dataset_over_another_file_is_told() -> None:
    def fill(file: h5py.File) -> None:
        layout = h5py.VirtualLayout((4,), "f4")
        layout[:] = h5py.VirtualSource("../secret.h5", "d", (4,))
        file.create_virtual_dataset("v", layout)

    assert rules(made(fill, "latest")) == {"ASY-GRA-003"}


def test_a_shape_that_no_file_could_hold_is_told() -> None:
    """CVE-2026-0897: a few bytes that ask for terabytes when they are read."""
    bomb = made(lambda f: f.create_dataset("w", (1 << 20, 1 << 20), "f4", chunks=(64, 64)))
    assert rules(bomb) == {"ASY-FMT-005"}


def test_a_pickle_in_an_attribute_is_judged_as_pytables_would_load_it() -> None:
    fine = made(lambda f: f.attrs.__setitem__("axes", np.bytes_(pickle.dumps([1, "x"], 0))))
    bad = made(lambda f: f.attrs.__setitem__("axes", np.bytes_(b"cos\nsystem\n(Vtrue\ntR.")))
    assert [verdict(fine), verdict(bad)] == [Verdict.CLEAN, Verdict.MALICIOUS]


def test_a_model_behind_a_block_of_another_file_is_read_too() -> None:
    data = bytearray(made(keras(LAMBDA), userblock_size=512))
    data[:12] = b"just text   "
    data[12:512] = b" " * 500
    assert verdict(bytes(data), "notes.txt") is Verdict.MALICIOUS
    assert verdict(made(keras(DENSE), userblock_size=1024)) is Verdict.CLEAN


def test_a_cycle_of_groups_ends() -> None:
    def fill(file: h5py.File) -> None:
        inner = file.create_group("a/b")
        inner["up"] = file["a"]

    assert verdict(made(fill)) is Verdict.CLEAN


def test_lies_are_not_clean() -> None:
    data = made(keras(DENSE))
    for at, value in ((40, 1 << 60), (24, 1 << 60), (64, 1 << 40)):  # end of file, base address, root header
        forged = data[:at] + struct.pack("<Q", value) + data[at + 8 :]
        assert verdict(forged) is not Verdict.CLEAN
    assert verdict(data + b"tail") is Verdict.UNKNOWN
    assert verdict(data[: len(data) // 2]) is Verdict.INCONCLUSIVE


def test_the_checksum_is_that_of_bob_jenkins() -> None:
    assert lookup3(b"") == 0xDEADBEEF
    assert lookup3(b"Four score and seven years ago") == 0x17770551


@cache
def small(libver: str) -> bytes:
    def fill(file: h5py.File) -> None:
        keras(DENSE)(file)
        for i in range(12):
            file.create_group(f"group {i}").attrs["n"] = f"text {i}"

    return made(fill, libver)


@settings(max_examples=100, deadline=None)
@given(st.sampled_from(LAYOUTS[::2]), st.integers(0, 1 << 20), st.binary(min_size=1, max_size=8))
def test_changed_files_end_and_do_not_raise(libver: str, place: int, noise: bytes) -> None:
    data = small(libver)
    at = place % len(data)
    hdf5_facts(data[:at] + noise + data[at + len(noise) :])
    hdf5_facts(data[:at])
