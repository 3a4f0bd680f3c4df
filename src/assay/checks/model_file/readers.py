"""One judge for each format: bytes in, a judgement out. Nothing here imports, unpickles, renders or runs what it reads.

The formats are told apart by content. What a judge does not fully understand is `unknown` or `inconclusive`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import IO

from assay.checks.model_file.judgement import MAX_PROBLEMS, Judgement, Problem, cannot_look, unknown
from assay.checks.model_file.names import is_dangerous
from assay.checks.model_file.pickles import acts_as_pickle, judged_pickle
from assay.checks.model_file.texts import judged_text
from assay.core.errors import MalformedInput
from assay.core.outcomes import Severity, Verdict
from assay.formats.npy_file import MAGIC as NPY_MAGIC
from assay.formats.npy_file import check_npy, check_npz
from assay.formats.pickle_globals import pickle_facts
from assay.formats.safetensors_file import check_safetensors, looks_like_safetensors
from assay.formats.skops_file import is_skops, skops_facts
from assay.formats.zip_walk import Archive, open_archive

START_BYTES = 4096
MAX_PICKLE_BYTES = 512 << 20
COMPRESSED = {
    b"\x1f\x8b": "gzip",
    b"BZh": "bzip2",
    b"\xfd7zXZ\x00": "xz",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"\x04\x22\x4d\x18": "lz4",
}
_ZLIB = re.compile(rb"\x78[\x01\x5e\x9c\xda]")


def judged(handle: IO[bytes], path: str, size: int) -> Judgement:
    """Judges a file of `size` bytes, open at its start; bytes that break their format are a judgement too."""
    start = handle.read(START_BYTES)
    handle.seek(0)
    if start.startswith(b"PK\x03\x04"):
        return _guarded("zip", _zip, handle, size)
    found = _judged_by_start(handle, path, size, start)
    if found.verdict is Verdict.CLEAN and _ends_as_zip(handle, size):
        return unknown(found.format, "it is also a zip archive, for readers that begin at the end of a file")
    return found


def _judged_by_start(handle: IO[bytes], path: str, size: int, start: bytes) -> Judgement:
    if start.startswith(NPY_MAGIC):
        return _guarded("npy", _npy, handle, size)
    if looks_like_safetensors(start, size):
        return _guarded("safetensors", _safetensors, handle, size)
    for mark, name in COMPRESSED.items():
        if start.startswith(mark):
            return cannot_look(name, f"{name} data are not looked into by this version")
    if _ZLIB.match(start):
        return cannot_look("zlib", "compressed data are not looked into by this version")
    if size > MAX_PICKLE_BYTES:
        return cannot_look("binary", f"larger than {MAX_PICKLE_BYTES} bytes, and of no format that is read in parts")
    data = handle.read(size + 1)
    if (facts := pickle_facts(data)) and acts_as_pickle(data, facts):
        return judged_pickle(facts, len(data))
    return judged_text(data, path)


def _ends_as_zip(handle: IO[bytes], size: int) -> bool:
    """Whether an end record of a zip, with its comment, reaches the end of the file."""
    reach = min(size, 22 + 0xFFFF)
    handle.seek(size - reach)
    tail = handle.read(reach)
    at = tail.rfind(b"PK\x05\x06")
    while at >= 0:
        if at + 22 <= len(tail) and at + 22 + int.from_bytes(tail[at + 20 : at + 22], "little") == len(tail):
            return True
        at = tail.rfind(b"PK\x05\x06", 0, at)
    return False


def _zip(handle: IO[bytes], size: int) -> Judgement:
    archive = open_archive(handle, size)
    if is_skops(archive):
        return _skops(handle, size)
    pickles = [name for name in archive.members if name.endswith((".pkl", ".pickle"))]
    if pickles:
        return _torch(archive, pickles)
    if archive.members and all(name.endswith(".npy") for name in archive.members):
        objects = sorted(name for name, header in check_npz(archive).items() if header.has_objects)
        return _arrays("npz", [f"the array {name[:120]!r} holds objects, which are pickles" for name in objects])
    return unknown("zip", "an archive of a kind that this version does not know")


def _skops(handle: IO[bytes], size: int) -> Judgement:
    handle.seek(0)
    facts = skops_facts(handle, size)
    problems = [
        Problem("dangerous-type", Severity.CRITICAL, f"{found.loader} names {found.qualified[:200]}")
        if is_dangerous(found.qualified)
        else Problem(
            "unlisted-type", Severity.HIGH, f"{found.loader} names {found.qualified[:200]}, which is not listed"
        )
        for found in facts.unlisted
    ]
    problems += [Problem("unsound-skops", Severity.HIGH, problem) for problem in facts.problems]
    bad = any(problem.severity is Severity.CRITICAL for problem in problems)
    verdict = Verdict.MALICIOUS if bad else Verdict.UNKNOWN if problems else Verdict.CLEAN
    return Judgement("skops", verdict, tuple(problems[:MAX_PROBLEMS]))


def _torch(archive: Archive, pickles: list[str]) -> Judgement:
    """A zip of torch: its pickles are judged; tensors stay unknown until their names are listed."""
    found = []
    for name in pickles:
        data = archive.read(name, MAX_PICKLE_BYTES)
        found.append(judged_pickle(pickle_facts(data), len(data), name))
    problems = [problem for judgement in found for problem in judgement.problems]
    if any(judgement.verdict is Verdict.MALICIOUS for judgement in found):
        return Judgement("torch-zip", Verdict.MALICIOUS, tuple(problems[:MAX_PROBLEMS]))
    problems.append(
        Problem("unexamined-format", Severity.MEDIUM, "the other members of a torch archive are not examined")
    )
    return Judgement("torch-zip", Verdict.UNKNOWN, tuple(problems[:MAX_PROBLEMS]))


def _npy(handle: IO[bytes], size: int) -> Judgement:
    return _arrays(
        "npy", ["the array holds objects, which are a pickle"] if check_npy(handle, size).has_objects else []
    )


def _arrays(name: str, objects: list[str]) -> Judgement:
    problems = tuple(Problem("object-array", Severity.HIGH, text) for text in objects[:MAX_PROBLEMS])
    return Judgement(name, Verdict.UNKNOWN if problems else Verdict.CLEAN, problems)


def _safetensors(handle: IO[bytes], size: int) -> Judgement:
    check_safetensors(handle, size)
    return Judgement("safetensors", Verdict.CLEAN)


def _guarded(name: str, judge: Callable[[IO[bytes], int], Judgement], handle: IO[bytes], size: int) -> Judgement:
    """A judge whose format turned out to be broken: nobody can say what a lenient loader would make of the file."""
    try:
        return judge(handle, size)
    except MalformedInput as error:
        problem = Problem("malformed-file", Severity.HIGH, f"{error.what}: {error.why}"[:300])
        return Judgement(name, Verdict.INCONCLUSIVE, (problem,))
