"""The bytes of an HDF5 file by address, with bounds on every step and one budget for all structures that are visited.

Addresses are relative to the base address of the superblock. Nothing that a file says of itself is believed before it is
compared with the file. Source: HDF Group, "HDF5 File Format Specification", version 4.0.
"""

from __future__ import annotations

from assay.core.errors import MalformedInput
from assay.formats.impossible import Impossible
from assay.formats.pickle_machine import Data

MAX_STRUCTURES = 400_000
MAX_READ_BYTES = 512 << 20


class Cursor:
    """Reads numbers and bytes at addresses. `wide` and `long` are the bytes of an address and of a length."""

    def __init__(self, data: Data, base: int = 0, wide: int = 8, long: int = 8) -> None:
        self.data, self.base, self.wide, self.long = data, base, wide, long
        self.left, self.bytes_left = MAX_STRUCTURES, MAX_READ_BYTES

    @property
    def nowhere(self) -> int:
        """The address that means "none"."""
        return int((1 << (8 * self.wide)) - 1)

    def take(self, at: int, count: int) -> bytes:
        """`count` bytes at an address.

        Raises:
            MalformedInput: they lie outside the file, or too much was read in all.
        """
        start = self.base + at
        if at < 0 or count < 0 or start + count > len(self.data):
            raise Impossible("HDF5 points outside the file", f"{count} bytes at {at}")
        self.bytes_left -= count
        if self.bytes_left < 0:
            raise TooMuch("HDF5 structures are too large", f"more than {MAX_READ_BYTES} bytes")
        return bytes(self.data[start : start + count])

    def signed_by(self, at: int, mark: bytes) -> None:
        """Counts one structure that must begin with a signature."""
        self.spend()
        if (found := self.take(at, 4)) != mark:
            raise MalformedInput(f"an HDF5 structure has no mark {mark.decode()}", f"{found!r} at {at}")

    def spend(self, count: int = 1) -> None:
        """Counts structures.

        Raises:
            TooMuch: there were too many.
        """
        self.left -= count
        if self.left < 0:
            raise TooMuch("HDF5 has too many structures", f"more than {MAX_STRUCTURES}")

    def number(self, at: int, count: int) -> int:
        """An unsigned number of `count` bytes at an address."""
        return int.from_bytes(self.take(at, count), "little")

    def checked(self, at: int, count: int) -> bytes:
        """Bytes followed by their checksum; HDF5 refuses a structure whose checksum is wrong."""
        body = self.take(at, count + 4)
        if lookup3(body[:count]) != int.from_bytes(body[count:], "little"):
            raise MalformedInput("an HDF5 checksum is wrong", f"at {at}")
        return body[:count]


class TooMuch(MalformedInput):
    """A bound was reached, so the rest was not looked at."""


class Parts:
    """Bytes taken from the front, one field after the other."""

    def __init__(self, body: bytes, cursor: Cursor) -> None:
        self.body, self.at, self._cursor = body, 0, cursor

    def take(self, count: int) -> bytes:
        """The next bytes.

        Raises:
            MalformedInput: fewer are left.
        """
        if count < 0 or self.at + count > len(self.body):
            raise MalformedInput("an HDF5 message is cut short", f"{count} bytes at {self.at} of {len(self.body)}")
        self.at += count
        return self.body[self.at - count : self.at]

    def number(self, count: int) -> int:
        """The next number of `count` bytes."""
        return int.from_bytes(self.take(count), "little")

    def address(self) -> int:
        """The next address."""
        return self.number(self._cursor.wide)

    def length(self) -> int:
        """The next length."""
        return self.number(self._cursor.long)

    def rest(self) -> bytes:
        """What is left."""
        return self.body[self.at :]


def _mixed(a: int, b: int, c: int) -> tuple[int, int, int]:
    m = 0xFFFFFFFF
    for left, right in ((4, 28), (6, 26), (8, 24), (16, 16), (19, 13), (4, 28)):
        a = (a - c) & m
        a ^= ((c << left) | (c >> right)) & m
        c = (c + b) & m
        a, b, c = b, c, a
    return a, b, c


def _finished(a: int, b: int, c: int) -> int:
    m = 0xFFFFFFFF
    for left, right in ((14, 18), (11, 21), (25, 7), (16, 16), (4, 28), (14, 18), (24, 8)):
        c ^= b
        c = (c - (((b << left) | (b >> right)) & m)) & m
        a, b, c = b, c, a
    return b


def lookup3(body: bytes) -> int:
    """Bob Jenkins' hash `hashlittle` with an initial value of 0, by which HDF5 checks its metadata."""
    m = 0xFFFFFFFF
    a = b = c = (0xDEADBEEF + len(body)) & m
    at, size = 0, len(body)
    while size - at > 12:
        a = (a + int.from_bytes(body[at : at + 4], "little")) & m
        b = (b + int.from_bytes(body[at + 4 : at + 8], "little")) & m
        c = (c + int.from_bytes(body[at + 8 : at + 12], "little")) & m
        a, b, c = _mixed(a, b, c)
        at += 12
    if at == size:
        return c
    a = (a + int.from_bytes(body[at : at + 4], "little")) & m
    b = (b + int.from_bytes(body[at + 4 : at + 8], "little")) & m
    c = (c + int.from_bytes(body[at + 8 : at + 12], "little")) & m
    return _finished(a, b, c)
