"""What each of the 68 instructions of pickle protocols 0 to 5 does to the abstract machine.

A handler takes the machine and the offset behind the instruction's byte, and returns the offset of the next one. Arguments
that are long stay in the file. A value that one real reader accepts and another refuses is noted as an `anomaly`.
Source: CPython, `Lib/pickletools.py` (the list of instructions); differences from `Modules/_pickle.c` cited beside the lines.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from assay.formats.escapes import unescaped
from assay.formats.pickle_values import NOTHING, UNKNOWN, Blob, Box, Cut, Made, Name, Opaque, Stopped, Value

if TYPE_CHECKING:
    from assay.formats.pickle_machine import Machine

Handler = Callable[["Machine", int], int]

MAX_KEPT_TEXT = 4096
MAX_LINE = 1 << 20
MAX_LONG_BYTES = 1 << 10
MAX_MEMO = 2_000_000
MAX_PROTOCOL = 5
MAX_BLOBS = 1_000
LEAST_TEXT, MAX_TEXTS = 3, 500_000
_EMBEDDED = frozenset(
    b"\x80P\x1fB\xfdx7\x28\x04\x93" + b"NIJKMLFGSTUVXCci(])}\x82\x83\x84\x88\x89\x8a\x8b\x8c\x8d\x8e\x8f\x95\x96"
)  # first bytes of what may be an archive, a stream, or a pickle without a protocol
_OBJECTS = (Name, Made, Opaque)
_I4, _U2, _U4, _U8, _F8 = (struct.Struct(code).unpack_from for code in ("<i", "<H", "<I", "<Q", ">d"))


def _line(m: Machine, pos: int) -> tuple[bytes, int]:
    """A line and the offset behind it. Python's reader takes a last line without its end, the C reader does not."""
    end = m.data.find(b"\n", pos, min(m.size, pos + MAX_LINE))
    if end < 0:
        m.breaks("a line does not end")
        return bytes(m.data[pos : min(m.size, pos + MAX_LINE)]), min(m.size, pos + MAX_LINE)
    return bytes(m.data[pos:end]), end + 1


def _int(m: Machine, pos: int) -> int:
    """INT: `int(x, 0)` in Python, `strtol(x, 0)` in C, so octal and signs differ; `00` and `01` are booleans."""
    text, pos = _line(m, pos)
    m.stack.append(bool(int(text)) if text in (b"00", b"01") else _number(m, text))
    return pos


def _long(m: Machine, pos: int) -> int:
    text, pos = _line(m, pos)
    m.stack.append(_number(m, text.removesuffix(b"L")))
    return pos


def _number(m: Machine, text: bytes) -> Value:
    if not text.removeprefix(b"-").isdigit() or (text.lstrip(b"-0") != text.lstrip(b"-") and text.strip(b"-0")):
        m.strange("anomaly", "a number is written so that readers differ")
    for base in (0, 8, 10):  # `strtol` takes a leading zero as octal, Python refuses it
        try:
            return int(text[:4000], base)
        except ValueError:
            continue
    m.breaks("a number is malformed")
    return UNKNOWN


def _float(m: Machine, pos: int) -> int:
    text, pos = _line(m, pos)
    try:
        m.stack.append(float(text))
    except ValueError:
        m.breaks("a number is malformed")
        m.stack.append(UNKNOWN)
    return pos


def _fixed(read: Callable[..., tuple[Any, ...]], width: int) -> Handler:
    def handler(m: Machine, pos: int) -> int:
        m.stack.append(read(m.data, pos)[0])
        return pos + width

    return handler


def _byte(m: Machine, pos: int) -> int:
    m.stack.append(m.data[pos])
    return pos + 1


def _binary_long(read: Callable[..., tuple[Any, ...]], width: int) -> Handler:
    def handler(m: Machine, pos: int) -> int:
        size = read(m.data, pos)[0]
        _check_size(m, pos + width, size)
        if size <= MAX_LONG_BYTES:
            m.stack.append(int.from_bytes(m.data[pos + width : pos + width + size], "little", signed=True))
        else:
            m.stack.append(2**64)
        return int(pos + width + size)

    return handler


def _check_size(m: Machine, start: int, size: int) -> None:
    if not 0 <= size <= m.size - start:
        raise Cut(f"{size} bytes are announced and {max(0, m.size - start)} are left")


