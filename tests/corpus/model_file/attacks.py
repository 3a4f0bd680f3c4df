"""Attack files by technique, made from scratch, and their benign twins. Payloads are inert: they would create a marker.

Each case has the name of its technique, CVE, advisory or paper. `needs_proof` marks pickles that really run their payload in
an ordinary loader, which `test_payloads_run` proves in a child process. Nothing here is ever loaded by the scan itself.
"""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import pickle
import random
import struct
import sys
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from tests.corpus.model_file import formats


@dataclass(frozen=True)
class Case:
    """One file. `is_core` attacks must be refused with exit 1; the others may be inconclusive; benign twins must be clean."""

    name: str
    path: str
    data: bytes
    is_core: bool = True
    needs_proof: bool = False


def u(text: str) -> bytes:
    """SHORT_BINUNICODE."""
    data = text.encode()
    return b"\x8c" + bytes([len(data)]) + data if len(data) < 256 else b"X" + struct.pack("<I", len(data)) + data


def call0(module: str, name: str, *args: str) -> bytes:
    """Protocol 0: GLOBAL, texts, TUPLE, REDUCE."""
    return f"c{module}\n{name}\n(".encode() + b"".join(f"V{arg}\n".encode() for arg in args) + b"tR"


def call2(module: str, name: str, *args: str) -> bytes:
    """Protocol 2 with memo."""
    return b"\x80\x02" + f"c{module}\n{name}\n".encode() + b"q\x00(" + b"".join(map(u, args)) + b"tq\x01Rq\x02"


def call4(module: str, name: str, *args: str) -> bytes:
    """Protocol 4: STACK_GLOBAL."""
    return b"\x80\x04" + u(module) + b"\x94" + u(name) + b"\x94\x93\x94(" + b"".join(map(u, args)) + b"t\x94R\x94"


def inst(module: str, name: str, *args: str) -> bytes:
    return b"(" + b"".join(f"V{arg}\n".encode() for arg in args) + f"i{module}\n{name}\n".encode()


def obj(module: str, name: str, *args: str) -> bytes:
    return b"(" + f"c{module}\n{name}\n".encode() + b"".join(f"V{arg}\n".encode() for arg in args) + b"o"


def memoed(module: str, name: str, *args: str) -> bytes:
    """The name's parts lie in memo slots that are fetched in another order."""
    return (
        b"\x80\x04" + u(name) + b"q\x050" + u(module) + b"q\x060" + b"h\x06h\x05\x93(" + b"".join(map(u, args)) + b"tR"
    )


def duplicated(module: str, name: str, *args: str) -> bytes:
    return b"\x80\x04" + u(module) + b"2" + b"0" + u(name) + b"\x93(" + b"".join(map(u, args)) + b"tR"


def rewritten(module: str, name: str, *args: str) -> bytes:
    """A memo slot that first holds something harmless."""
    return (
        b"\x80\x04"
        + u("collections")
        + b"q\x000"
        + u(module)
        + b"q\x000h\x00"
        + u(name)
        + b"\x93("
        + b"".join(map(u, args))
        + b"tR"
    )


