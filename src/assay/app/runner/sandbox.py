"""What a job may not do: use the network, start processes, load libraries through ctypes, write outside its scratch folder.

This is defence in depth, not a boundary. Limits of the kernel (memory, CPU time, file size) hold for all code; the audit
hook sees only what Python itself is asked for. Native code in a library, or a model file that reaches native code, does
not pass it. That is why models are scanned before a check runs them, and why the engine believes no worker unread.

The hook is installed after the libraries were loaded, since NumPy and scikit-learn use ctypes while they are imported,
and it cannot be removed again (PEP 578).
"""

from __future__ import annotations

import os
import posixpath  # not pathlib: the hook sees every open and takes names as they were given
import re
import resource
import socket
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from urllib.parse import unquote

from assay.app.runner.jobs import Limits
from assay.predictors.declared import Reach

Args = tuple[object, ...]

_READ_ONLY = re.compile(r"file:([^?#]+)\?mode=ro")
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
# Events that are refused whatever their arguments. Source: docs.python.org, "Audit events table".
_REFUSED = {
    "use the network": (
        "socket.connect", "socket.bind", "socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr",
        "socket.getnameinfo", "socket.sendto", "socket.sendmsg", "socket.sethostname", "urllib.Request",
        "webbrowser.open",
    ),
    "start a process": (
        "subprocess.Popen", "os.system", "os.exec", "os.fork", "os.forkpty", "os.posix_spawn", "os.spawn",
        "os.startfile", "os.startfile/2", "pty.spawn",
    ),
    "load a library through ctypes": (
        "ctypes.dlopen", "ctypes.dlsym", "ctypes.dlsym/handle", "ctypes.call_function", "ctypes.cdata",
        "ctypes.string_at", "ctypes.wstring_at",
    ),
    "signal another process": ("os.killpg",),
    "change its own limits": ("resource.setrlimit", "resource.prlimit"),
    "load a database extension": ("sqlite3.enable_load_extension", "sqlite3.load_extension"),
}  # fmt: skip
# Events that change files: the positions of their paths, each with that of the folder descriptor it is relative to.
_CHANGES: Mapping[str, tuple[tuple[int, int | None], ...]] = {
    "os.remove": ((0, 1),), "os.rmdir": ((0, 1),), "os.mkdir": ((0, 2),), "os.chmod": ((0, 2),), "os.chown": ((0, 3),),
    "os.symlink": ((1, 2),), "os.rename": ((0, 2), (1, 3)), "os.link": ((0, 2), (1, 3)), "os.truncate": ((0, None),),
    "os.utime": ((0, 3),), "os.setxattr": ((0, None),), "os.removexattr": ((0, None),), "os.chflags": ((0, None),),
}  # fmt: skip


def unenforced_limits() -> tuple[str, ...]:
    """Limits that this system accepts but does not hold: macOS ignores a limit of the address space."""
    return ("memory_bytes",) if sys.platform == "darwin" else ()


def set_limits(limits: Limits) -> None:
    """Sets the kernel's limits for this process; memory is what it has now and `memory_bytes` more."""
    _lower(resource.RLIMIT_CORE, 0)
    _lower(resource.RLIMIT_FSIZE, limits.file_bytes)
    # NOTE: at the soft limit comes SIGXCPU, which says why; at the hard one SIGKILL, which does not.
    _lower(resource.RLIMIT_CPU, max(1, limits.cpu_s), spare=5)
    if sys.platform != "darwin":
        _lower(resource.RLIMIT_AS, _address_space_bytes() + limits.memory_bytes)


def close_in(scratch: Path, hidden: Iterable[Path], reach: Reach | None = None) -> None:
    """Installs the hook for the rest of this process.

    Only `scratch` may be written to. Nothing below `hidden`, and nothing of other processes in /proc, may be read. Native
    modules load only from where Python imports from now. `reach` is the one host and port that may be connected to.
    """
    handlers = _Rules(scratch, hidden).handlers()
    if reach is not None:
        handlers = {**handlers, **_doors(reach)}

    def hook(event: str, args: Args) -> None:
        if (handler := handlers.get(event)) is not None:
            handler(args)

    _disarm_fork_exec()
    sys.addaudithook(hook)


def _doors(reach: Reach) -> Mapping[str, Callable[[Args], None]]:
    """Lets name and addresses of one endpoint through; they are resolved now, so a name that changes later opens nothing."""
    try:
        found = socket.getaddrinfo(reach.host, reach.port, type=socket.SOCK_STREAM)
    except OSError:
        found = []
    addresses = {address[4][:2] for address in found}

    def resolve(args: Args) -> None:
        if (args[0], args[1]) != (reach.host, reach.port):
            raise PermissionError(f"a check may not look up {args[0]!r}")

    def connect(args: Args) -> None:
        address = args[1]
        if not isinstance(address, tuple) or address[:2] not in addresses:
            raise PermissionError(f"a check may not connect to {address!r}")

    return {"socket.getaddrinfo": resolve, "socket.connect": connect}


