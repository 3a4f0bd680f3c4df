"""Outcome tables: what a model did on every named row, as bytes that are the same wherever they are made.

A table is an NPZ with stored (not compressed) members in this order: `header.json` in RFC 8785 form, `row_id.npy` with
shape (n, 32), then the columns by name. Rows ascend by id, numbers are little-endian, zip times are 1980-01-01. numpy
opens it; `read_table` accepts only the bytes that `write_table` would write, so a hostile NPZ has no room for tricks:
nothing is inflated, unpickled or evaluated, and no length is believed before it is compared with what is there.
Source: NumPy enhancement proposal 1 (npy format, version 1.0); RFC 6962 section 2.1 for the tree over row ids.
"""

from __future__ import annotations

import hashlib
import io
import struct
import zipfile
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from assay.core.canonical import Json, canonical, parse
from assay.core.digests import Digest
from assay.core.errors import MalformedInput
from assay.core.outcomes import Table

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Array = npt.NDArray[Any]  # the dtype of a column follows from its name, see COLUMNS
    RowIds = npt.NDArray[np.uint8]

SCHEMA = "urn:assay:outcome-table:v1"
MEDIA_TYPE = "application/vnd.assay.outcome-table.v1+npz"
MAX_ROWS = 50_000_000
MAX_COLUMNS = 16
MAX_HEADER_BYTES = 1 << 20
ID_BYTES = 32

COLUMNS: Mapping[str, str] = {
    "cluster": "<i4", "flag": "|u1", "group": "<i4", "label": "<i4", "member": "|u1", "ok": "|u1", "pred": "<i4",
    "queries": "<u4", "score": "<f8", "value": "<f8",
}  # fmt: skip
_BOOLEAN = ("flag", "member", "ok")
_EPOCH = (1980, 1, 1, 0, 0, 0)


@dataclass(frozen=True)
class OutcomeTable:
    """One table: `row_id` (n, 32) u1, ascending and unique; `columns` by name, each (n,); `header` as JSON."""

    row_id: RowIds = field(repr=False)
    columns: Mapping[str, Array] = field(repr=False)
    header: Mapping[str, Json]

    @property
    def rows(self) -> int:
        """How many rows it has."""
        return int(self.row_id.shape[0])


def write_table(row_ids: RowIds, columns: Mapping[str, Array], header: Mapping[str, Json]) -> bytes:
    """The bytes of a table; the order of the rows given does not matter.

    Args:
        row_ids: (n, 32) u1, all different.
        columns: names out of `COLUMNS`, each (n,) and convertible to its dtype without loss.
        header: what the rows mean: check, metric, groups, classes. `schema` is added.

    Raises:
        MalformedInput: repeated ids, an unknown column, another length, NaN, or more than 50 M rows.
    """
    import numpy as np

    ids = _as_ids(row_ids)
    order = _ascending(ids)
    ids = np.ascontiguousarray(ids[order])
    ordered = {name: _as_column(name, columns[name], len(ids))[order] for name in sorted(columns)}
    _check_shape(ids, ordered)
    return _pack(ids, ordered, canonical({**header, "schema": SCHEMA}))


def read_table(data: bytes) -> OutcomeTable:
    """Reads a table from bytes that nobody vouches for. The arrays are views of `data` and cannot be written.

    Raises:
        MalformedInput: anything but the exact bytes that `write_table` makes.
    """
    members = _stored_members(data)
    head = parse(members.pop("header.json"), what="table header", max_bytes=MAX_HEADER_BYTES, max_depth=8)
    if not isinstance(head, dict) or head.get("schema") != SCHEMA:
        raise MalformedInput("outcome table has another schema", f"expected {SCHEMA}")
    ids = _read_array("row_id", members.pop("row_id.npy"), "|u1", None)
    columns = {}
    for member, content in members.items():
        name = member.removesuffix(".npy")
        if name not in COLUMNS or name == member:
            raise MalformedInput("outcome table has an unknown column", f"{name[:40]!r}")
        columns[name] = _as_column(name, _read_array(name, content, COLUMNS[name], len(ids)), len(ids))
    _check_shape(ids, columns)
    if _pack(ids, columns, canonical(head)) != data:
        raise MalformedInput("outcome table is not in canonical form", "its bytes differ from what its rows would give")
    return OutcomeTable(ids, columns, {name: value for name, value in head.items() if name != "schema"})


