"""One scanner over files in its own environment: prints the exit code that each file would give its user.

How to run: PYTHON_OF_PEER bench/peers/scan_peer.py picklescan|fickling|modelscan|modelaudit LIST.json
"""

import contextlib
import io
import json
import logging
import os
import signal
import sys
import time
from pathlib import Path

MAX_CPU_S = 10.0


def picklescan(path: Path) -> int:
    from picklescan.scanner import scan_file_path

    result = scan_file_path(str(path))
    return 2 if result.scan_err else 1 if result.infected_files else 0


def fickling(path: Path) -> int:
    from fickling.cli import main

    return int(main(["fickling", "--check-safety", str(path)]) or 0)


def modelscan(path: Path) -> int:
    from modelscan.modelscan import ModelScan

    found = ModelScan().scan(str(path))
    if found["summary"]["total_issues"]:
        return 1
    return 2 if found["errors"] else 3 if not found["summary"]["scanned"]["total_scanned"] else 0


def modelaudit(path: Path) -> int:
    from modelaudit.cli import cli

    return int(cli.main(["scan", "--no-cache", str(path)], standalone_mode=False) or 0)


PEERS = {"picklescan": picklescan, "fickling": fickling, "modelscan": modelscan, "modelaudit": modelaudit}


class Slow(BaseException):
    """A file took more processor time than it may."""


def _slow(*_: object) -> None:
    raise Slow


def code_of(name: str, path: Path) -> int:
    """Its exit code; an exception, or more than ten seconds of processor time, is the code 2 of a crash."""
    signal.setitimer(signal.ITIMER_PROF, MAX_CPU_S)
    try:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            return PEERS[name](path)
    except BaseException as error:
        return int(error.code or 0) if isinstance(error, SystemExit) and isinstance(error.code, int) else 2
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)


def main() -> None:
    logging.disable(logging.CRITICAL)
    name, listed = sys.argv[1], Path(sys.argv[2]).resolve()
    os.chdir(listed.parent)  # fickling writes a file of its own into the current folder
    signal.signal(signal.SIGPROF, _slow)
    began = time.process_time()
    codes = {path: code_of(name, Path(path)) for path in json.loads(listed.read_text())}
    print(json.dumps({"codes": codes, "cpu_s": time.process_time() - began}))


if __name__ == "__main__":
    main()
