"""Tables beside models: Arrow files (Feather 2) and Parquet, as far as their structure tells; columns are not decoded.

PyArrow before 14.0.1 unpickled the metadata of the extension type `arrow.py_extension_type` (CVE-2023-47248), in Arrow schemas
and in the copy of the schema that Parquet files carry. Column chunks of Parquet may lie in other files.
Source: Apache Arrow 22, `format/File.fbs`, `Schema.fbs`; Apache Parquet 2.12, `parquet.thrift`.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator

from assay.core.errors import MalformedInput
from assay.formats.facts import Fact, within
from assay.formats.flatbuffer import Buffer, Table
from assay.formats.impossible import Impossible, broken_fact
from assay.formats.outside_paths import leads_outside
from assay.formats.pickle_file import PickleFile
from assay.formats.pickle_machine import Data
from assay.formats.thrift_compact import compact_values

ARROW, PARQUET, PARQUET_ENCRYPTED, FEATHER = b"ARROW1", b"PAR1", b"PARE", b"FEA1"
STREAM = b"\xff\xff\xff\xff"
MAX_MESSAGES = 1_000_000
PICKLED_EXTENSION = "arrow.py_extension_type"
MAX_FOOTER_BYTES = 256 << 20
MAX_FIELDS = 200_000
_NAME, _METADATA = "ARROW:extension:name", "ARROW:extension:metadata"
_SCHEMA = b"ARROW:schema"
_KEY, _VALUE, _FILE, _PAGE, _PACKED = (5, 1), (5, 2), (4, 1, 1), (4, 1, 3, 9), (4, 1, 3, 7)


def arrow_facts(data: Data) -> Iterator[Fact]:
    """Facts of an Arrow file. Footer: schema 1, dictionaries 2, record batches 3.

    Raises:
        MalformedInput: the footer or a block does not fit the file.
    """
    size = len(data)
    length = int.from_bytes(data[size - 10 : size - 6], "little")
    if size < 24 or data[size - 6 : size] != ARROW:
        raise MalformedInput("an Arrow file is cut short", "its last mark is missing")
    if not 0 < length <= min(MAX_FOOTER_BYTES, size - 18):
        raise Impossible("an Arrow footer does not fit its file", f"{length} bytes announced")
    start = size - 10 - length
    buffer = Buffer(data, start, size - 10)
    footer = buffer.root()
    schema = footer.table(1)
    if schema is not None:
        yield from _schema(schema)
    for field in (2, 3):
        at, count = footer.vector(field, 24)
        for i in range(count):
            block = buffer.take(at + 24 * i, 24)
            place, head, body = (int.from_bytes(block[a:b], "little") for a, b in ((0, 8), (8, 12), (16, 24)))
            if place + head + body > start:
                raise Impossible("an Arrow block leaves the file", f"{body} bytes at {place}")


def arrow_stream_facts(data: Data) -> Iterator[Fact]:
    """Facts of a stream of messages: mark, length, Message (kind 1, header 2, bytes of the body 3), body; then length 0.

    Raises:
        MalformedInput: a message does not fit the file.
    """
    at, count = 0, 0
    while at < len(data):
        length, count = int.from_bytes(data[at + 4 : at + 8], "little"), count + 1
        if data[at : at + 4] != STREAM or at + 8 + length > len(data) or count > MAX_MESSAGES:
            raise MalformedInput("an Arrow stream is malformed", f"{length} bytes at {at}")
        if length == 0:
            if at + 8 < len(data):
                yield Fact("trailing", "", at + 8, (f"{len(data) - at - 8} bytes follow the stream",))
            return
        message = Buffer(data, at + 8, at + 8 + length).root()
        if message.number(1, 1) == 1 and (schema := message.table(2)) is not None:
            yield from _schema(schema)
        at += 8 + length + message.number(3, 8)
    if at > len(data):
        raise MalformedInput("an Arrow stream is cut short", f"at {at}")


def feather_facts(data: Data) -> Iterator[Fact]:
    """Facts of a Feather file of version 1. CTable: columns 2; Column: values 1; PrimitiveArray: offset 2, total bytes 5.

    Raises:
        MalformedInput: the footer or a column does not fit the file.
    """
    size = len(data)
    length = int.from_bytes(data[size - 8 : size - 4], "little")
    if data[size - 4 : size] != FEATHER:
        raise MalformedInput("a Feather file is cut short", "its last mark is missing")
    if not 0 < length <= size - 12:
        raise Impossible("a Feather footer does not fit its file", f"{length} bytes announced")
    for column in Buffer(data, size - 8 - length, size - 8).root().tables(2):
        values = column.table(1)
        if values is not None and values.number(2, 8) + values.number(5, 8) > size:
            raise Impossible("a Feather column leaves the file", column.text(0)[:80])
    yield from ()


def parquet_facts(data: Data) -> Iterator[Fact]:
    """Facts of a Parquet file. FileMetaData: row groups 4, key and value 5; ColumnChunk: file path 1, metadata 3.

    Raises:
        MalformedInput: the footer or a column chunk does not fit the file.
    """
    size = len(data)
    length = int.from_bytes(data[size - 8 : size - 4], "little")
    if data[size - 4 : size] == PARQUET_ENCRYPTED:
        yield Fact("needs", "", None, ("the footer is encrypted, so a key is needed",))
        return
    if size < 12 or data[size - 4 : size] != PARQUET:
        raise MalformedInput("a Parquet file is cut short", "its last mark is missing")
    if not 0 < length <= min(MAX_FOOTER_BYTES, size - 12):
        raise Impossible("a Parquet footer does not fit its file", f"{length} bytes announced")
    key, page = b"", 0
    for value in compact_values(bytes(data[size - 8 - length : size - 8])):
        if value.path == _FILE and value.body:
            place = value.body.decode("utf-8", "backslashreplace")
            yield Fact(
                "outside-data" if leads_outside(place) else "other-file", "", None, (f"columns in {place[:120]!r}",)
            )
        elif value.path in (_PAGE, _PACKED):
            page = value.number
            if not 0 <= page <= size:
                raise Impossible("a Parquet column leaves the file", f"{page} of {size}")
        elif value.path == _KEY:
            key = value.body or b""
        elif value.path == _VALUE and key == _SCHEMA and value.body:
            yield from within("<ARROW:schema>", _carried(value.body))


def _carried(text: bytes) -> list[Fact]:
    """The schema message that Parquet carries as base64: mark, length, Message with header 2."""
    try:
        body = base64.b64decode(text, validate=True)
        start = 8 if body[:4] == b"\xff\xff\xff\xff" else 4
        header = Buffer(body, start).root().table(2)
        return list(_schema(header)) if header is not None else []
    except (binascii.Error, ValueError) as error:
        return [Fact("malformed", "", None, (f"the Arrow schema in a Parquet file: {str(error)[:80]}",))]
    except MalformedInput as error:
        return [broken_fact(error)]


def _schema(schema: Table) -> Iterator[Fact]:
    """Schema: fields 1. Field: name 0, children 5, custom_metadata 6. KeyValue: key 0, value 1."""
    waiting, count = schema.tables(1), 0
    while waiting:
        field = waiting.pop()
        count += 1
        if count > MAX_FIELDS:
            raise MalformedInput("an Arrow schema has too many fields", f"more than {MAX_FIELDS}")
        waiting += field.tables(5)
        pairs = {pair.text(0): pair for pair in field.tables(6)}
        if _NAME in pairs and pairs[_NAME].text(1) == PICKLED_EXTENSION:
            yield Fact(
                "python-tag",
                "",
                None,
                (f"the extension type {PICKLED_EXTENSION}, which PyArrow before 14.0.1 unpickles",),
            )
            body = pairs[_METADATA].bytes(1) if _METADATA in pairs else b""
            yield from within(f"<{field.text(0)[:80]}>", PickleFile(body).read())