ENCODINGS: dict[str, Callable[..., bytes]] = {
    "protocol0": call0, "protocol2": call2, "protocol4": call4, "inst": inst, "obj": obj, "memo": memoed, "dup": duplicated,
    "memo-rewritten": rewritten,
}  # fmt: skip
SHELL = ("os", "system", "echo > marker")
GADGETS: tuple[tuple[str, ...], ...] = (
    SHELL, ("posix", "system", "echo > marker"), ("subprocess", "check_output", "true"), ("subprocess", "getoutput", "true"), ("builtins", "eval",
        "1"),
    ("builtins", "exec", "1"), ("builtins", "__import__", "this"), ("builtins", "open", "marker", "w"), ("builtins", "compile", "1", "x", "eval"),
    ("pty", "spawn", "true"),
    ("runpy", "run_path", "x.py"), ("runpy", "_run_code", "x"), ("importlib", "import_module", "this"), ("timeit", "timeit", "1"), ("cProfile", "run",
    "1"), ("profile", "run", "1"),
    ("pdb", "run", "1"), ("bdb", "Bdb", "x"), ("trace", "Trace", "x"), ("doctest", "debug_script", "1"), ("code", "interact", "x"), ("codeop",
    "compile_command", "1"),
    ("pickle", "loads", "x"), ("_pickle", "loads", "x"), ("marshal", "loads", "x"), ("shelve", "open", "x"), ("webbrowser", "open",
    "http://127.0.0.1:9"),
    ("socket", "create_connection", "127.0.0.1"), ("urllib.request", "urlopen", "http://127.0.0.1:9"), ("http.client", "HTTPConnection", "127.0.0.1"),
    ("ftplib", "FTP", "127.0.0.1"),
    ("smtplib", "SMTP", "127.0.0.1"), ("shutil", "rmtree", "/missing/x"), ("os", "remove", "/missing/x"), ("os", "popen", "true"), ("os", "execv",
    "/bin/true"),
    ("pathlib", "Path.write_text", "marker", "x"), ("pathlib", "Path.unlink", "/missing/x"), ("tempfile", "mkdtemp", "x"), ("zipimport",
    "zipimporter", "x.zip"), ("ctypes", "CDLL", "/missing.so"),
    ("ctypes.util", "find_library", "c"), ("multiprocessing.util", "spawnv_passfds", "x"), ("asyncio.unix_events", "_UnixSubprocessTransport._start",
    "x"), ("test.support.script_helper", "assert_python_ok", "-c"),
    ("idlelib.pyshell", "ModifiedInterpreter.runcode", "x"), ("lib2to3.pgen2.pgen", "ParserGenerator.make_label", "x"), ("ensurepip", "_run_pip",
    "x"), ("venv", "create", "x"), ("pip", "main", "x"),
    ("pip._internal.cli.main", "main", "x"), ("setuptools._distutils.spawn", "spawn", "true"), ("numpy.testing._private.utils", "runstring", "1",
    "x"), ("numpy", "load", "x"), ("numpy.f2py.crackfortran", "getlincoef", "1", "x"),
    ("numpy", "fromfile", "/etc/hostname"), ("numpy", "savetxt", "marker"), ("numpy", "memmap", "/etc/hostname"), ("numpy.ctypeslib", "load_library",
    "x"), ("pandas", "read_pickle", "x"), ("pandas", "eval", "1"),
    ("pandas.io.common", "get_handle", "x"), ("joblib", "load", "x"), ("joblib.numpy_pickle", "load", "x"), ("sklearn.datasets", "fetch_openml", "x"),
    ("sklearn.datasets._base", "load_files", "x"),
    ("torch", "load", "x"), ("torch.hub", "load", "x"), ("torch.jit", "load", "x"), ("torch.serialization", "load", "x"),
    ("torch.utils.cpp_extension", "load_inline", "x"), ("torch._inductor.codecache", "compile_file", "x"),
    ("torch.utils.bottleneck.__main__", "run_autograd_prof", "x"), ("torch.utils.collect_env", "run", "true"),
    ("torch.fx.experimental.symbolic_shapes", "ShapeEnv.evaluate_guards_expression", "1"),
    ("torch.utils._config_module", "ConfigModule.load_config", "x"), ("torch.distributed.rpc.internal", "_run_function", "x"),
    ("scipy.stats._distn_infrastructure", "rv_continuous", "x"), ("scipy.io", "loadmat", "x"),
    ("yaml", "unsafe_load", "x"), ("yaml", "load", "x"), ("dill", "loads", "x"), ("cloudpickle", "loads", "x"), ("logging.config", "fileConfig", "x"),
    ("logging.config", "dictConfig", "x"), ("gc", "collect", "x"), ("sys", "exit", "x"),
    ("types", "FunctionType", "x"), ("types", "CodeType", "x"), ("functools", "partial", "x"), ("functools", "reduce", "x"), ("operator",
    "attrgetter", "system"), ("operator", "methodcaller", "system"), ("builtins", "getattr", "x", "y"),
    ("builtins", "map", "x"), ("builtins", "filter", "x"), ("builtins", "setattr", "x"), ("builtins", "vars", "x"), ("builtins", "globals"),
    ("builtins", "breakpoint"), ("builtins", "input"), ("builtins", "help"), ("atexit", "register", "x"), ("signal", "signal", "x"),
    ("threading", "Timer", "x"), ("sched", "scheduler", "x"), ("concurrent.futures.process", "_process_worker", "x"), ("linecache", "getline",
    "/etc/hostname"), ("fileinput", "input", "x"), ("glob", "glob", "/*"), ("site", "execsitecustomize"),
    ("_osx_support", "_read_output", "true"), ("_aix_support", "_read_cmd_output", "true"), ("_pyrepl.pager", "pipe_pager", "x", "true"), ("pydoc",
    "pipepager", "x", "true"), ("pydoc", "locate", "this"), ("imaplib", "IMAP4_stream", "true"), ("uuid", "_get_command_stdout", "true"),
    ("distutils.file_util", "write_file", "marker"), ("json.tool", "main"), ("sqlite3", "connect", "marker"), ("dbm", "open", "marker"), ("mailbox",
    "mbox", "marker"), ("xmlrpc.client", "ServerProxy", "http://127.0.0.1:9"), ("wsgiref.simple_server", "make_server", "x"),
    ("collections", "OrderedDict.fromkeys.__self__.__class__.__base__.__subclasses__"), ("collections", "namedtuple", "x", "y"), ("collections",
    "_sys.modules"), ("datetime", "sys.exit", "x"), ("numpy", "os.system", "true"), ("numpy.core.multiarray", "os.system", "true"), ("sklearn.base",
    "os.system", "true"),
    ("joblib._memmapping_reducer", "os.system", "true"), ("torch._utils", "os.system", "true"), ("unknown_library.things", "do_something", "x"),
    ("my_models", "Model"),
)  # fmt: skip


