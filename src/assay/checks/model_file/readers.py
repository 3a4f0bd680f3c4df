"""From an open file to its judgement: the bytes are mapped or read once, turned into facts, and the facts are judged."""

from __future__ import annotations

import io
import mmap
from typing import IO

from assay.checks.model_file.judge import judge
from assay.checks.model_file.judgement import Judgement
from assay.checks.model_file.lists import Lists
from assay.formats.facts import FileFacts
from assay.formats.reading import read_facts

MAPPED_FROM_BYTES = 4 << 20


def judged(handle: IO[bytes], path: str, size: int, lists: Lists | None = None) -> Judgement:
    """Judges a file of `size` bytes, open at its start; bytes that break their format are a judgement too."""
    return judge(facts_of(handle, path, size), lists)


def facts_of(handle: IO[bytes], path: str, size: int) -> FileFacts:
    """Facts of an open file. Large ones are mapped, so that tensors which nobody interprets are never in memory."""
    if size < MAPPED_FROM_BYTES:
        return read_facts(handle.read(size + 1), path)
    try:
        mapped = mmap.mmap(handle.fileno(), 0, access=mmap.ACCESS_READ)
    except (OSError, ValueError, io.UnsupportedOperation):  # not a file of the system, such as a buffer in a test
        return read_facts(handle.read(size + 1), path)
    try:
        return read_facts(mapped, path)
    finally:
        mapped.close()
