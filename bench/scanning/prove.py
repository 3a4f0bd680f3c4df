"""Loads attack files with their real loaders, each in a throw-away process, and says for which the payload ran.

The payloads print a mark or create a file of that name in an empty working folder. `bench/scan.py` passes only such files.
How to run: .venv/bin/python bench/scanning/prove.py < FILES.json
"""

import contextlib
import json
import os
import pickle
import signal
import sys
import tempfile
import warnings
from pathlib import Path

MARK, FILE = "ASSAY-MARK", "marker"
TIMEOUT_S = 20


def loaders():
    """Loaders by name, as far as they are installed."""
    found = {
        "pickle": lambda path: pickle.loads(path.read_bytes()),
        "pickle.py": lambda path: pickle._loads(path.read_bytes()),
    }
    with contextlib.suppress(ImportError):
        import joblib

        found["joblib"] = joblib.load
    with contextlib.suppress(ImportError):
        import numpy

        found["numpy"] = lambda path: [
            value[key] for value in [numpy.load(path, allow_pickle=True)] for key in getattr(value, "files", ())
        ]
    with contextlib.suppress(ImportError):
        import torch

        found["torch"] = lambda path: torch.load(path, weights_only=False)
    return found


def runs(load, path):
    """Whether a child that loads the file prints the mark or writes the file."""
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryFile() as said:
        pid = os.fork()
        if pid == 0:
            signal.alarm(TIMEOUT_S)
            os.chdir(folder)
            os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
            for number in (1, 2):
                os.dup2(said.fileno(), number)
            with contextlib.suppress(BaseException):
                load(path)
            with contextlib.suppress(BaseException):
                import atexit

                atexit._run_exitfuncs()
            with contextlib.suppress(BaseException):
                sys.stdout.flush()
            os._exit(0)
        os.waitpid(pid, 0)
        said.seek(0)
        return MARK.encode() in said.read() or (Path(folder) / FILE).exists()


def main():
    warnings.simplefilter("ignore")
    known = loaders()
    proven = {}
    for text in json.load(sys.stdin):
        path = Path(text)
        proven[text] = next((name for name, load in known.items() if runs(load, path)), None)
    print(json.dumps(proven))


if __name__ == "__main__":
    main()
