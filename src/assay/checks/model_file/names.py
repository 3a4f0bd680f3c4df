"""Names that a pickle may use without harm, and names that only an attacker needs.

The first list is tiny on purpose: plain containers and values. The second list explains and never clears: a name on neither
list is `unknown`, which does not pass either.
"""

from __future__ import annotations

HARMLESS = frozenset(
    {
        "builtins.complex", "builtins.dict", "builtins.frozenset", "builtins.list", "builtins.set", "builtins.slice",
        "builtins.tuple", "__builtin__.complex", "__builtin__.dict", "__builtin__.frozenset", "__builtin__.list",
        "__builtin__.set", "__builtin__.slice", "__builtin__.tuple", "collections.OrderedDict", "datetime.date",
        "datetime.datetime", "datetime.time", "datetime.timedelta", "decimal.Decimal",
    }
)  # fmt: skip
"""Exact names; calling them with any constants makes a value, runs nothing and takes little memory (hence no bytearray)."""

DANGEROUS_MODULES = frozenset(
    {
        "os", "posix", "nt", "ntpath", "posixpath", "subprocess", "_posixsubprocess", "pty", "socket", "_socket", "ssl",
        "shutil", "sys", "runpy", "importlib", "_frozen_importlib", "imp", "pkgutil", "ctypes", "_ctypes", "cffi",
        "multiprocessing", "concurrent", "threading", "_thread", "asyncio", "webbrowser", "code", "codeop", "commands",
        "pickle", "_pickle", "cPickle", "marshal", "shelve", "dill", "cloudpickle", "joblib", "types", "inspect", "timeit",
        "cProfile", "profile", "pdb", "bdb", "trace", "doctest", "unittest", "pydoc", "http", "httplib", "urllib", "urllib2",
        "ftplib", "smtplib", "telnetlib", "poplib", "imaplib", "xmlrpc", "requests", "httpx", "aiohttp", "paramiko", "pip",
        "setuptools", "distutils", "ensurepip", "venv", "site", "platform", "signal", "resource", "atexit", "gc", "tempfile",
        "pathlib", "glob", "fileinput", "io", "_io", "zipfile", "tarfile", "zipimport", "sqlite3", "operator", "_operator",
        "functools", "_functools", "builtins", "__builtin__", "__main__", "logging", "test", "idlelib", "lib2to3", "ast",
    }
)  # fmt: skip
"""Top-level modules whose functions start processes, open files or sockets, load code or call by name."""

DANGEROUS_NAMES = frozenset(
    {
        "torch.load", "torch.hub.load", "torch.jit.load", "torch.serialization.load", "numpy.load", "numpy.testing._private.utils.runstring",
        "numpy.f2py.crackfortran.getlincoef", "pandas.read_pickle", "pandas.eval", "pandas.io.pickle.read_pickle",
        "sklearn.externals.joblib.load", "skops.io.load", "yaml.load", "yaml.unsafe_load", "scipy.io.loadmat",
    }
)  # fmt: skip
"""Functions of listed libraries that load code, call by name or read a nested pickle."""

REACHED_MODULES = frozenset({"os", "posix", "nt", "subprocess", "sys", "builtins", "__builtins__", "importlib", "ctypes", "socket", "shutil", "marshal",
    "runpy", "pty"})  # fmt: skip
"""Modules that a dotted walk through another module reaches, also under an underscore: `random._os.system`."""


def is_harmless(qualified: str) -> bool:
    """Whether an exact name is on the list of plain values."""
    return qualified in HARMLESS


def is_dangerous(qualified: str) -> bool:
    """Whether a name lets a file act: start a process, open a socket or file, load code, or call by name."""
    if qualified in HARMLESS:
        return False
    first, *steps = qualified.split(".")
    return (
        qualified in DANGEROUS_NAMES
        or first in DANGEROUS_MODULES
        or any(step in REACHED_MODULES or step.removeprefix("_") in REACHED_MODULES for step in steps[:-1])
    )
