"""Rows from data files of any author: CSV, JSON lines, NPZ and IDX, told apart by content first and extension second.

Numbers become floats, missing cells NaN or None, everything else stays text. Every size is bounded before memory is
taken: a file, a line, a cell, the columns, the cells in all. Nothing is unpickled or evaluated.
Source: RFC 4180 for CSV; Y. LeCun, "The MNIST database", for IDX.
"""

from __future__ import annotations

import csv
import io
import math
import re
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from assay.core.canonical import Json, parse
from assay.core.errors import MalformedInput
from assay.formats.npy_file import check_npy
from assay.formats.zip_archive import open_archive

if TYPE_CHECKING:
    import numpy.typing as npt

MAX_FILE_BYTES = 1 << 30
MAX_LINE_BYTES = 16 << 20
MAX_CELL_CHARS = 128 << 10
MAX_COLUMNS = 10_000
MAX_CELLS = 100_000_000
DATA_SUFFIXES = (".csv", ".tsv", ".jsonl", ".ndjson", ".npz", ".gz", ".idx", "-ubyte")
MISSING = frozenset({"", "NA", "N/A", "NaN", "nan", "null", "NULL", "None", "?"})

_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]{1,3})?")
_EXACT_DIGITS = 15
_IDX_TYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}

Column = Any  # a list of floats with NaN, or text with None; an array (n,) or (n, k) from NPZ and IDX


@dataclass(frozen=True)
class Rows:
    """`n` rows as columns by name, in the order of the file; every column has n items."""

    columns: Mapping[str, Column] = field(repr=False)
    n: int


def looks_like_rows(path: str) -> bool:
    """Whether a name is that of a data file."""
    return path.lower().endswith(DATA_SUFFIXES)


def read_rows(data: bytes, path: str) -> Rows:
    """Reads one data file; `path` decides only between CSV and JSON lines.

    Raises:
        MalformedInput: any bound exceeded, rows of unequal length, text in an unknown encoding, or a broken container.
    """
    if len(data) > MAX_FILE_BYTES:
        raise MalformedInput(f"data file {path} is too large", f"at most {MAX_FILE_BYTES} bytes are read")
    if data.startswith(b"\x1f\x8b"):
        data, path = _gunzip(data), path.removesuffix(".gz")
    if data.startswith(b"PK\x03\x04"):
        return _read_npz(data)
    if len(data) >= 4 and data[:2] == b"\0\0" and data[2] in _IDX_TYPES:
        return _read_idx(data)
    text = decoded(data)
    if path.lower().endswith((".jsonl", ".ndjson")) or text[:64].lstrip().startswith("{"):
        return _read_json_lines(text)
    return _read_csv(text)


def decoded(data: bytes) -> str:
    """Text in UTF-8, else Latin-1.

    Raises:
        MalformedInput: UTF-16, or bytes that no text holds.
    """
    if data.startswith((b"\xff\xfe", b"\xfe\xff")) or b"\0" in data:
        raise MalformedInput("text is neither UTF-8 nor Latin-1", "it holds zero bytes or a UTF-16 mark")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("latin-1")


def combined(parts: Sequence[Rows]) -> Rows:
    """Several files as one: stacked where they have the same columns, side by side where they have none in common.

    Raises:
        MalformedInput: anything between the two, or no file at all.
    """
    if not parts:
        raise MalformedInput("dataset holds no data file", f"none of its files ends in {', '.join(DATA_SUFFIXES)}")
    names = [tuple(part.columns) for part in parts]
    if len(set(names)) == 1:
        columns = {name: _joined([part.columns[name] for part in parts]) for name in names[0]}
        return Rows(columns, sum(part.n for part in parts))
    if sum(map(len, names)) == len({name for group in names for name in group}) and len({p.n for p in parts}) == 1:
        return Rows({name: column for part in parts for name, column in part.columns.items()}, parts[0].n)
    raise MalformedInput("data files do not fit together", "some columns are in several files, but not all")


def _joined(columns: list[Column]) -> Column:
    if len(columns) == 1:
        return columns[0]
    texts = [any(isinstance(item, str) for item in column) for column in columns]
    if any(texts) and not all(texts):
        raise MalformedInput("data files do not fit together", "a column holds numbers in one and text in another")
    if hasattr(columns[0], "dtype"):
        import numpy as np

        return np.concatenate(columns)
    return [item for column in columns for item in column]


def _read_csv(text: str) -> Rows:
    delimiter = max(",\t;", key=text[:MAX_LINE_BYTES].partition("\n")[0].count)
    reader = csv.reader(_lines(text), delimiter=delimiter, strict=True)
    try:
        header = [name.strip() for name in next(reader, [])]
        if not header or len(header) > MAX_COLUMNS or len(set(header)) != len(header) or not all(header):
            raise MalformedInput("CSV has no usable header", "names are missing, repeated or too many")
        cells: list[list[str]] = [[] for _ in header]
        for number, row in enumerate(reader, 2):
            if len(row) != len(header):
                if not row:
                    continue
                raise MalformedInput(f"CSV row {number} has {len(row)} cells", f"the header has {len(header)}")
            if number * len(header) > MAX_CELLS:
                raise MalformedInput("CSV has too many cells", f"at most {MAX_CELLS} are read")
            for column, cell in zip(cells, row, strict=True):
                column.append(cell)
    except csv.Error as error:
        raise MalformedInput("CSV cannot be read", str(error)) from error
    return Rows(dict(zip(header, map(_typed, cells), strict=True)), len(cells[0]))