def pickles() -> Iterator[Case]:
    """Gadgets in every encoding; the first ones prove to run."""
    for i, gadget in enumerate(GADGETS):
        module, name, *args = gadget
        names = list(ENCODINGS) if i < 6 else [list(ENCODINGS)[i % 8], list(ENCODINGS)[(i + 3) % 8], "protocol4"]
        for encoding in dict.fromkeys(names):
            proves = gadget == SHELL and encoding != "obj"
            yield Case(
                f"gadget-{module}.{name}-{encoding}",
                "m.pkl",
                ENCODINGS[encoding](module, name, *args) + b".",
                needs_proof=proves,
            )


def odd_streams() -> Iterator[Case]:
    """Tricks with the stream; each has the same inert shell payload."""
    bad = call4(*SHELL)
    harmless = pickle.dumps({"weights": [1.0, 2.0]}, 4)
    streams = {
        "result-popped": bad + b"0N.", "behind-STOP": harmless + bad + b".", "second-stream-old": harmless + call0(*SHELL) + b".", "no-STOP": bad,
        "error-after-payload": bad + b"\xff\xff",
        "underflow-after-payload": bad + b"00000.", "proto-in-the-middle": b"\x80\x04N0" + bad + b".",
        "proto-twice": b"\x80\x02\x80\x02" + bad[2:] + b".", "mark-before-global": b"\x80\x04(" + bad[2:] + b"0.",
        "deep-marks": b"\x80\x04" + b"(" * 500 + bad[2:] + b".", "megabytes-before": b"\x80\x04B" + struct.pack("<I",
        3 << 20) + bytes(3 << 20) + b"0" + bad[2:] + b".", "lying-frame": b"\x80\x04\x95" + struct.pack("<Q", 5) + bad[2:] + b".",
        "frame-beyond-the-end": b"\x80\x04\x95" + struct.pack("<Q", 1 << 40) + bad[2:] + b".",
        "GHSA-6ggj-BUILD": b"\x80\x04" + u("os") + u("system") + b"\x93}" + u("x") + u("y") + b"sb.",
        "BUILD-on-class": b"\x80\x04" + u("collections") + u("OrderedDict") + b"\x93}" + u("__reduce__") + u("y") + b"sb.",
        "EXT1": b"\x80\x02\x82\x01.", "EXT4": b"\x80\x02\x84\x01\x00\x00\x00.", "persistent-id": b"Pnothing\n.",
        "binary-persistent-id": b"\x80\x02" + u("x") + b"Q.", "computed-name": b"\x80\x04" + u("os") + call4("builtins", "str",
        "system")[2:] + b"\x93(" + u("true") + b"tR.", "CVE-2025-10157-submodule": call4("asyncio.unix_events", "os.system", "true") + b".",
        "setitem-on-module-dict": b"\x80\x04" + u("builtins") + u("__dict__") + b"\x93" + u("print") + u("x") + b"s.",
        "append-on-global": b"\x80\x04" + u("sys") + u("path") + b"\x93" + u("/tmp") + b"a.",
        "call-of-a-result": call4("collections", "OrderedDict") + b")R.", "dict-of-payloads": b"\x80\x04}(" + u("a") + bad[2:] + b"u.",
        "payload-in-bytes-constant": pickle.dumps({"x": call4(*SHELL) + b"."}, 4),
        "payload-in-gzip-constant": pickle.dumps({"x": gzip.compress(call4(*SHELL) + b".", mtime=0)}, 4),
        "octal-int-before": b"I010\n0" + call0(*SHELL) + b".", "badly-quoted-before": b"S'x\n0" + call0(*SHELL) + b".",
        "string-with-escapes": b"S'a\\x41'\n0" + call0(*SHELL) + b".",
        "newobj-ex": b"\x80\x04" + u("subprocess") + u("Popen") + b"\x93(" + u("true") + b"t}\x92.",
        "newobj": b"\x80\x04" + u("subprocess") + u("Popen") + b"\x93(" + u("true") + b"t\x81.",
        "name-with-newline": b"\x80\x04" + u("os\n") + u("system") + b"\x93(" + u("true") + b"tR.",
        "unicode-name": b"\x80\x04" + u("оs") + u("system") + b"\x93(" + u("true") + b"tR.",
        "long-memo-index": b"\x80\x04" + u("os") + b"r\xff\xff\xff\x7f0j\xff\xff\xff\x7f" + u("system") + b"\x93(" + u("true") + b"tR.",
        "python2-name": call0("__builtin__", "execfile", "x") + b".", "python2-commands": call0("commands", "getoutput", "true") + b".",
        "copy_reg": call0("copy_reg", "add_extension", "x") + b".",
        "reconstructor-runs-init": b"ccopy_reg\n_reconstructor\n(csubprocess\nPopen\ncsubprocess\nPopen\nVtrue\ntR.",
        "getattr-walk": b"c__builtin__\ngetattr\n(cos\npath\nVos\ntR.",
        "rv_generic-exec": b"\x80\x04" + u("scipy.stats._distn_infrastructure") + u("rv_continuous") + b"\x93)\x81}" + u("_parse_arg_template") + u("import os") + b"sb.",  # noqa: E501
        "defaultdict-factory": b"\x80\x04" + u("collections") + u("defaultdict") + b"\x93" + u("os") + u("getcwd") + b"\x93\x85R.",
        "int-then-payload": b"\x80\x04K\x010" + bad[2:] + b".", "truncated-proto": b"\x80\x04\x8c\x02os\x8c\x06system\x93\x8c\x04true\x85R",
        "only-global": b"cos\nsystem\n.",
        "bytearray8": b"\x80\x05\x96" + struct.pack("<Q", 3) + b"abc0" + bad[2:] + b".", "float-line": b"F1.5\n0" + call0(*SHELL) + b".",
        "memory-bomb-bytearray": b"\x80\x04" + u("builtins") + u("bytearray") + b"\x93J\xff\xff\xff\x7f\x85R.",
        "numpy-shape-bomb": b"\x80\x04" + u("numpy.core.multiarray") + u("_reconstruct") + b"\x93" + u("numpy") + u("ndarray") + b"\x93J\xff\xff\xff\x7fJ\xff\xff\xff\x7f\x86C\x01b\x87R.",  # noqa: E501
    }  # fmt: skip
    proven = {
        "result-popped",
        "no-STOP",
        "error-after-payload",
        "underflow-after-payload",
        "proto-in-the-middle",
        "mark-before-global",
        "megabytes-before",
        "float-line",
        "int-then-payload",
    }
    for name, data in streams.items():
        yield Case(f"stream-{name}", "model.bin", data, needs_proof=name in proven)