def row_ids(rows: Sequence[bytes]) -> RowIds:
    """Ids of rows given in canonical bytes, shape (n, 32): SHA-256 of the row, a zero byte and its occurrence number.

    The occurrence number (8 bytes, big-endian, from 0) tells equal rows apart, so reordering a file moves no id.
    """
    import numpy as np

    seen: Counter[bytes] = Counter()
    found = bytearray()
    for row in rows:
        digest = hashlib.sha256(row)
        content = digest.digest()
        digest.update(b"\x00" + seen[content].to_bytes(8, "big"))
        seen[content] += 1
        found += digest.digest()
    return np.frombuffer(bytes(found), dtype=np.uint8).reshape(-1, ID_BYTES)


def row_root(row_ids: RowIds) -> Digest:
    """The Merkle root over the ascending ids, each a leaf: what a statement says instead of the ids.

    Source: RFC 6962 section 2.1; pairing level by level, the odd last node moving up, gives the same tree.
    """
    ids = _as_ids(row_ids)
    flat = ids[_ascending(ids)].tobytes()
    level = [_hash(b"\x00" + flat[at : at + ID_BYTES]) for at in range(0, len(flat), ID_BYTES)]
    while len(level) > 1:
        odd = level[-1:] if len(level) % 2 else []
        level = [_hash(b"\x01" + level[i] + level[i + 1]) for i in range(0, len(level) - 1, 2)] + odd
    return (level[0] if level else _hash(b"")).hex()


def outcome_table(row_ids: RowIds, columns: Mapping[str, Array], header: Mapping[str, Json]) -> Table:
    """A table as the outcome that a check yields before the measurements that rest on it.

    Raises:
        MalformedInput: as `write_table`.
    """
    return Table(write_table(row_ids, columns, header), len(row_ids), row_root(row_ids))