def _lines(text: str) -> Iterator[str]:
    for line in io.StringIO(text, newline=""):
        if len(line) > MAX_LINE_BYTES:
            raise MalformedInput("a line is too long", f"at most {MAX_LINE_BYTES} characters are read")
        yield line


def _typed(cells: list[str]) -> Column:
    """Floats if every cell that is not missing is a number that a float holds exactly enough, else text."""
    values: dict[str, float] = {}
    for cell in set(cells):  # many columns repeat a few values; each is read once
        text = cell.strip()
        if text in MISSING:
            values[cell] = math.nan
        elif _NUMBER.fullmatch(text) and (len(text) <= _EXACT_DIGITS or _fits(text)):
            values[cell] = float(text)
        else:
            return [cell.strip() or None for cell in cells]
    return [values[cell] for cell in cells]


def _fits(text: str) -> bool:
    """Whether a long number loses nothing that matters: integers must stay exact, fractions may round."""
    return not text.lstrip("+-").isdigit() or float(text) <= 2**53


def _read_json_lines(text: str) -> Rows:
    columns: dict[str, list[Json]] = {}
    count = 0
    for line in _lines(text):
        if not line.strip():
            continue
        row = parse(line.encode("utf-8"), what="JSON line", max_bytes=MAX_LINE_BYTES, max_depth=2)
        if not isinstance(row, dict) or any(isinstance(value, (dict, list)) for value in row.values()):
            raise MalformedInput("JSON line is no flat object", f"row {count + 1}")
        if columns and row.keys() != columns.keys():
            raise MalformedInput("JSON lines differ in their keys", f"row {count + 1}")
        count += 1
        if count * len(row) > MAX_CELLS or len(row) > MAX_COLUMNS:
            raise MalformedInput("JSON lines hold too many cells", f"at most {MAX_CELLS} are read")
        for name, value in row.items():
            columns.setdefault(name, []).append(value)
    return Rows({name: _plain(column) for name, column in columns.items()}, count)


def _plain(values: Iterable[Json]) -> Column:
    """Floats where all values are numbers, truth values or null; else text or None."""
    given = list(values)
    if all(value is None or isinstance(value, (bool, int, float)) for value in given):
        return [math.nan if value is None else float(value) for value in given]
    return [value if value is None or isinstance(value, str) else str(value) for value in given]


def _read_npz(data: bytes) -> Rows:
    import numpy as np

    archive = open_archive(data)
    columns: dict[str, npt.NDArray[Any]] = {}
    for member in archive.members:
        content = archive.read(member, MAX_FILE_BYTES)
        header = check_npy(io.BytesIO(content), len(content))
        if header.has_objects or not 1 <= len(header.shape) <= 4 or len(header.fields) != 1:
            raise MalformedInput(f"array {member[:80]!r} cannot be a column", "objects, fields or too many dimensions")
        columns[member.removesuffix(".npy")] = _column(np.load(io.BytesIO(content), allow_pickle=False))
    if not columns or len({len(column) for column in columns.values()}) != 1:
        raise MalformedInput("arrays of the NPZ have different lengths", "every array is a column")
    return Rows(columns, len(next(iter(columns.values()))))


def _read_idx(data: bytes) -> Rows:
    import numpy as np

    dimensions = data[3]
    start = 4 + 4 * dimensions
    if not 1 <= dimensions <= 4 or len(data) < start:
        raise MalformedInput("IDX header is malformed", f"{dimensions} dimensions")
    shape = tuple(int.from_bytes(data[at : at + 4], "big") for at in range(4, start, 4))
    dtype = np.dtype(_IDX_TYPES[data[2]])
    if math.prod(shape) * dtype.itemsize != len(data) - start:
        raise MalformedInput("IDX data do not fit the header", f"shape {shape} in {len(data) - start} bytes")
    values = np.frombuffer(data, dtype, offset=start).reshape(shape)
    return Rows({"label" if dimensions == 1 else "pixels": _column(values)}, shape[0])


def _column(values: npt.NDArray[Any]) -> Column:
    """Numbers as float64, (n,) or (n, k); text as a list."""
    if values.dtype.kind in "biuf":
        floats = values.astype("f8")
        found: Column = floats if floats.ndim == 1 else floats.reshape(len(floats), -1)
        return found
    if values.dtype.kind in "US" and values.ndim == 1:
        return [str(value) for value in values.tolist()]
    raise MalformedInput("an array cannot be a column", f"its dtype is {values.dtype}")


def _gunzip(data: bytes) -> bytes:
    engine = zlib.decompressobj(wbits=31)
    try:
        found = engine.decompress(data, MAX_FILE_BYTES)
    except zlib.error as error:
        raise MalformedInput("gzip data are broken", str(error)) from error
    if not engine.eof or engine.unused_data:
        raise MalformedInput("gzip data are cut short, too large or trailed by something", f"{len(found)} bytes read")
    return found