def _string(m: Machine, pos: int) -> int:
    """STRING, a quoted line. C and Python want equal quotes at both ends, pickletools only the first kind found."""
    start = pos
    text, pos = _line(m, pos)
    _keep_text(m, start + 1, start + len(text) - 1)
    if len(text) < 2 or text[:1] != text[-1:] or text[:1] not in (b"'", b'"'):
        m.breaks("a text is badly quoted")
        text = b"'" + text.strip().strip(b"'\"") + b"'"
    m.stack.append(unescaped(text[1:-1].decode("latin-1")))
    return pos


def _unicode(m: Machine, pos: int) -> int:
    """UNICODE, a line in raw-unicode-escape."""
    start = pos
    text, pos = _line(m, pos)
    _keep_text(m, start, start + len(text))
    try:
        m.stack.append(text.decode("raw_unicode_escape"))
    except UnicodeDecodeError:
        m.breaks("a text is badly escaped")
        m.stack.append(UNKNOWN)
    return pos


def _sized(read: Callable[..., tuple[Any, ...]] | None, width: int, kind: str) -> Handler:
    """Bytes or text behind its length; what is long stays in the file."""

    def handler(m: Machine, pos: int) -> int:
        size = read(m.data, pos)[0] if read else m.data[pos]
        start = pos + width
        end = start + size
        if end > m.size or size < 0:
            _check_size(m, start, size)
        if kind in "ba":
            m.stack.append(blob := Blob(kind, start, size))
            m.constants += size > 3
            if size > 3 and m.data[start] in _EMBEDDED and len(m.blobs) < MAX_BLOBS:
                m.blobs.append(blob)
        elif size > MAX_KEPT_TEXT:
            m.stack.append(Blob("s", start, size))
            _keep_text(m, start, end)
        else:
            m.stack.append(_text(m, m.data[start:end], kind))
            _keep_text(m, start, end)
        return int(end)

    return handler


def _keep_text(m: Machine, start: int, end: int) -> None:
    """Notes where a text lies that a person or a program may have written a credential into."""
    if end - start >= LEAST_TEXT and len(m.texts) < MAX_TEXTS:
        m.texts.append((start, end))


def _text(m: Machine, data: bytes, kind: str) -> Value:
    if kind == "s":
        return data.decode("latin-1")
    try:
        return data.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        m.breaks("a text is not UTF-8")
        return data.decode("latin-1")


def _push(value: Value) -> Handler:
    def handler(m: Machine, pos: int) -> int:
        m.stack.append(value)
        return pos

    return handler


def _new(kind: str) -> Handler:
    def handler(m: Machine, pos: int) -> int:
        m.stack.append(Box(kind))
        return pos

    return handler


def _filled(kind: str) -> Handler:
    """LIST, DICT, FROZENSET: a container of everything above the mark."""

    def handler(m: Machine, pos: int) -> int:
        items, box = m.popped_to_mark(), Box(kind)
        if kind == "d":
            _fill_dict(m, box, items)
        else:
            box.take(items)
        m.stack.append(box)
        return pos

    return handler


def _fill_dict(m: Machine, box: Box, items: list[Value]) -> None:
    if len(items) % 2:
        m.breaks("a dict has a key without a value")
    box.put(items)


def _tuple(m: Machine, pos: int) -> int:
    m.stack.append(tuple(m.popped_to_mark()))
    return pos


def _tuple_of(count: int) -> Handler:
    def handler(m: Machine, pos: int) -> int:
        fence = m.marks[-1] if m.marks else 0
        if len(m.stack) - fence >= count:
            m.stack[-count:] = [tuple(m.stack[-count:])]
        else:
            items = [m.pop() for _ in range(count)]
            m.stack.append(tuple(reversed(items)))
        return pos

    return handler


def _append(m: Machine, pos: int) -> int:
    item = m.pop()
    _extend(m, "APPEND", [item])
    return pos


def _appends(m: Machine, pos: int) -> int:
    _extend(m, "APPENDS", m.popped_to_mark())
    return pos


def _setitem(m: Machine, pos: int) -> int:
    value, key = m.pop(), m.pop()
    _extend(m, "SETITEM", [key, value])
    return pos


def _setitems(m: Machine, pos: int) -> int:
    items = m.popped_to_mark()
    if len(items) % 2:
        m.breaks("a dict has a key without a value")
    _extend(m, "SETITEMS", items)
    return pos


def _additems(m: Machine, pos: int) -> int:
    _extend(m, "ADDITEMS", m.popped_to_mark())
    return pos


def _extend(m: Machine, op: str, items: list[Value]) -> None:
    """Puts items into the topmost value; on anything but a builtin container that is a method of it, hence a use."""
    target = m.peek()
    if type(target) is Box:
        if target.kind == "d":
            target.put(items)
        else:
            target.take(items)
    elif type(target) in _OBJECTS and target is not NOTHING:
        m.used(op, target, ())
    else:
        m.strange("anomaly", "items are put into something that holds none")


