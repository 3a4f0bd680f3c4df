"""Pictures that lie in code trees, walked to their end: they hold pixels and notes, and nothing follows them.

A picture that is whole is data. One with bytes behind its end, or of a kind that is not known here, is not cleared.
Sources: W3C PNG (third edition), section 5; GIF89a, section 17; ITU T.81, annex B; RFC 9649 (WebP).
"""

from __future__ import annotations

import struct
import zlib


def whole_picture(data: bytes) -> str:
    """`png`, `jpeg`, `gif` or `webp` where the bytes are exactly one such picture, else ""."""
    try:
        if data.startswith(b"\x89PNG\r\n\x1a\n"):
            return "png" if _is_png(data) else ""
        if data.startswith((b"GIF87a", b"GIF89a")):
            return "gif" if _is_gif(data) else ""
        if data.startswith(b"\xff\xd8\xff"):
            return "jpeg" if _is_jpeg(data) else ""
        if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
            return "webp" if int.from_bytes(data[4:8], "little") + 8 == len(data) else ""
    except (struct.error, IndexError):
        return ""
    return ""


def picture_text(data: bytes) -> str:
    """The printable runs of a picture, where its notes are."""
    return data.decode("latin-1")


def _is_png(data: bytes) -> bool:
    at = 8
    while at < len(data):
        length, kind = struct.unpack_from(">I4s", data, at)
        body = memoryview(data)[at + 4 : at + 8 + length]
        if len(body) != length + 4 or zlib.crc32(body) != int.from_bytes(
            data[at + 8 + length : at + 12 + length], "big"
        ):
            return False
        at += 12 + length
        if kind == b"IEND":
            return bool(at == len(data))
    return False


def _is_gif(data: bytes) -> bool:
    flags = data[10]
    at = 13 + (3 << ((flags & 7) + 1) if flags & 0x80 else 0)
    while data[at] != 0x3B:
        if data[at] == 0x2C:
            local = data[at + 9]
            at += 10 + (3 << ((local & 7) + 1) if local & 0x80 else 0) + 1
        elif data[at] == 0x21:
            at += 2
        else:
            return False
        while data[at]:
            at += data[at] + 1
        at += 1
    return at + 1 == len(data)


def _is_jpeg(data: bytes) -> bool:
    at = 2
    while data[at] == 0xFF and data[at + 1] != 0xD9:
        marker = data[at + 1]
        at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
        if marker == 0xDA:  # entropy-coded data: in it a 0xFF is followed by zero or a restart marker
            while True:
                at = data.find(b"\xff", at)
                if at < 0 or at + 1 >= len(data):
                    return False
                if data[at + 1] == 0 or 0xD0 <= data[at + 1] <= 0xD7:
                    at += 2
                    continue
                break
    return data[at : at + 2] == b"\xff\xd9" and at + 2 == len(data)
