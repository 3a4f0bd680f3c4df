"""HTTP/1.1 messages from hostile bytes: a head, then a body whose end only one reader can understand.

    bytes ─► Reader ─► Head ─► pieces of its body ─► END ─► the next head …        None: more bytes are needed

Stricter than the standard asks, since what two readers could understand in two ways is how requests are smuggled: every line
ends with CR LF and none goes on in the next, no space stands before a colon and no control character anywhere, and a body has
one content-length or the one transfer encoding `chunked`. Sizes, heads and trailers are bounded; nothing is looked at twice.
Source: RFC 9112 (2022), sections 2.2, 3, 4, 5.1, 5.2, 6.3 and 7.1; RFC 9110, section 5.6.2 for tokens.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

from assay.core.errors import MalformedInput

MAX_HEAD_BYTES: Final = 64 << 10
MAX_TRAILER_BYTES: Final = 8 << 10
MAX_SIZE_LINE: Final = 256

Fields = Sequence[tuple[bytes, bytes]]  # names in lower case

_TOKEN, _TEXT = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+", rb"[\t\x20-\x7e\x80-\xff]*"
_ARE_FIELDS = re.compile(rb"(?:\r\n%s:%s)*" % (_TOKEN, _TEXT)).fullmatch
_IS_REQUEST = re.compile(rb"(%s) ([!-~]{1,8192}) HTTP/1\.([01])" % _TOKEN).fullmatch
_IS_STATUS = re.compile(rb"HTTP/1\.([01]) ([1-9][0-9]{2})(?: %s)?" % _TEXT).fullmatch
_IS_SIZE = re.compile(rb"([0-9A-Fa-f]{1,12})(?:;%s)?" % _TEXT).fullmatch
_FRAMING = (b"content-length", b"transfer-encoding")
_IS_LENGTH = re.compile(rb"[0-9]{1,15}").fullmatch


class Ends(Enum):
    """How a body ends that has no length: in chunks, with its connection, or nobody can say."""

    CHUNKED = auto()
    CLOSED = auto()
    UNCLEAR = auto()


class End(Enum):
    """The end of a message."""

    END = auto()


END: Final = End.END


@dataclass(frozen=True, slots=True)
class Head:
    """The head of a message: `method` and `target` of a request, `status` of an answer. `is_old` says HTTP/1.0."""

    fields: Fields
    length: int | Ends
    is_old: bool = False
    method: str = ""
    target: bytes = b""
    status: int = 0


def request_head(data: bytes) -> Head:
    """The head of a request, without the empty line. One whose length is not clear is `UNCLEAR`: nothing may follow it.

    Raises:
        MalformedInput: it is none.
    """
    line, fields = _parted(data)
    if (found := _IS_REQUEST(line)) is None:
        raise MalformedInput("the first line is no request of HTTP/1.1")
    is_old = found[3] == b"0"
    length = _length(fields, is_old=is_old)
    return Head(fields, 0 if length is Ends.CLOSED else length, is_old, found[1].decode("ascii"), found[2])


def answer_head(data: bytes) -> Head:
    """The head of an answer to anything but HEAD and CONNECT, without the empty line.

    Raises:
        MalformedInput: it is none, or it is not clear where its body ends.
    """
    line, fields = _parted(data)
    if (found := _IS_STATUS(line)) is None:
        raise MalformedInput("the first line is no status of HTTP/1.1")
    status, is_old = int(found[2]), found[1] == b"0"
    length = _length(fields, is_old=is_old)
    if length is Ends.UNCLEAR:
        raise MalformedInput("it is not clear where an answer ends")
    return Head(fields, 0 if status < 200 or status in (204, 304) else length, is_old, status=status)


def written(line: bytes, fields: Fields) -> bytes:
    """The bytes of a head with its empty line.

    Raises:
        MalformedInput: a name or value holds what would end its line, or no name may hold.
    """
    text = b"".join([b"\r\n%s: %s" % field for field in fields])
    if not _ARE_FIELDS(text) or text.count(b"\r") != len(fields) or b"\r" in line or b"\n" in line:
        raise MalformedInput("a header cannot be sent", "it holds a control character")
    return line + text + b"\r\n\r\n"


class Reader:
    """The messages of one connection. `read_head` is `request_head` or `answer_head`."""

    def __init__(self, read_head: Callable[[bytes], Head]) -> None:
        self._read_head = read_head
        self._data = bytearray()
        self._looked = 0  # what stands before holds no end of a head or line
        self._left = 0  # of the piece of a body that is being read
        self._is_closed = False
        self._next: Callable[[], Head | bytes | End | None] = self._head

    @property
    def waiting(self) -> int:
        """How many bytes came and were not read."""
        return len(self._data)

    @property
    def is_between(self) -> bool:
        """Whether no message has begun."""
        return not self._data and self._next == self._head

    def feed(self, data: bytes) -> None:
        """Bytes as they came."""
        self._data += data

    def close(self) -> None:
        """No more bytes will come."""
        self._is_closed = True

    def next(self) -> Head | bytes | End | None:
        """What comes next; None where more bytes are needed.

        Raises:
            MalformedInput: these are no messages of HTTP/1.1, or the last one broke off.
        """
        found = self._next()
        if found is None and self._is_closed and (self._data or self._next != self._head):
            raise MalformedInput("the message broke off")
        return found

    def _head(self) -> Head | None:
        if self._data and not self._data[:1].isalpha():
            raise MalformedInput("this is no HTTP")
        data = self._until(b"\r\n\r\n", MAX_HEAD_BYTES)
        if data is None:
            return None
        head = self._read_head(data)
        if head.status and head.status < 200:
            return head  # the answer itself follows
        if isinstance(head.length, int):
            self._left, self._next = head.length, self._sized
        else:
            self._next = {Ends.CHUNKED: self._size, Ends.CLOSED: self._rest, Ends.UNCLEAR: self._over}[head.length]
        return head

    def _sized(self) -> bytes | End | None:
        if self._left == 0:
            self._next = self._head
            return END
        return self._piece()

    def _rest(self) -> bytes | End | None:
        self._left = len(self._data)
        if self._left or not self._is_closed:
            return self._piece()
        self._next = self._head
        return END

    def _over(self) -> End:
        self._next = self._nothing
        return END

    def _nothing(self) -> None:
        """After a request whose length is not clear nothing is one."""
        self._data.clear()

    def _size(self) -> bytes | End | None:
        line = self._until(b"\r\n", MAX_SIZE_LINE)
        if line is None:
            return None
        if (found := _IS_SIZE(line)) is None:
            raise MalformedInput("the size of a chunk is no number")
        self._left = int(found[1], 16)
        self._next = self._chunk if self._left else self._trailer
        return self._next()

    def _chunk(self) -> bytes | End | None:
        if self._left:
            return self._piece()
        if len(self._data) < 2:
            return None
        if self._data[:2] != b"\r\n":
            raise MalformedInput("a chunk is longer than its size")
        del self._data[:2]
        self._next = self._size
        return self._size()

    def _trailer(self) -> End | None:
        """Fields after the last chunk say nothing that is believed here."""
        self._data[:0] = b"\r\n" if self._looked == 0 else b""
        fields = self._until(b"\r\n\r\n", MAX_TRAILER_BYTES)
        if fields is None:
            return None
        if any(name in _FRAMING for name, _ in _parted(fields)[1]):
            raise MalformedInput("the trailer of a body says how long it is")
        self._next = self._head
        return END

    def _piece(self) -> bytes | None:
        if not self._data:
            return None
        piece = bytes(self._data[: self._left])
        del self._data[: len(piece)]
        self._left -= len(piece)
        return piece

    def _until(self, mark: bytes, most: int) -> bytes | None:
        """What stands before `mark`, which is taken away with it."""
        begin = max(0, self._looked - len(mark))
        end = self._data.find(mark, begin)
        if max(end, len(self._data) if end < 0 else 0) > most:
            raise MalformedInput("a head or line is too long", f"at most {most} bytes are read")
        if end < 0:
            if self._data.find(b"\n\n", begin) >= 0:
                raise MalformedInput("lines end with CR LF")
            self._looked = len(self._data)
            return None
        found = bytes(self._data[:end])
        del self._data[: end + len(mark)]
        self._looked = 0
        return found


def _parted(data: bytes) -> tuple[bytes, Fields]:
    """The first line, and the fields below it."""
    at = data.find(b"\r\n")
    if at < 0:
        return data, ()
    if not _ARE_FIELDS(data, at):
        raise MalformedInput("a header is malformed")
    parted = [line.partition(b":") for line in data[at + 2 :].split(b"\r\n")]
    return data[:at], [(name.lower(), value.strip(b" \t")) for name, _, value in parted]


def _length(fields: Fields, *, is_old: bool) -> int | Ends:
    """Section 6.3; `CLOSED` where nothing is said."""
    said = [value for name, value in fields if name == b"content-length"]
    coded = [value for name, value in fields if name == b"transfer-encoding"]
    if coded:
        is_clear = not said and not is_old and len(coded) == 1 and coded[0].lower() == b"chunked"
        return Ends.CHUNKED if is_clear else Ends.UNCLEAR
    if said:
        return int(said[0]) if len(said) == 1 and _IS_LENGTH(said[0]) else Ends.UNCLEAR
    return Ends.CLOSED