def zipped(members: dict[str, bytes], method: int = zipfile.ZIP_STORED, comment: bytes = b"") -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as new:
        for name, content in members.items():
            info = zipfile.ZipInfo(name, (2024, 1, 1, 0, 0, 0))
            info.compress_type = method
            new.writestr(info, content)
        new.comment = comment
    return buffer.getvalue()


def tarred(members: dict[str, bytes], **more: object) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as new:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            for key, value in more.items():
                setattr(info, key, value)
            new.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def npy_of_objects(payload: bytes) -> bytes:
    header = b"{'descr': '|O', 'fortran_order': False, 'shape': (1,), }"
    header += b" " * (63 - (10 + len(header)) % 64) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + payload


def containers() -> Iterator[Case]:
    """The payload inside and behind archives and streams."""
    bad, fine = call2(*SHELL) + b".", pickle.dumps({"a": 1}, 2)
    torch = {"archive/data.pkl": bad, "archive/version": b"3\n", "archive/data/0": bytes(16)}
    whole = zipped(torch)
    yield Case("torch-zip", "m.pt", whole)
    yield Case("torch-zip-wrong-extension", "m.txt", whole)
    yield Case("torch-zip-deflated", "m.pt", zipped(torch, zipfile.ZIP_DEFLATED))
    yield Case("torch-zip-bzip2", "m.pt", zipped(torch, zipfile.ZIP_BZIP2))
    yield Case("torch-zip-lzma", "m.pt", zipped(torch, zipfile.ZIP_LZMA))
    yield Case("zip-prefixed", "m.pt", b"GIF89a" + bytes(100) + whole)
    yield Case("zip-comment", "m.pt", zipped(torch, comment=b"hello"))
    yield Case("zip-behind-pickle", "m.pkl", fine + whole)
    yield Case("zip-in-zip", "m.zip", zipped({"inner.zip": zipped({"x.zip": whole})}))
    yield Case("zip-odd-name", "m.pt", zipped({"archive/data.pkl": fine, "archive/notes.txt": bad}))
    yield Case("zip-slip", "m.zip", zipped({"../../x.txt": b"x"}))
    yield Case("zip-absolute", "m.zip", zipped({"/etc/x.txt": b"x"}))
    yield Case("zip-case-twins", "m.pt", zipped({"archive/data.pkl": fine, "archive/DATA.pkl": fine}))
    at = whole.index(b"PK\x01\x02")
    yield Case("CVE-2025-10156-crc", "m.pt", whole[: at + 16] + b"\1\2\3\4" + whole[at + 20 :])
    yield Case("GHSA-w8jq-encrypted-flag", "m.pt", whole[: at + 8] + b"\x01\x00" + whole[at + 10 :])
    yield Case("GHSA-w8jq-local-flag", "m.pt", whole[:6] + b"\x01\x00" + whole[8:])
    yield Case("zip-local-name-differs", "m.pt", whole.replace(b"archive/data.pkl", b"archive/data.txt", 1))
    yield Case("zip-method-forged", "m.pt", whole[: at + 10] + b"\x08\x00" + whole[at + 12 :])
    yield Case("zip-size-forged", "m.pt", whole[: at + 24] + b"\x01\x00\x00\x00" + whole[at + 28 :])
    yield Case("zip-hidden-member", "m.pt", whole[:at] + bad + whole[at:], is_core=False)
    yield Case("zip-no-directory", "m.pt", whole[:at], is_core=False)
    yield Case("zip-two-ends", "m.pt", zipped({"a.txt": b"x"}) + whole)
    for name, pack in {
        "gzip": lambda d: gzip.compress(d, mtime=0),
        "bzip2": bz2.compress,
        "xz": lzma.compress,
        "zlib": zlib.compress,
        "lzma": lambda d: lzma.compress(d, lzma.FORMAT_ALONE),
    }.items():
        yield Case(f"compressed-{name}", "m.joblib", pack(bad))
        yield Case(f"compressed-twice-{name}", "m.pkl.gz", gzip.compress(pack(bad), mtime=0))
        yield Case(f"compressed-{name}-trailing", "m.joblib", pack(fine) + bad, is_core=False)
        yield Case(
            f"compressed-{name}-cut", "m.joblib", pack(bad + bytes(range(256)) * 40)[:-20], is_core=name != "bzip2"
        )
    yield Case("tar", "m.tar", tarred({"a/m.pkl": bad}))
    yield Case("tar-gz", "m.tar.gz", gzip.compress(tarred({"a/m.pkl": bad}), mtime=0))
    yield Case("tar-slip", "m.tar", tarred({"../../x.txt": b"x"}))
    yield Case("tar-link", "m.tar", tarred({"x": b""}, type=tarfile.SYMTYPE, linkname="/etc/passwd"))
    yield Case("tar-device", "m.tar", tarred({"x": b""}, type=tarfile.CHRTYPE))
    yield Case("npy-objects", "a.npy", npy_of_objects(bad))
    yield Case("npz-objects", "a.npz", zipped({"a.npy": npy_of_objects(bad)}))
    yield Case("npy-trailing", "a.npy", npy_of_objects(fine) + bad)
    wrapper = b"\x80\x04cjoblib.numpy_pickle_compat\nNDArrayWrapper\n)\x81}"
    yield Case("joblib-companion-file", "m.joblib", wrapper + u("filename") + u("/missing/payload.npy") + b"sb.")
    yield Case("joblib-object-array", "m.joblib", b"\x80\x03" + _wrapped_array(b"O8") + bad + b".")
    yield Case(
        "joblib-payload-in-raw-array",
        "m.joblib",
        b"\x80\x03" + _wrapped_array(b"u1", len(bad), aligned=False) + bad + b".",
    )
    for i in range(9):
        nested = bad
        for _ in range(i * 2):
            nested = gzip.compress(nested, mtime=0)
        yield Case(f"nested-{i * 2}-times", "m.pkl", nested, is_core=i <= 3)
    for key, data in {
        "deflate-bomb": zipped({"a.npy": bytes(64 << 20)}, zipfile.ZIP_DEFLATED),
        "gzip-bomb": gzip.compress(bytes(64 << 20), mtime=0),
    }.items():
        yield Case(key, "m.npz", data, is_core=False)


