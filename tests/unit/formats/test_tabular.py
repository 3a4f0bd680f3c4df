"""Data files of any author become columns or a malformed input, within bounds."""

from __future__ import annotations

import gzip
import io
import math
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.core.errors import MalformedInput
from assay.formats import tabular
from assay.formats.tabular import Rows, combined, read_rows


def test_numbers_text_and_holes_are_told_apart() -> None:
    rows = read_rows(b"a,b,c\n1,x,\n2.5,,NA\n-3e2,?,7\n", "t.csv")
    assert rows.n == 3
    assert rows.columns["a"] == [1.0, 2.5, -300.0]
    assert rows.columns["b"] == ["x", None, "?"]
    assert [math.isnan(value) for value in rows.columns["c"]] == [True, True, False]


@pytest.mark.parametrize("cell", ["1_000", "0x10", "infinity", "1e9999", "٣", "12345678901234567890"])
def test_what_only_python_calls_a_number_stays_text(cell: str) -> None:
    assert read_rows(f"a\n{cell}\n".encode(), "t.csv").columns["a"] == [cell]


def test_latin_1_semicolons_and_windows_line_ends_are_read() -> None:
    rows = read_rows("name;age\r\nJosé;3\r\n".encode("latin-1"), "t.csv")
    assert rows.columns == {"name": ["José"], "age": [3.0]}


def test_quoted_cells_may_hold_anything() -> None:
    assert read_rows(b'a,b\n"x,\n""y""",2\n', "t.csv").columns["a"] == ['x,\n"y"']


@pytest.mark.parametrize(
    "data",
    [
        b"", b"\n", b"a,a\n1,2\n", b"a,,b\n1,2,3\n", b"a,b\n1\n", b"a\n\x001\n", "a\n1\n".encode("utf-16"), b'a\n"x',
        b"a\n" + b"x" * 200_000, b"PK\x03\x04zzzz", b"\x1f\x8bxx", gzip.compress(b"a\n1\n", mtime=0)[:-4], b"\0\0\x08\x01\0\0\0\x09",
        ",".join(f"c{i}" for i in range(20_000)).encode(),
    ],
)  # fmt: skip
def test_broken_files_are_malformed(data: bytes) -> None:
    with pytest.raises(MalformedInput):
        read_rows(data, "t.csv")


def test_a_cell_without_end_is_refused_without_taking_its_size_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tabular, "MAX_LINE_BYTES", 1000)
    with pytest.raises(MalformedInput, match="too long"):
        read_rows(b"a\n" + b"x" * 2000, "t.csv")


def test_a_gzip_bomb_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tabular, "MAX_FILE_BYTES", 10_000)
    with pytest.raises(MalformedInput, match="too large"):
        read_rows(gzip.compress(bytes(1_000_000)), "t.csv.gz")


def test_json_lines_are_flat_objects_with_equal_keys() -> None:
    rows = read_rows(b'{"a":1,"b":"x","c":true}\n\n{"b":null,"a":null,"c":false}\n', "t.jsonl")
    assert rows.columns["b"] == ["x", None] and rows.columns["c"] == [1.0, 0.0]
    for wrong in (b'{"a":[1]}', b'{"a":1}\n{"b":1}', b'{"a":1,"a":2}', b'{"a":NaN}', b"[1]\n"):
        with pytest.raises(MalformedInput):
            read_rows(wrong, "t.jsonl")


def test_npz_and_idx_give_columns() -> None:
    buffer = io.BytesIO()
    np.savez(buffer, x=np.zeros((3, 2), np.float32), y=np.array([1, 2, 3]), z=np.array(["a", "b", "c"]))
    rows = read_rows(buffer.getvalue(), "t.npz")
    assert rows.n == 3 and rows.columns["x"].shape == (3, 2) and rows.columns["z"] == ["a", "b", "c"]
    pixels = read_rows(gzip.compress(b"\0\0\x08\x03" + struct.pack(">III", 2, 2, 2) + bytes(range(8))), "x.gz")
    labels = read_rows(b"\0\0\x08\x01" + struct.pack(">I", 2) + b"\7\1", "y")
    both = combined([pixels, labels])
    assert both.columns["pixels"].tolist() == [[0, 1, 2, 3], [4, 5, 6, 7]] and both.columns["label"].tolist() == [7, 1]


def test_an_npz_of_objects_is_not_unpickled() -> None:
    buffer = io.BytesIO()
    np.savez(buffer, x=np.array([{}, {}], object))
    with pytest.raises(MalformedInput, match="cannot be a column"):
        read_rows(buffer.getvalue(), "t.npz")


def test_files_stack_or_stand_side_by_side_but_nothing_between() -> None:
    one, two = Rows({"a": [1.0], "b": ["x"]}, 1), Rows({"a": [2.0], "b": ["y"]}, 1)
    assert combined([one, two]).columns == {"a": [1.0, 2.0], "b": ["x", "y"]}
    for wrong in ([one, Rows({"a": [1.0], "c": [1.0]}, 1)], [one, Rows({"a": ["1"], "b": ["x"]}, 1)], []):
        with pytest.raises(MalformedInput):
            combined(wrong)


@given(st.binary(max_size=300), st.sampled_from(["t.csv", "t.jsonl", "t.npz", "t.gz"]))
def test_no_bytes_make_the_reader_fail_otherwise(noise: bytes, path: str) -> None:
    for data in (noise, b"a,b\n" + noise, b"\0\0\x08" + noise):
        try:
            found = read_rows(data, path)
        except MalformedInput:
            continue
        assert all(len(column) == found.n for column in found.columns.values())