class _Rules:
    def __init__(self, scratch: Path, hidden: Iterable[Path]) -> None:
        self._scratch = posixpath.realpath(scratch)
        self._hidden = tuple(posixpath.realpath(folder) for folder in hidden)
        self._libraries = tuple(
            posixpath.realpath(folder) for folder in (*sys.path, sys.prefix, sys.base_prefix) if folder
        )
        self._pid = os.getpid()

    def handlers(self) -> Mapping[str, Callable[[Args], None]]:
        found: dict[str, Callable[[Args], None]] = {
            "open": self._open,
            "import": self._import,
            "os.kill": self._kill,
            "sqlite3.connect": self._database,
        }
        found |= {event: _refuse(deed, event) for deed, events in _REFUSED.items() for event in events}
        return found | {event: self._change(event, places) for event, places in _CHANGES.items()}

    def _open(self, args: Args) -> None:
        path, mode, flags = args[0], args[1], args[2]
        if isinstance(path, int) or not isinstance(path, (str, bytes, os.PathLike)):
            return
        named = os.fsdecode(path)
        writes = any(c in mode for c in "wax+") if isinstance(mode, str) else False
        if writes or (isinstance(flags, int) and flags & _WRITING):
            # NOTE: os.open gives no mode here and hides its dir_fd, so a relative path could mean any folder.
            if mode is None and not posixpath.isabs(named):
                raise PermissionError(f"a check may not open the relative path {named!r} for writing")
            self._check_place(named, "write")
        else:
            self._check_reading(posixpath.realpath(named))

    def _change(self, event: str, places: tuple[tuple[int, int | None], ...]) -> Callable[[Args], None]:
        def handler(args: Args) -> None:
            for at, folder_at in places:
                folder = args[folder_at] if folder_at is not None and folder_at < len(args) else None
                path = args[at]
                if isinstance(path, int):
                    path, folder = "", path
                named = os.fsdecode(path) if isinstance(path, (str, bytes, os.PathLike)) else ""
                within = _folder_of(folder) if isinstance(folder, int) and folder >= 0 else ""
                self._check_place(posixpath.join(within, named), event)

        return handler

    def _check_place(self, named: str, deed: str) -> None:
        # NOTE: the last step is not resolved for a link that is itself removed or renamed; its folder is.
        is_about_link = deed in ("os.remove", "os.rename", "os.symlink")
        folder, name = posixpath.split(named)
        place = posixpath.join(posixpath.realpath(folder), name) if is_about_link else posixpath.realpath(named)
        if not _is_below(place, self._scratch) and not (place == os.devnull and deed == "write"):
            raise PermissionError(f"a check may not change files outside its scratch folder: {deed} {named!r}")

    def _check_reading(self, place: str) -> None:
        if any(_is_below(place, folder) for folder in self._hidden):
            raise PermissionError(f"a check may not read {place!r}")
        if place.startswith("/proc/") and place.split("/")[2].isdigit() and place.split("/")[2] != str(self._pid):
            raise PermissionError(f"a check may not look at other processes: {place!r}")

    def _import(self, args: Args) -> None:
        file = args[1]
        if isinstance(file, str) and not any(_is_below(posixpath.realpath(file), place) for place in self._libraries):
            raise PermissionError(f"a check may not load native code from {file!r}")

    def _kill(self, args: Args) -> None:
        if args[0] != self._pid:
            raise PermissionError("a check may not signal another process: os.kill")

    def _database(self, args: Args) -> None:
        if isinstance(args[0], (str, bytes, os.PathLike)) and (named := os.fsdecode(args[0])) not in (":memory:", ""):
            if (read_only := _READ_ONLY.fullmatch(named)) is not None:
                self._check_reading(posixpath.realpath(unquote(read_only[1])))
                return
            if named.startswith("file:"):
                raise PermissionError("a check may not open a database by address, except with ?mode=ro")
            self._check_place(named, "write")


def _refuse(deed: str, event: str) -> Callable[[Args], None]:
    def handler(args: Args) -> None:
        raise PermissionError(f"a check may not {deed}: {event}")

    return handler


def _is_below(place: str, folder: str) -> bool:
    return place == folder or place.startswith(folder.rstrip(os.sep) + os.sep)


def _folder_of(descriptor: int) -> str:
    """The folder behind a descriptor; where the system cannot say, a place that is never allowed."""
    try:
        return str(Path(f"/proc/self/fd/{descriptor}").readlink())
    except OSError:
        return os.sep


def _disarm_fork_exec() -> None:
    """The C function below `subprocess` raises no audit event of its own."""
    import _posixsubprocess  # standard library; absent on systems that cannot fork

    def fork_exec(*args: object) -> int:
        raise PermissionError("a check may not start a process: fork_exec")

    _posixsubprocess.fork_exec = fork_exec
    if subprocess := sys.modules.get("subprocess"):
        vars(subprocess)["_fork_exec"] = fork_exec


def _lower(what: int, value: int, spare: int = 0) -> None:
    """Sets the soft limit to `value` and the hard one to `spare` above it; neither is ever raised."""
    hard = resource.getrlimit(what)[1]
    ceiling = value + spare if hard == resource.RLIM_INFINITY else min(value + spare, hard)
    resource.setrlimit(what, (min(value, ceiling), ceiling))


def _address_space_bytes() -> int:
    """Size of this process's address space; 0 where the system does not say, which makes the limit tighter."""
    try:
        return int(Path("/proc/self/statm").read_bytes().split()[0]) * resource.getpagesize()
    except OSError:
        return 0