def _wrapped_array(dtype: bytes, count: int = 1, aligned: bool = True) -> bytes:
    """A NumpyArrayWrapper as joblib writes it, up to the place of the raw array."""
    g = lambda m, n: f"c{m}\n{n}\n".encode()  # noqa: E731
    state = {
        "subclass": g("numpy", "ndarray"),
        "shape": b"M" + struct.pack("<H", count) + b"\x85",
        "order": u("C"),
        "dtype": g("numpy", "dtype") + u(dtype.decode()) + b"K\x00K\x01\x87R",
        "allow_mmap": b"\x89",
    }
    if aligned:
        state["numpy_array_alignment_bytes"] = b"K\x10"
    return (
        g("joblib.numpy_pickle", "NumpyArrayWrapper")
        + b")\x81}("
        + b"".join(u(key) + value for key, value in state.items())
        + b"ub"
    )


def tensors(header: object, buffer: bytes = bytes(8)) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + buffer


def gguf(keys: dict[str, str], tail: bytes = b"", version: int = 3, counts: tuple[int, int] | None = None) -> bytes:
    text = lambda s: struct.pack("<Q", len(s.encode())) + s.encode()  # noqa: E731
    body = b"".join(text(k) + struct.pack("<I", 8) + text(v) for k, v in keys.items())
    tensors_, number = counts or (0, len(keys))
    return b"GGUF" + struct.pack("<IQQ", version, tensors_, number) + body + tail


