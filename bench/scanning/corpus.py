"""The files of the detection table: attacks by class, and benign files as libraries of several versions write them."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from tests.corpus.model_file.attacks import Case, attacks, twins
from tests.corpus.model_file.composed_files import composed, plain
from tests.corpus.model_file.standard_library import drawn_functions

from claims import HERE, Unmeasured, child
from peers.environment import environment_python

COMPOSED, FUNCTIONS, PLAIN = 400, 200, 100
FUNCTION_SEEDS = 3
_CURRENT = ("current", Path(sys.executable))
# Environments beside the project's own: what was current in early 2024 and in late 2024.
OLDER = {
    "early-2024": ["numpy==1.26.4", "scipy==1.11.4", "pandas==2.1.4", "scikit-learn==1.3.2", "joblib==1.3.2", "safetensors==0.4.1", "h5py==3.10.0",
                   "skops==0.9.0", "lz4==4.3.3"],
    "late-2024": ["numpy==2.0.2", "scipy==1.14.1", "pandas==2.2.3", "scikit-learn==1.5.2", "joblib==1.4.2", "safetensors==0.4.5", "h5py==3.12.1",
                  "skops==0.10.0", "lightgbm==4.5.0", "lz4==4.3.3"],
}  # fmt: skip
# The first mark of a name that fits says the class.
_CLASSES = (
    ("drawn-function", "functions drawn from the standard library"), ("drawn-", "functions drawn from the standard library"),
    ("stream-", "stream tricks"), ("torch-zip", "zip and forged zip"), ("zip", "zip and forged zip"), ("CVE-2025-10156", "zip and forged zip"),
    ("GHSA-w8jq", "zip and forged zip"), ("compressed", "compressed, tar, 7z, npy, joblib"), ("tar", "compressed, tar, 7z, npy, joblib"),
    ("np", "compressed, tar, 7z, npy, joblib"), ("joblib", "compressed, tar, 7z, npy, joblib"), ("nested", "compressed, tar, 7z, npy, joblib"),
    ("deflate-bomb", "bombs"), ("gzip-bomb", "bombs"), ("template-", "templates"), ("safetensors", "safetensors, GGUF"), ("gguf", "safetensors, GGUF"),
    ("CVE-2024-2", "safetensors, GGUF"), ("onnx", "graphs and layers"), ("tensorflow", "graphs and layers"), ("keras", "graphs and layers"),
    ("torchscript", "graphs and layers"),
)  # fmt: skip


class Row(NamedTuple):
    """One file of the table."""

    kind: str
    path: Path
    case: Case


def class_of(case: Case) -> str:
    """The class of an attack, by its name."""
    if case.name.startswith("composed-"):
        words = case.name.split("+")
        return "drawn compositions: " + ("streams" if len(words) == 1 else "whole" if case.is_core else "forged")
    if case.name.startswith("gadget-"):
        _, module_and_name = case.name.split("-", 1)
        return "dotted walks" if ".os." in module_and_name or "__" in module_and_name else "one call of a function"
    return next((kind for mark, kind in _CLASSES if case.name.startswith(mark)), "configuration, code, XML, R, others")


def write_attacks(folder: Path, seed: int) -> list[Row]:
    """Every attack in a folder of its own."""
    cases = [case for case in attacks(seed) if not case.name.startswith("drawn-")]
    cases += composed(COMPOSED, seed)
    for offset in range(FUNCTION_SEEDS):
        cases += drawn_functions(FUNCTIONS, seed + offset)
    return [Row(class_of(case), _write(folder / f"{number:04}", case), case) for number, case in enumerate(cases)]


def write_benign(folder: Path, seed: int, say: Callable[[str], None], has_older: bool = True) -> None:
    """Twins made by hand and by the draws, and files of libraries in several versions."""
    for number, case in enumerate([*twins(), *plain(PLAIN, seed)]):
        _write(folder / "twins" / f"{number:04}", case)
    with ThreadPoolExecutor(2) as pool:
        for words in pool.map(
            lambda place: _made_by(*place, folder, seed), list(_environments(say) if has_older else [_CURRENT])
        ):
            say(words)


def _made_by(name: str, python: Path, folder: Path, seed: int) -> str:
    """Writes what the libraries of one environment write; says what that was, or why nothing."""
    command = [python, HERE / "scanning" / "make_benign.py", folder / name, str(seed)]
    try:
        done = child(command, {"OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"})
    except (Unmeasured, subprocess.TimeoutExpired) as error:
        return f"benign files of {name} could not be made: {str(error)[:150]}"
    return f"{done['files']} benign files of {name}: {', '.join(f'{k} {v}' for k, v in done['versions'].items())}"


def _environments(say: Callable[[str], None]) -> Iterator[tuple[str, Path]]:
    yield _CURRENT
    for name, requirements in OLDER.items():
        try:
            yield name, environment_python(f"libraries-{name}-1", (requirements,))
        except Unmeasured as error:
            say(f"no environment of {name}: {str(error)[:150]}")


def _write(folder: Path, case: Case) -> Path:
    folder.mkdir(parents=True)
    path = folder / case.path
    path.write_bytes(case.data)
    return path
