"""Coverage-guided fuzzing of the readers: `python tools/fuzz_readers.py [CORPUS_FOLDER] [-runs=100000]`; needs atheris.

Without atheris it mutates the project's corpus at random for a number of runs, which finds less and needs nothing. An input
that raises, or takes more than ten CPU seconds, is written to `build/fuzz/` and should become a test.
"""

from __future__ import annotations

import hashlib
import random
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from tests.corpus.model_file.attacks import attacks, twins

from assay.checks.model_file.judge import judge
from assay.formats.reading import read_facts

MAX_CPU_S = 10.0
OUT = Path("build/fuzz")
PATHS = ("m.pkl", "m.json", "m.yaml", "m.py", "m.jinja", "m.onnx", "m.bin")


def examine(data: bytes) -> None:
    """One input under the name that its first byte picks; raises if a reader does or is slow."""
    began = time.process_time()
    judge(read_facts(data[1:], PATHS[data[0] % len(PATHS)] if data else PATHS[0]))
    if time.process_time() - began > MAX_CPU_S:
        raise TimeoutError(f"more than {MAX_CPU_S} CPU seconds")


def guided() -> None:
    """Runs atheris until it is stopped."""
    import atheris

    atheris.instrument_all()
    atheris.Setup(sys.argv, examine)
    atheris.Fuzz()


def mutated(runs: int, seed: int) -> None:
    """Changes, cuts and joins corpus files at random."""
    choice = random.Random(seed)
    corpus = [case.data for case in [*attacks(), *twins()] if len(case.data) < 1 << 16]
    for _ in range(runs):
        data = bytearray(choice.choice(corpus))
        for _ in range(choice.randrange(1, 8)):
            at, other = choice.randrange(len(data) + 1), choice.choice(corpus)
            start = choice.randrange(len(other) + 1)
            data[at : at + choice.randrange(8)] = other[start : start + choice.randrange(32)]
        try:
            examine(bytes([choice.randrange(256)]) + bytes(data))
        except Exception as error:  # noqa: BLE001 - every error is what is looked for
            OUT.mkdir(parents=True, exist_ok=True)
            (OUT / hashlib.sha256(data).hexdigest()[:16]).write_bytes(data)
            print(f"{type(error).__name__}: {error}")


if __name__ == "__main__":
    try:
        guided()
    except ImportError:
        print("atheris is not installed; mutating the corpus at random", file=sys.stderr)
        mutated(next((int(a.removeprefix("-runs=")) for a in sys.argv if a.startswith("-runs=")), 20_000), 0)