ESCAPES = {
    "CVE-2024-34359-globals": "{% for x in ().__class__.__base__.__subclasses__() %}{{ x }}{% endfor %}",
    "CVE-2026-5760-cycler": "{{ cycler.__init__.__globals__.os.popen('true').read() }}", "attr-filter": "{{ ''|attr('__class__') }}",
    "subscript": "{{ ''['__class__'] }}", "hex-escapes": "{{ ''['\\x5f\\x5fclass\\x5f\\x5f'] }}",
    "joined-underscores": "{{ ''['_' ~ '_' ~ 'class' ~ '_' ~ '_'] }}", "multiplied": "{{ ''['_'*2 + 'class' + '_'*2] }}",
    "lipsum": "{{ lipsum.__globals__['os'].popen('true') }}",
    "self": "{{ self._TemplateReference__context }}", "format": "{{ '{0.__class__}'.format(x) }}",
    "map-attribute": "{{ [x]|map(attribute='__class__')|list }}", "namespace": "{{ namespace.__init__.__globals__ }}",
    "gi_frame": "{{ x.gi_frame.f_globals }}", "mro": "{{ x.mro() }}",
    "include": "{% include '/etc/passwd' %}", "import": "{% from 'x' import y %}", "reversed": "{{ ''['__ssalc__'|reverse] }}",
    "in-macro": "{% macro m() %}{{ ''.__class__ }}{% endmacro %}{{ m() }}", "in-set": "{% set x = ''.__class__ %}",
    "unicode-escapes": "{{ ''['\\u005f\\u005fclass\\u005f\\u005f'] }}",
}  # fmt: skip
TEMPLATE = "{% for m in messages %}{{ '<|' + m['role'] + '|>' + m['content'] | trim }}{% endfor %}"


def pbuf(number: int, value: bytes | int) -> bytes:
    """One protobuf field."""

    def varint(n: int) -> bytes:
        out = b""
        while n > 127:
            out, n = out + bytes([n & 127 | 128]), n >> 7
        return out + bytes([n])

    return (
        varint(number << 3) + varint(value)
        if isinstance(value, int)
        else varint(number << 3 | 2) + varint(len(value)) + value
    )


def onnx(op: str = "Relu", domain: str = "", location: str = "") -> bytes:
    node = pbuf(1, b"x") + pbuf(2, b"y") + pbuf(4, op.encode()) + (pbuf(7, domain.encode()) if domain else b"")
    tensor = (
        pbuf(8, b"w") + pbuf(14, 1) + pbuf(13, pbuf(1, b"location") + pbuf(2, location.encode())) if location else b""
    )
    graph = pbuf(1, node) + pbuf(2, b"g") + (pbuf(5, tensor) if tensor else b"")
    return pbuf(1, 10) + pbuf(2, b"pytorch") + pbuf(7, graph) + pbuf(8, pbuf(1, b"") + pbuf(2, 17))


def tf_model(op: str) -> bytes:
    node = pbuf(1, b"n") + pbuf(2, op.encode())
    return pbuf(1, 1) + pbuf(
        2, pbuf(1, pbuf(4, b"serve")) + pbuf(2, pbuf(1, pbuf(1, b"x") + pbuf(2, b"Placeholder")) + pbuf(1, node))
    )


def keras(layer: dict[str, object]) -> dict[str, object]:
    return {
        "module": "keras",
        "class_name": "Sequential",
        "config": {"name": "s", "layers": [layer]},
        "registered_name": None,
    }


