"""Outcome tables: same rows, same bytes; anything that `write_table` did not write is refused."""

from __future__ import annotations

import hashlib
import io
import zipfile

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.core.errors import MalformedInput
from assay.statistics.tables import outcome_table, read_table, row_ids, row_root, write_table

IDS = row_ids([b"a", b"b", b"c", b"a"])
COLUMNS = {"ok": np.array([1, 0, 1, 1]), "value": np.array([0.5, -1.0, 2.0, 1e300]), "group": np.array([0, 1, -1, 2])}
DATA = write_table(IDS, COLUMNS, {"check": "x", "groups": ["a", "b"]})


def test_a_table_comes_back_sorted_by_id() -> None:
    table = read_table(DATA)
    order = sorted(range(4), key=lambda row: IDS[row].tobytes())
    assert [row.tobytes() for row in table.row_id] == [IDS[row].tobytes() for row in order]
    assert table.columns["value"].tolist() == COLUMNS["value"][order].tolist()
    assert table.header == {"check": "x", "groups": ["a", "b"]}


def test_the_order_of_rows_and_columns_changes_no_byte() -> None:
    order = [2, 0, 3, 1]
    moved = {name: COLUMNS[name][order] for name in reversed(COLUMNS)}
    assert write_table(IDS[order], moved, {"groups": ["a", "b"], "check": "x"}) == DATA


def test_numpy_opens_a_table() -> None:
    opened = np.load(io.BytesIO(DATA), allow_pickle=False)
    assert opened["row_id"].shape == (4, 32)
    assert opened["ok"].dtype == np.uint8 and opened["group"].dtype == np.dtype("<i4")


def test_an_empty_table_has_the_root_of_nothing() -> None:
    empty = outcome_table(IDS[:0], {"ok": np.zeros(0)}, {})
    assert (empty.rows, empty.row_root) == (0, hashlib.sha256(b"").hexdigest())
    assert read_table(empty.data).rows == 0


def test_equal_rows_are_told_apart_by_their_occurrence() -> None:
    assert len({row.tobytes() for row in IDS}) == 4
    assert sorted(map(bytes, row_ids([b"a", b"a", b"c", b"b"]))) == sorted(map(bytes, IDS))


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 7, 8, 9, 33])
def test_the_root_is_that_of_rfc_6962(n: int) -> None:
    def tree(leaves: list[bytes]) -> bytes:
        if len(leaves) == 1:
            return hashlib.sha256(b"\0" + leaves[0]).digest()
        k = 1
        while k * 2 < len(leaves):
            k *= 2
        return hashlib.sha256(b"\1" + tree(leaves[:k]) + tree(leaves[k:])).digest()

    ids = row_ids([str(i).encode() for i in range(n)])
    assert row_root(ids) == tree(sorted(map(bytes, ids))).hex()


@pytest.mark.parametrize(
    "columns",
    [
        {"ok": np.array([1, 0, 2, 1])},
        {"value": np.array([0.0, np.nan, 0.0, 0.0])},
        {"label": np.array([0, 1, 2**40, 0])},
        {"group": np.array([0.5, 0, 0, 0])},
        {"ok": np.array([1, 0, 1])},
        {"other": np.zeros(4)},
        {"value": np.array([{}, 1, 2, 3], dtype=object)},
    ],
    ids=["no truth value", "NaN", "out of range", "a fraction", "another length", "unknown", "objects"],
)
def test_columns_that_would_lose_something_are_refused(columns: dict[str, np.ndarray]) -> None:
    with pytest.raises(MalformedInput):
        write_table(IDS, columns, {})


def test_repeated_ids_are_refused() -> None:
    with pytest.raises(MalformedInput, match="repeat"):
        write_table(IDS[[0, 0]], {"ok": np.ones(2)}, {})


def rezipped(change: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> bytes:
    """The table written again by zipfile, members replaced or added; b"" removes one."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(DATA)) as old, zipfile.ZipFile(buffer, "w", compression) as new:
        members = {name: old.read(name) for name in old.namelist()} | change
        for name, content in members.items():
            if content:
                new.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), content, compression)
    return buffer.getvalue()


def pickled_array() -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, np.array([{}], dtype=object), allow_pickle=True)
    return buffer.getvalue()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"PK\5\6" + bytes(18),
        DATA[:-1],
        DATA + b"x",
        DATA[:200],
        DATA.replace(b"'shape': (4, 32)", b"'shape': (9, 32)"),
        DATA.replace(b"'descr': '<f8'", b"'descr': '|O8'"),
        DATA.replace(b'"check":"x"', b'"check":"y"'),
        rezipped({"ok.npy": pickled_array()}),
        rezipped({"value.npy": b""}, zipfile.ZIP_DEFLATED),
        rezipped({"header.json": b""}),
        rezipped({"row_id.npy": b""}),
        rezipped({"header.json": b'{"schema":"urn:assay:outcome-table:v1"} '}),
        rezipped({"other.npy": b"x"}),
        rezipped({f"{i}.npy": b"x" for i in range(40)}),
    ],
)
def test_anything_else_than_the_canonical_bytes_is_malformed(data: bytes) -> None:
    with pytest.raises(MalformedInput):
        read_table(data)


def test_a_row_count_that_is_not_there_takes_no_memory() -> None:
    with pytest.raises(MalformedInput):
        read_table(DATA.replace(b"(4, 32)", b"(4" + b"0" * 3 + b", 32)"[:4] + b")"))


@given(st.binary(max_size=400), st.integers(0, len(DATA) - 1))
def test_no_bytes_make_the_reader_fail_otherwise(noise: bytes, at: int) -> None:
    for data in (noise, DATA[:at] + noise + DATA[at:], DATA[:at] + noise + DATA[at + len(noise) :]):
        if data != DATA:
            with pytest.raises(MalformedInput):
                read_table(data)


@given(st.lists(st.integers(0, 5), min_size=1, max_size=30), st.randoms())
def test_any_rows_survive_a_round_trip(rows: list[int], random: object) -> None:
    ids = row_ids([bytes([row]) for row in rows])
    table = read_table(write_table(ids, {"label": np.array(rows)}, {}))
    found = {row.tobytes(): label for row, label in zip(table.row_id, table.columns["label"].tolist(), strict=True)}
    assert found == {row.tobytes(): label for row, label in zip(ids, rows, strict=True)}