def _pop(m: Machine, pos: int) -> int:
    """POP takes a mark where nothing lies above it."""
    if m.marks and m.marks[-1] == len(m.stack):
        m.marks.pop()
    else:
        m.pop()
    return pos


def _dup(m: Machine, pos: int) -> int:
    m.stack.append(m.peek())
    return pos


def _mark(m: Machine, pos: int) -> int:
    m.marks.append(len(m.stack))
    return pos


def _pop_mark(m: Machine, pos: int) -> int:
    m.popped_to_mark()
    return pos


def _get(m: Machine, slot: int, pos: int) -> int:
    try:
        m.stack.append(m.memo[slot])
    except KeyError:
        m.breaks("an empty memo slot is read")
        m.stack.append(UNKNOWN)
    return pos


def _put(m: Machine, slot: int, pos: int) -> int:
    value = m.peek()
    if m.memo.setdefault(slot, value) is not value:
        m.strange("anomaly", "a memo slot is written again")
        m.memo[slot] = value
    if slot < 0:
        m.breaks("a memo slot has a negative number")
    if len(m.memo) > MAX_MEMO:
        m.limit = f"more than {MAX_MEMO} memo slots"
        raise Cut(m.limit)
    return pos


def _slot_line(use: Callable[[Machine, int, int], int]) -> Handler:
    def handler(m: Machine, pos: int) -> int:
        text, pos = _line(m, pos)
        if not text.isdigit():
            m.strange("anomaly", "a memo slot is written so that readers differ")
        try:
            return use(m, int(text[:20]), pos)
        except ValueError:
            m.breaks("a memo slot is malformed")
            return use(m, -1, pos)

    return handler


def _slot(use: Callable[[Machine, int, int], int], read: Callable[..., tuple[Any, ...]], width: int) -> Handler:
    return lambda m, pos: use(m, read(m.data, pos)[0], pos + width)


def _binget(m: Machine, pos: int) -> int:
    return _get(m, m.data[pos], pos + 1)


def _binput(m: Machine, pos: int) -> int:
    return _put(m, m.data[pos], pos + 1)


def _memoize(m: Machine, pos: int) -> int:
    return _put(m, len(m.memo), pos)


def _extension(read: Callable[..., tuple[Any, ...]] | None, width: int) -> Handler:
    def handler(m: Machine, pos: int) -> int:
        m.strange("extension", str(read(m.data, pos)[0] if read else m.data[pos]))
        m.stack.append(Opaque("x"))
        return pos + width

    return handler


def _name_pair(m: Machine, pos: int) -> tuple[Name, int]:
    """GLOBAL and INST: two lines. pickletools reads ASCII, the others UTF-8; pickletools also strips nothing."""
    module, pos = _line(m, pos)
    name, pos = _line(m, pos)
    if not (module.isascii() and name.isascii()):
        m.strange("anomaly", "a name is not ASCII")
    if not module or not name:
        m.breaks("a name is empty")  # the C reader wants one character at least
    texts = [part.decode("utf-8", "backslashreplace") for part in (module, name)]
    return m.named(texts[0], texts[1]), pos


def _global(m: Machine, pos: int) -> int:
    name, pos = _name_pair(m, pos)
    m.stack.append(name)
    return pos


def _stack_global(m: Machine, pos: int) -> int:
    name, module = m.pop(), m.pop()
    m.stack.append(m.named(module if type(module) is str else None, name if type(name) is str else None))
    return pos


def _reduce(m: Machine, pos: int) -> int:
    args, target = m.pop(), m.pop()
    _call(m, "REDUCE", target, args)
    return pos


def _newobj(m: Machine, pos: int) -> int:
    args, target = m.pop(), m.pop()
    _call(m, "NEWOBJ", target, args)
    return pos


def _newobj_ex(m: Machine, pos: int) -> int:
    kwargs, args, target = m.pop(), m.pop(), m.pop()
    _call(m, "NEWOBJ_EX", target, (args, kwargs))
    return pos


def _inst(m: Machine, pos: int) -> int:
    target, pos = _name_pair(m, pos)
    _call(m, "INST", target, tuple(m.popped_to_mark()))
    return pos


def _obj(m: Machine, pos: int) -> int:
    items = m.popped_to_mark()
    if not items:
        m.breaks("the stack runs empty")
    _call(m, "OBJ", items[0] if items else NOTHING, tuple(items[1:]))
    return pos