def others() -> Iterator[Case]:
    """Formats without pickles."""
    two = {
        "a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]},
        "b": {"dtype": "F32", "shape": [1], "data_offsets": [4, 8]},
    }
    broken: dict[str, bytes] = {
        "hole": tensors({**two, "b": {"dtype": "F32", "shape": [1], "data_offsets": [5, 9]}}, bytes(9)), "overlap": tensors({**two,
        "b": {"dtype": "F32", "shape": [1], "data_offsets": [3, 7]}}, bytes(7)), "tail": tensors(two, bytes(8) + call2(*SHELL) + b"."),
        "template-in-metadata": tensors({**two, "__metadata__": {"chat_template": ESCAPES["subscript"]}}),
    }  # fmt: skip
    for name, data in broken.items():
        yield Case(f"safetensors-{name}", "m.safetensors", data)
    for name, data in {"duplicate-key": tensors(b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}', bytes(4)), "shape-overflow": tensors({"a": {"dtype": "F32", "shape": [2**62, 4], "data_offsets": [0, 8]}}),  # noqa: E501
                       "unknown-dtype": tensors({"a": {"dtype": "X9", "shape": [1], "data_offsets": [0, 8]}}), "header-too-long": struct.pack("<Q",
                       1 << 60) + b"{}" + bytes(8)}.items():  # fmt: skip
        yield Case(f"safetensors-{name}", "m.safetensors", data, is_core=False)
    for name, template in ESCAPES.items():
        yield Case(
            f"template-{name}-gguf",
            "m.gguf",
            gguf({"general.architecture": "llama", "tokenizer.chat_template": template}),
        )
        yield Case(f"template-{name}-config", "tokenizer_config.json", json.dumps({"chat_template": template}).encode())
        yield Case(
            f"template-{name}-named",
            "tokenizer_config.json",
            json.dumps(
                {"chat_template": [{"name": "default", "template": TEMPLATE}, {"name": "tool", "template": template}]}
            ).encode(),
        )
        yield Case(f"template-{name}-file", "chat_template.jinja", template.encode())
    yield Case("CVE-2024-23496-gguf-count", "m.gguf", gguf({}, counts=(0, 1 << 62)), is_core=False)
    yield Case("CVE-2024-21802-gguf-tensors", "m.gguf", gguf({}, counts=(1 << 62, 0)), is_core=False)
    yield Case("gguf-string-length", "m.gguf", b"GGUF" + struct.pack("<IQQQ", 3, 0, 1, 1 << 63) + b"x", is_core=False)
    yield Case("gguf-tail", "m.gguf", gguf({"a": "b"}, tail=bytes(64) + call2(*SHELL) + b"."))
    for op, domain in {"PyOp": "ai.onnx.contrib", "Evil": "com.evil"}.items():
        yield Case(f"onnx-{op}", "m.onnx", onnx(op, domain))
    for name, location in {
        "CVE-2022-25882-dotdot": "../../etc/passwd",
        "CVE-2024-27318-absolute": "/etc/passwd",
        "url": "https://127.0.0.1/x",
    }.items():
        yield Case(f"onnx-{name}", "m.onnx", onnx(location=location))
    for op in ("ReadFile", "WriteFile", "PyFunc", "EagerPyFunc", "MatchingFiles"):
        yield Case(f"tensorflow-{op}", "saved_model.pb", tf_model(op))
    layers: dict[str, dict[str, object]] = {
        "CVE-2024-3660-lambda": {"module": "keras.layers", "class_name": "Lambda", "config": {"function": {"class_name": "__lambda__",
        "config": {"code": "4wEAAAA="}}}}, "CVE-2025-1550-module": {"module": "os", "class_name": "system", "config": {}},
        "CVE-2025-1550-function": {"module": "builtins", "class_name": "function", "config": "eval"},
        "CVE-2025-9906-config": {"module": "keras.config", "class_name": "enable_unsafe_deserialization", "config": {}},
        "get-file": {"module": "keras.utils", "class_name": "get_file", "config": {"origin": "http://127.0.0.1"}},
        "torch-wrapper": {"module": "keras.layers", "class_name": "TorchModuleWrapper", "config": {}}, "registered": {"module": None,
        "class_name": "Dense", "registered_name": "evil>Dense", "config": {}},
    }  # fmt: skip
    for name, layer in layers.items():
        text = json.dumps(keras(layer)).encode()
        yield Case(
            f"keras-{name}", "m.keras", zipped({"metadata.json": b"{}", "config.json": text, "model.weights.h5": b""})
        )
        yield Case(f"keras-json-{name}", "config.json", text)
    configs = {
        "auto_map": {"auto_map": {"AutoModel": "modeling.Evil"}}, "auto_map-nested": {"a": [{"b": {"auto_map": {"AutoConfig": "evil/repo--x.Y"}}}]},
        "hydra": {"model": {"_target_": "os.system"}}, "jsonpickle": {"py/reduce": [{"py/type": "os.system"}]},
        "custom-pipeline": {"custom_pipelines": {"x": {"impl": "x.Y"}}},
    }  # fmt: skip
    for name, value in configs.items():
        yield Case(f"config-{name}", "config.json", json.dumps(value).encode())
    texts = {
        "conf.yaml": {"yaml-apply": "a: !!python/object/apply:os.system [true]\n", "yaml-new": "!!python/object/new:type {}\n",
        "yaml-name": "a: !!python/name:os.system\n", "yaml-hydra": "model:\n  _target_: os.system\n",
        "yaml-tag": "%TAG ! tag:yaml.org,2002:python/\n---\na: !object/apply:os.system [true]\n"},
        "MLmodel": {"mlflow-loader": "flavors:\n  python_function:\n    loader_module: evil.loader\n"},
        "modeling.py": {"python-acts": "import os\nos.system('true')\n", "python": "class Model: pass\n",
        "python-from": "from subprocess import run as r\nr(['true'])\n"}, "run.sh": {"shell": "echo hello\n"},
        "m.pmml": {"xml-entities": '<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]><PMML>&a;</PMML>'},
        "m.xml": {"xml-bomb": '<?xml version="1.0"?><!DOCTYPE lolz [<!ENTITY lol "lol">]><net version="10">&lol;</net>'},
        "notes.txt": {"shebang": "#!/usr/bin/env python\nprint(1)\n"}, "n.ipynb": {"notebook": "{}"},
    }  # fmt: skip
    for path, cases in texts.items():
        for name, text in cases.items():
            yield Case(name, path, text.encode())
    yield Case("elf", "lib.so", b"\x7fELF" + bytes(60))
    yield Case(
        "CVE-2024-27322-rds-promise",
        "m.rds",
        gzip.compress(
            b"X\n\x00\x00\x00\x03\x00\x04\x03\x00\x00\x03\x05\x00"
            + b"\x00\x00\x00\x05UTF-8\x00\x00\x00\x05\x00\x00\x00\x06",
            mtime=0,
        ),
    )
    script = {
        "m/code/__torch__/m.py": b"def f(x):\n  torch.save(x, 'marker')\n",
        "m/data.pkl": b"\x80\x02c__torch__\nM\nq\x00)\x81.",
        "m/constants.pkl": b"\x80\x02).",
        "m/version": b"3\n",
    }
    yield Case("torchscript-save", "m.pt", zipped(script))
    yield Case(
        "torchscript-custom-operator",
        "m.pt",
        zipped({**script, "m/code/__torch__/m.py": b"def f(x):\n  return ops.evil.run(x)\n"}),
    )
    yield Case("torchscript-pickle-payload", "m.pt", zipped({**script, "m/constants.pkl": call2(*SHELL) + b"."}))