def _hash(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


def _as_ids(row_ids: RowIds) -> RowIds:
    import numpy as np

    ids = np.asarray(row_ids)
    if ids.dtype != np.uint8 or ids.ndim != 2 or ids.shape[1] != ID_BYTES or len(ids) > MAX_ROWS:
        raise MalformedInput("row ids are malformed", f"{ids.dtype} {ids.shape}, expected uint8 (n, {ID_BYTES})")
    return ids


def _ascending(ids: RowIds) -> npt.NDArray[np.intp]:
    import numpy as np

    words = np.ascontiguousarray(ids).view(">u8").reshape(-1, 4)
    return np.lexsort((words[:, 3], words[:, 2], words[:, 1], words[:, 0]))


def _as_column(name: str, values: Array, rows: int) -> Array:
    import numpy as np

    if name not in COLUMNS:
        raise MalformedInput("outcome table has an unknown column", f"{name[:40]!r} is none of {', '.join(COLUMNS)}")
    given = np.asarray(values)
    if given.shape != (rows,) or given.dtype.kind not in "biuf":
        raise MalformedInput(f"column {name} is malformed", f"{given.dtype} {given.shape}, expected numbers ({rows},)")
    with np.errstate(invalid="ignore"):
        column = given.astype(COLUMNS[name], copy=False)
    if not np.array_equal(column, given):  # NaN is not equal to itself, so it is refused here too
        raise MalformedInput(f"column {name} does not fit {COLUMNS[name]}", "a value is NaN or out of range")
    if name in _BOOLEAN and rows and int(column.max()) > 1:
        raise MalformedInput(f"column {name} is malformed", "it holds something else than 0 and 1")
    return column


def _check_shape(ids: RowIds, columns: Mapping[str, Array]) -> None:
    import numpy as np

    if len(columns) > MAX_COLUMNS:
        raise MalformedInput("outcome table has too many columns", f"{len(columns)}, at most {MAX_COLUMNS}")
    words = ids.view(">u8").reshape(-1, 4)
    later, before = words[1:], words[:-1]
    differ = later != before
    first = differ.argmax(axis=1)
    at = np.arange(len(first))
    if not (differ.any(axis=1) & (later[at, first] > before[at, first])).all():
        raise MalformedInput("row ids repeat or do not ascend", "every row of a table needs its own id")


def _pack(ids: RowIds, columns: Mapping[str, Array], header: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED, allowZip64=True) as archive:
        _add(archive, "header.json", header)
        _add(archive, "row_id.npy", _npy_header("|u1", f"({len(ids)}, {ID_BYTES})") + ids.tobytes())
        for name in sorted(columns):
            _add(archive, f"{name}.npy", _npy_header(COLUMNS[name], f"({len(ids)},)") + columns[name].tobytes())
    return buffer.getvalue()


def _add(archive: zipfile.ZipFile, name: str, content: bytes) -> None:
    entry = zipfile.ZipInfo(name, _EPOCH)
    entry.create_system = 3  # the library writes the platform's own number otherwise
    entry.external_attr = 0o600 << 16
    archive.writestr(entry, content)


def _npy_header(descr: str, shape: str) -> bytes:
    """Version 1.0 header, padded with spaces so that the array starts at a multiple of 64."""
    text = f"{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}".encode()
    padded = text + b" " * (-(len(text) + 11) % 64) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(padded).to_bytes(2, "little") + padded


def _stored_members(data: bytes) -> dict[str, bytes]:
    """Members by name, in file order; sizes are bounded by the file because nothing is compressed."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            entries = archive.infolist()
            names = [entry.filename for entry in entries]
            if len(names) > MAX_COLUMNS + 2 or len(set(names)) != len(names):
                raise MalformedInput("outcome table has too many or repeated members", f"{len(names)} members")
            if any(e.compress_type or e.flag_bits or e.file_size != e.compress_size for e in entries):
                raise MalformedInput("outcome table is not in canonical form", "a member is compressed or flagged")
            if sum(entry.file_size for entry in entries) > len(data):
                raise MalformedInput("outcome table is malformed", "its members overlap")
            members = {entry.filename: archive.read(entry) for entry in entries}
    except (
        zipfile.BadZipFile,
        ValueError,
        RuntimeError,
        LookupError,
        ArithmeticError,
        EOFError,
        OSError,
        struct.error,
    ) as error:
        raise MalformedInput("outcome table is no readable NPZ", str(error)[:200]) from error
    if not {"header.json", "row_id.npy"} <= members.keys():
        raise MalformedInput("outcome table is incomplete", "it has no header or no row ids")
    return members


def _read_array(name: str, content: bytes, descr: str, rows: int | None) -> Array:
    """An array whose header must be the one that its size gives; `rows` None means row ids."""
    import numpy as np

    dtype = np.dtype(descr)
    width = ID_BYTES if rows is None else dtype.itemsize
    count = rows
    if count is None:  # a header takes 128 bytes for any n; the comparison below decides
        count = max(0, (len(content) - 128) // width)
    shape = f"({count}, {ID_BYTES})" if rows is None else f"({count},)"
    header = _npy_header(descr, shape)
    if not content.startswith(header) or len(content) != len(header) + count * width or count > MAX_ROWS:
        raise MalformedInput(f"column {name[:40]} of the outcome table is malformed", "its header or length is wrong")
    found = np.frombuffer(content, dtype, offset=len(header))
    return found.reshape(-1, ID_BYTES) if rows is None else found
