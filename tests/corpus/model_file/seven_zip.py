"""Writes small 7z archives for the corpus; the reader under test shares nothing with it. Source: 7-Zip, `7zFormat.txt`."""

from __future__ import annotations

import lzma
import struct
import zlib
from collections.abc import Mapping

COPY, LZMA, LZMA2, AES = b"\x00", b"\x03\x01\x01", b"\x21", b"\x06\xf1\x07\x01"
_SIZE = 1 << 16


def number(value: int) -> bytes:
    """The number format of 7z."""
    for extra in range(8):
        if value < 1 << (7 * (extra + 1)):
            first = (0xFF00 >> extra & 0xFF) | value >> (8 * extra)
            return bytes([first]) + (value & ((1 << 8 * extra) - 1)).to_bytes(extra, "little")
    return b"\xff" + value.to_bytes(8, "little")


def packed(data: bytes, coder: bytes) -> tuple[bytes, bytes]:
    """The data by one coder, and its properties."""
    if coder == LZMA:
        settings = {"id": lzma.FILTER_LZMA1, "dict_size": _SIZE, "lc": 3, "lp": 0, "pb": 2}
        return lzma.compress(data, lzma.FORMAT_RAW, filters=[settings]), b"\x5d" + struct.pack("<I", _SIZE)
    if coder == LZMA2:
        return lzma.compress(data, lzma.FORMAT_RAW, filters=[{"id": lzma.FILTER_LZMA2, "dict_size": _SIZE}]), b"\x08"
    return data, b""


def _folder(coder: bytes, properties: bytes) -> bytes:
    flags = len(coder) | (0x20 if properties else 0)
    return b"\x01" + bytes([flags]) + coder + (number(len(properties)) + properties if properties else b"")


def _streams(
    offset: int, packed_size: int, coder: bytes, properties: bytes, size: int, sizes: list[int], crcs: list[int]
) -> bytes:
    out = b"\x06" + number(offset) + number(1) + b"\x09" + number(packed_size) + b"\x00"
    out += b"\x07\x0b" + number(1) + b"\x00" + _folder(coder, properties) + b"\x0c" + number(size) + b"\x00"
    if sizes:
        out += b"\x08" + (b"\x0d" + number(len(sizes)) if len(sizes) != 1 else b"")
        out += b"\x09" + b"".join(map(number, sizes[:-1])) if len(sizes) > 1 else b""
        out += b"\x0a\x01" + b"".join(struct.pack("<I", crc) for crc in crcs) + b"\x00"
    return out + b"\x00"


def seven_zip(members: Mapping[str, bytes], coder: bytes = LZMA2, is_encoded: bool = False) -> bytes:
    """An archive of one solid folder; its header is packed as well if `is_encoded`."""
    whole = b"".join(members.values())
    body, properties = packed(whole, coder)
    names = b"\x00" + b"".join(name.encode("utf-16-le") + b"\x00\x00" for name in members)
    crcs = [zlib.crc32(data) for data in members.values()]
    header = b"\x01\x04" + _streams(
        0, len(body), coder, properties, len(whole), [len(d) for d in members.values()], crcs
    )
    header += b"\x05" + number(len(members)) + b"\x11" + number(len(names)) + names + b"\x00\x00"
    if is_encoded:
        inner, properties = packed(header, LZMA)
        body, at = body + inner, len(body)
        header = b"\x17" + _streams(at, len(inner), LZMA, properties, len(header), [], [])
    start = struct.pack("<QQI", len(body), len(header), zlib.crc32(header))
    return b"7z\xbc\xaf\x27\x1c\x00\x04" + struct.pack("<I", zlib.crc32(start)) + start + body + header