def drawn(count: int, seed: int) -> Iterator[Case]:
    """Functions of the standard library, drawn at random, called by a pickle: no list may clear them."""
    choice = random.Random(seed)
    names = sorted(
        name for name in sys.stdlib_module_names if not name.startswith("_") and name not in ("antigravity", "this")
    )
    words = [
        "run",
        "open",
        "load",
        "loads",
        "main",
        "call",
        "spawn",
        "start",
        "exec",
        "connect",
        "write",
        "read",
        "create_module",
        "register",
        "install",
        "copy",
        "send",
        "parse",
        "dispatch",
        "fetch",
    ]
    for number in range(count):
        module, name = choice.choice(names), choice.choice(words)
        yield Case(
            f"drawn-{number}-{module}.{name}",
            "m.pkl",
            choice.choice([call0, call2, call4, inst])(module, name, "x") + b".",
        )


def attacks(seed: int = 0) -> list[Case]:
    """Every attack."""
    return [*pickles(), *odd_streams(), *containers(), *others(), *frameworks(), *drawn(200, seed)]


def frameworks() -> Iterator[Case]:
    """Formats of other frameworks; what breaks its format may be inconclusive."""
    for made in formats.attacks():
        is_core = not any(word in made.name for word in ("lies", "cut", "beyond", "count", "forged", "outside"))
        yield Case(f"framework-{made.name}", made.path, made.data, is_core=is_core)


def twins() -> list[Case]:
    """Benign files that resemble attacks, made by hand; those of real libraries are made where they are tested."""
    fine = pickle.dumps({"a": [1, 2.0, None, True, "os.system", b"x", (1,), {2}]}, 4)
    two = {
        "a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]},
        "b": {"dtype": "F32", "shape": [1], "data_offsets": [4, 8]},
        "__metadata__": {"format": "pt"},
    }
    archive = {"archive/data.pkl": pickle.dumps({"a": 1}, 2), "archive/version": b"3\n", "archive/byteorder": b"little"}
    script = {
        "m/code/__torch__/m.py": b"def f(x):\n  return torch.add(x, x)\n",
        "m/data.pkl": b"\x80\x02c__torch__\nM\nq\x00)\x81.",
        "m/constants.pkl": b"\x80\x02).",
        "m/version": b"3\n",
    }
    texts = {
        "README.md": "Run os.system('true') never.\n", "config.json": json.dumps({"hidden": 2, "note": "eval(x)"}),
        "vocab.txt": "cos\nsystem\nbuild\n", "conf.yaml": "a: 1\nb: [x, y]\n",
        "MLmodel": "flavors:\n  python_function:\n    loader_module: mlflow.sklearn\n", "chat_template.jinja": TEMPLATE,
        "tokenizer_config.json": json.dumps({"chat_template": "{%- set ns = namespace(x=0) -%}{% macro f(a) %}{{ a|tojson }}{% endmacro %}{{ f(messages[1:]) }}{{ raise_exception('x') }}"}), "requirements.txt": "numpy==2.1.0\n", "m.pmml": '<?xml version="1.0"?><PMML version="4.4"></PMML>',  # noqa: E501
    }  # fmt: skip
    found = [Case(f"twin-{path}", path, text.encode()) for path, text in texts.items()]
    found += [
        Case(f"twin-protocol-{p}", "m.pkl", pickle.dumps({"x": (1, "a", 2.5), "y": [None, True]}, p)) for p in range(6)
    ]
    found += [
        Case(f"twin-{name}", "m.joblib", pack(fine))
        for name, pack in {
            "gzip": lambda d: gzip.compress(d, mtime=0),
            "bzip2": bz2.compress,
            "xz": lzma.compress,
            "zlib": zlib.compress,
        }.items()
    ]
    found += [
        Case("twin-stacked", "m.pkl", fine + fine), Case("twin-torch-zip", "m.pt", zipped(archive)), Case("twin-torch-deflated", "m.pt",
            zipped(archive, zipfile.ZIP_DEFLATED)), Case("twin-tar", "m.tar", tarred({"a/m.pkl": fine})),
        Case("twin-safetensors", "m.safetensors", tensors(two)), Case("twin-gguf", "m.gguf", gguf({"general.architecture": "llama",
            "tokenizer.chat_template": TEMPLATE})), Case("twin-onnx", "m.onnx", onnx()), Case("twin-onnx-data", "m.onnx",
            onnx(location="weights.bin")),
        Case("twin-tensorflow", "saved_model.pb", tf_model("MatMul")), Case("twin-keras", "config.json", json.dumps(keras({"module": "keras.layers",
            "class_name": "Dense", "config": {"units": 2}, "registered_name": None})).encode()),
        Case("twin-torchscript", "m.pt", zipped(script)), Case("twin-npy-objects", "a.npy", npy_of_objects(pickle.dumps([1], 2))),
    ]  # fmt: skip
    return found
