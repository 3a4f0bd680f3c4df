"""Archives whose headers lie are refused whole."""

from __future__ import annotations

import io
import struct
import zipfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.core.errors import MalformedInput
from assay.formats.zip_archive import Archive, open_archive


def archive(members: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as new:
        for name, content in members.items():
            info = zipfile.ZipInfo(name, (2024, 1, 1, 0, 0, 0))  # the clock would change the names of the tests
            info.compress_type = compression
            new.writestr(info, content)
    return buffer.getvalue()


def opened(data: bytes) -> Archive:
    return open_archive(data)


PLAIN = archive({"a.txt": b"hello", "b/c.txt": b"x" * 1000}, zipfile.ZIP_DEFLATED)


def test_an_honest_archive_is_read() -> None:
    found = opened(PLAIN)
    assert list(found.members) == ["a.txt", "b/c.txt"]
    assert found.read("b/c.txt", 1000) == b"x" * 1000


def test_a_streamed_archive_is_read() -> None:
    class Unseekable(io.RawIOBase):
        def __init__(self) -> None:
            self.data = bytearray()

        def writable(self) -> bool:
            return True

        def write(self, data: object) -> int:
            self.data += bytes(data)
            return len(bytes(data))

    sink = Unseekable()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED) as new:
        new.writestr("a.txt", b"hello" * 50)
    assert opened(bytes(sink.data)).read("a.txt", 1000) == b"hello" * 50


def test_a_zip64_archive_is_read() -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as new, new.open("a.txt", "w", force_zip64=True) as member:
        member.write(b"hello")
    assert opened(buffer.getvalue()).read("a.txt", 10) == b"hello"


def forged_local_name() -> bytes:
    return PLAIN.replace(b"a.txt", b"z.txt", 1)


def forged_checksum() -> bytes:
    return PLAIN[:14] + b"\1\2\3\4" + PLAIN[18:]


def encrypted_flag() -> bytes:
    at = PLAIN.index(b"PK\1\2")
    return PLAIN[: at + 8] + struct.pack("<H", 1) + PLAIN[at + 10 :]


def duplicate() -> bytes:
    return archive({"a.txt": b"1", "b.txt": b"2"}).replace(b"b.txt", b"a.txt")


def with_comment() -> bytes:
    buffer = io.BytesIO(PLAIN)
    with zipfile.ZipFile(buffer, "a") as new:
        new.comment = b"hidden"
    return buffer.getvalue()


def bomb() -> bytes:
    return archive({"zeros": bytes(64 << 20)}, zipfile.ZIP_DEFLATED)


def declared_bomb() -> bytes:
    """Sizes of 4 GiB - 2 in both headers over a few bytes."""
    data = archive({"zeros": b"0" * 10}, zipfile.ZIP_DEFLATED)
    return data.replace(struct.pack("<I", 10), struct.pack("<I", 0xFFFFFFFE))


@pytest.mark.parametrize(
    "data",
    [
        b"", b"PK", PLAIN[:-1], PLAIN[:40], b"x" + PLAIN, PLAIN + b"x", forged_local_name(), forged_checksum(),
        encrypted_flag(), duplicate(), with_comment(), bomb(), declared_bomb(), archive({"../up": b"1"}),
        archive({"/root": b"1"}), archive({"A": b"1", "a": b"2"}), archive({"x": b"1"}, zipfile.ZIP_LZMA),
    ],
)  # fmt: skip
def test_a_lying_archive_is_malformed(data: bytes) -> None:
    with pytest.raises(MalformedInput):
        opened(data)


def test_a_member_beyond_its_bound_is_not_inflated() -> None:
    with pytest.raises(MalformedInput, match="too large"):
        opened(PLAIN).read("b/c.txt", 999)


def test_a_gap_between_members_is_malformed() -> None:
    at = PLAIN.index(b"PK\3\4", 4)
    with pytest.raises(MalformedInput):
        opened(PLAIN[:at] + b"hidden" + PLAIN[at:])


@given(st.binary(max_size=50), st.integers(0, len(PLAIN)))
def test_no_bytes_make_the_walk_fail_otherwise(noise: bytes, at: int) -> None:
    for data in (noise, PLAIN[:at] + noise + PLAIN[at + len(noise) :]):
        try:
            found = opened(data)
            for name in found.members:
                found.read(name, 1 << 20)
        except MalformedInput:
            pass