def _call(m: Machine, op: str, target: Value, args: Value) -> None:
    if type(target) in _OBJECTS and target is not NOTHING:
        m.call(op, target, args)
    else:
        m.breaks("something is called that cannot be")
        m.stack.append(UNKNOWN)


def _build(m: Machine, pos: int) -> int:
    state, target = m.pop(), m.peek()
    if type(target) in _OBJECTS and target is not NOTHING:
        m.used("BUILD", target, state)
    else:
        m.strange("anomaly", "a state is set on something that has none")  # no reader minds an empty state
    if type(target) is Made:
        target.state = state
        if m.inline is not None:
            return m.inline(m, pos)
    return pos


def _persid(m: Machine, pos: int) -> int:
    text, pos = _line(m, pos)
    m.used("PERSID", UNKNOWN, text.decode("latin-1"))
    m.stack.append(Opaque("p"))
    return pos


def _binpersid(m: Machine, pos: int) -> int:
    pid = m.pop()
    m.used("PERSID", UNKNOWN, pid)
    is_class = type(pid) is tuple and len(pid) > 1 and pid[0] == "module" and type(pid[1]) is Name
    m.stack.append(pid[1] if is_class else Opaque("p"))  # torch's legacy files name classes in this way
    return pos


def _proto(m: Machine, pos: int) -> int:
    version = m.data[pos]
    if version > MAX_PROTOCOL:
        m.breaks(f"protocol {version} is not known")
    m.protos += 1
    if m.at != m.start and version != m.protocol:
        m.strange("anomaly", "the protocol changes inside the stream")
    m.protocol = max(m.protocol, version)
    return pos + 1


def _frame(m: Machine, pos: int) -> int:
    size = _U8(m.data, pos)[0]
    if m.at < m.frame_end:
        m.strange("anomaly", "a frame begins inside another")  # Python refuses it, C does not
    if size > m.size - pos - 8:
        m.strange("anomaly", "a frame is longer than the file")  # the C reader fails here, Python's does not
    m.frame_end = pos + 8 + size
    return pos + 8


def _stop(m: Machine, pos: int) -> int:
    if pos < m.frame_end <= m.size:
        m.strange("anomaly", "a frame goes on behind STOP")
    if not m.stack:
        m.breaks("the stack runs empty")
    raise Stopped


def _next_buffer(m: Machine, pos: int) -> int:
    m.stack.append(Blob("a", pos, 0))
    return pos


def _readonly_buffer(m: Machine, pos: int) -> int:
    m.peek()
    return pos


_HANDLERS: dict[str, Handler] = {
    "I": _int, "J": _fixed(_I4, 4), "K": _byte, "M": _fixed(_U2, 2), "L": _long, "\x8a": _binary_long(struct.Struct("B").unpack_from, 1),
    "\x8b": _binary_long(_I4, 4), "S": _string, "T": _sized(_I4, 4, "s"), "U": _sized(None, 1, "s"), "B": _sized(_U4, 4, "b"),
    "C": _sized(None, 1, "b"), "\x8e": _sized(_U8, 8, "b"), "\x96": _sized(_U8, 8, "a"), "\x97": _next_buffer,
    "\x98": _readonly_buffer, "N": _push(None), "\x88": _push(True), "\x89": _push(False), "V": _unicode,
    "\x8c": _sized(None, 1, "u"), "X": _sized(_U4, 4, "u"), "\x8d": _sized(_U8, 8, "u"), "F": _float, "G": _fixed(_F8, 8),
    "]": _new("l"), "a": _append, "e": _appends, "l": _filled("l"), ")": _push(()), "t": _tuple, "\x85": _tuple_of(1),
    "\x86": _tuple_of(2), "\x87": _tuple_of(3), "}": _new("d"), "d": _filled("d"), "s": _setitem, "u": _setitems,
    "\x8f": _new("e"), "\x90": _additems, "\x91": _filled("z"), "0": _pop, "2": _dup, "(": _mark, "1": _pop_mark,
    "g": _slot_line(_get), "h": _binget, "j": _slot(_get, _U4, 4), "p": _slot_line(_put), "q": _binput, "r": _slot(_put, _U4, 4),
    "\x94": _memoize, "\x82": _extension(None, 1), "\x83": _extension(_U2, 2), "\x84": _extension(_I4, 4), "c": _global,
    "\x93": _stack_global, "R": _reduce, "b": _build, "i": _inst, "o": _obj, "\x81": _newobj, "\x92": _newobj_ex,
    "\x80": _proto, ".": _stop, "\x95": _frame, "P": _persid, "Q": _binpersid,
}  # fmt: skip
TABLE: tuple[Handler | None, ...] = tuple(_HANDLERS.get(chr(code)) for code in range(256))
