"""Coverage-guided fuzzing of the readers of model files: `make fuzz`, or `make fuzz ARGS="--seconds 300 --format tar"`.

Atheris (libFuzzer for Python) lives in an environment of its own. Every format that the corpus has is fuzzed by itself, from the
corpus files of that format, for some seconds. An input that makes a reader raise, or takes more than ten seconds of processor
time, is written to `build/fuzz/`, named by what broke; mend the reader and move the input to `tests/corpus/model_file/found/`.
Where atheris cannot be installed the corpus is mutated at random, which finds less, and the output says so.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import random
import subprocess
import sys
import tempfile
import time
import traceback
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "bench")]

ATHERIS = "3.0.0"
MAX_CPU_S = 10.0
MAX_SEED_BYTES = 32 << 10
OUT = ROOT / "build/fuzz"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=30, help="for each format")
    parser.add_argument("--format", action="append", help="only this one; may be repeated")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--target", nargs=2, metavar=("NAME", "FOLDER"), help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.target:
        return guided(asked.target[0], Path(asked.target[1]), asked.seconds, asked.seed)
    OUT.mkdir(parents=True, exist_ok=True)
    before = {path.name for path in OUT.iterdir()}
    groups = seeds()
    for name in asked.format or sorted(groups):
        fuzz(name, groups[name], asked.seconds, asked.seed)
    found = sorted(path.name for path in OUT.iterdir() if path.name not in before)
    print(f"{len(found)} inputs found", *found, sep="\n  ")
    return 1 if found else 0


def seeds() -> dict[str, list[tuple[str, bytes]]]:
    """Corpus files by the format that their content has, with the names that they go by."""
    from tests.corpus.model_file import formats
    from tests.corpus.model_file.attacks import attacks, twins
    from tests.corpus.model_file.composed_files import composed, plain

    from assay.formats.reading import read_facts

    groups: dict[str, list[tuple[str, bytes]]] = defaultdict(list)
    cases = [*attacks(), *twins(), *formats.twins(), *composed(150, 1), *plain(50, 1)]
    for path, data in [*((case.path, case.data) for case in cases), *trees_of_hdf5()]:
        if len(data) <= MAX_SEED_BYTES:
            groups[read_facts(data, path).format.rpartition("+")[2] or "none"].append((path, data))
    return groups


def trees_of_hdf5() -> Iterator[tuple[str, bytes]]:
    """HDF5 files in the old and the new layouts, as h5py writes them: groups, links, attributes, chunks, texts."""
    import h5py
    import numpy as np

    for layout in ("earliest", "v110", "latest"):
        buffer = io.BytesIO()
        low = layout if layout != "v110" else (layout, "latest")
        with h5py.File(buffer, "w", libver=low, track_order=layout != "earliest") as file:
            for number in range(12):
                file.create_group(f"group {number}").attrs["name"] = f"text {number}"
            file.create_dataset("chunks", data=np.arange(99.0), chunks=(10,), compression="gzip", shuffle=True)
            file.create_dataset("texts", data=np.array(["a", "bb"], object), dtype=h5py.string_dtype())
            file["soft"], file["far"] = h5py.SoftLink("/chunks"), h5py.ExternalLink("other.h5", "/x")
            file.attrs["model_config"] = '{"class_name": "Dense", "config": {"units": 2}}'
        yield "model.h5", buffer.getvalue()


def fuzz(name: str, files: list[tuple[str, bytes]], seconds: int, seed: int) -> None:
    """Fuzzes one format in a process of its own."""
    path = max(sorted({path for path, _ in files}), key=[path for path, _ in files].count)
    print(f"{name}: {len(files)} seeds as {path}", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        for _, data in files:
            (Path(folder) / hashlib.sha256(data).hexdigest()[:16]).write_bytes(data)
        command = [sys.executable, __file__, "--target", path, folder, "--seconds", str(seconds), "--seed", str(seed)]
        done = subprocess.run(command, capture_output=True, text=True)
    for line in (done.stdout + done.stderr).splitlines():
        if line.startswith(("found", "Done", "atheris")) or "ERROR" in line:
            print(f"  {line}", flush=True)


def guided(name: str, folder: Path, seconds: int, seed: int) -> int:
    """Runs atheris over the seeds in a folder; a random loop where it is not to be had."""
    from claims import Unmeasured
    from peers.environment import peer_python

    try:
        place = peer_python("atheris", ATHERIS).parent.parent / "lib"
        sys.path.append(str(next(place.glob("python*/site-packages"))))
        import atheris
    except (Unmeasured, ImportError, StopIteration) as error:
        print(f"atheris: {error}; mutating at random instead", flush=True)
        return mutated(name, [path.read_bytes() for path in sorted(folder.iterdir())], seconds, seed)
    with atheris.instrument_imports(include=["assay"]):
        import assay.checks.model_file.judge
        import assay.formats.reading  # noqa: F401
    limits = [
        f"-max_total_time={seconds}",
        f"-max_len={2 * MAX_SEED_BYTES}",
        f"-seed={seed + 1}",
        "-timeout=60",
        "-rss_limit_mb=2048",
    ]
    atheris.Setup([sys.argv[0], *limits, f"-artifact_prefix={OUT}/", str(folder)], lambda data: examine(data, name))
    atheris.Fuzz()
    return 0


def mutated(name: str, corpus: list[bytes], seconds: int, seed: int) -> int:
    """Changes, cuts and joins seeds at random."""
    choice, end = random.Random(seed), time.monotonic() + seconds
    while time.monotonic() < end:
        data = bytearray(choice.choice(corpus))
        for _ in range(choice.randrange(1, 8)):
            at, other = choice.randrange(len(data) + 1), choice.choice(corpus)
            start = choice.randrange(len(other) + 1)
            data[at : at + choice.randrange(8)] = other[start : start + choice.randrange(32)]
        examine(bytes(data), name)
    return 0


def examine(data: bytes, name: str) -> None:
    """Reads and judges one input; keeps it if that raises or is slow."""
    from assay.checks.model_file.judge import judge
    from assay.formats.facts import facts_as_json, facts_from_json
    from assay.formats.reading import read_facts

    began = time.process_time()
    try:
        found = read_facts(data, name)
        if judge(facts_from_json(facts_as_json(found))) != judge(found):
            raise AssertionError("stored facts are judged in another way")
    except Exception as error:  # noqa: BLE001 - every error is what is looked for
        last = traceback.extract_tb(error.__traceback__)[-1]
        keep(data, name, f"{type(error).__name__}-{Path(last.filename).stem}-{last.lineno}")
    if time.process_time() - began > MAX_CPU_S:
        keep(data, name, "slow")


def keep(data: bytes, name: str, what: str) -> None:
    """Writes an input once for each place that broke."""
    OUT.mkdir(parents=True, exist_ok=True)
    path = OUT / f"{what}-{name}"
    if not path.exists():
        path.write_bytes(data)
        print(f"found {path.name}: {len(data)} bytes", flush=True)


if __name__ == "__main__":
    sys.exit(main())
