"""Loads attack files with their real loaders, each in a throw-away process, and says for which the payload ran.

The payloads print a mark or create a file of that name in an empty working folder. `bench/scan.py` passes only such files.
A loader is imported once, by a process that forks one child a file, and is shown only what it could open and nobody ran before.
How to run: .venv/bin/python bench/scanning/prove.py < FILES.json
"""

import atexit
import contextlib
import json
import os
import pickle
import shutil
import signal
import sys
import tempfile
import warnings
from pathlib import Path

MARK, FILE = "ASSAY-MARK", "marker"
TIMEOUT_S = 20
ZIP, NPY, TAR_AT, TAR = b"PK", b"\x93NUMPY", 257, b"ustar"


def unpickled(path):
    pickle.loads(path.read_bytes())


def unpickled_in_python(path):
    pickle._loads(path.read_bytes())


def joblib_loader():
    import joblib

    return joblib.load


def numpy_loader():
    import numpy

    def load(path):
        value = numpy.load(path, allow_pickle=True)
        for key in getattr(value, "files", ()):
            value[key]

    return load


def torch_loader():
    import torch

    return lambda path: torch.load(path, weights_only=False)


# name -> (what imports it, whether it could open a file that begins so)
LOADERS = {
    "pickle": (lambda: unpickled, lambda start: not start.startswith((ZIP, NPY))),
    "pickle.py": (lambda: unpickled_in_python, lambda start: not start.startswith((ZIP, NPY))),
    "joblib": (joblib_loader, lambda start: not start.startswith((ZIP, NPY))),
    "numpy": (numpy_loader, lambda start: start.startswith((ZIP, NPY))),
    "torch": (torch_loader, lambda start: start.startswith(ZIP) or start[TAR_AT:].startswith(TAR)),
}


def runs(load, path):
    """Whether a child that loads the file prints the mark or writes the file."""
    folder = tempfile.mkdtemp()  # a `TemporaryDirectory` would be removed by the child's exit functions
    with tempfile.TemporaryFile() as said:
        pid = os.fork()
        if pid == 0:
            _load_here(load, path, folder, said.fileno())
        os.waitpid(pid, 0)
        said.seek(0)
        has_run = MARK.encode() in said.read() or (Path(folder) / FILE).exists()
    shutil.rmtree(folder, ignore_errors=True)
    return has_run


def _load_here(load, path, folder, output):
    """The life of the child, with what a program does as it ends."""
    signal.alarm(TIMEOUT_S)
    os.chdir(folder)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    for number in (1, 2):
        os.dup2(output, number)
    for step in (lambda: load(path), atexit._run_exitfuncs, sys.stdout.flush):
        with contextlib.suppress(BaseException):
            step()
    os._exit(0)


def proven_by(name, paths):
    """Those of the files whose payload a loader ran; [] where it is not installed. Imports happen in a child of this process."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(reader)
        found = []
        with contextlib.suppress(ImportError):
            load = LOADERS[name][0]()
            found = [number for number, path in enumerate(paths) if runs(load, path)]
        with os.fdopen(writer, "w") as pipe:
            json.dump(found, pipe)
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as pipe:
        found = json.load(pipe)
    os.waitpid(pid, 0)
    return [paths[number] for number in found]


def main():
    warnings.simplefilter("ignore")
    paths = [Path(text) for text in json.load(sys.stdin)]
    starts = {path: path.read_bytes()[:512] for path in paths}
    proven = dict.fromkeys(paths)
    for name, (_, opens) in LOADERS.items():
        tried = [path for path in paths if proven[path] is None and opens(starts[path])]
        for path in proven_by(name, tried):
            proven[path] = name
        print(
            f"  {name}: {sum(loader == name for loader in proven.values())} of {len(tried)}",
            file=sys.stderr,
            flush=True,
        )
    print(json.dumps({str(path): loader for path, loader in proven.items()}))


if __name__ == "__main__":
    main()
