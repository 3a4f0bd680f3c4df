"""Formats told by their magic that are data for their loaders, that need a library, or that cannot be examined yet.

RDS files are walked for promises, closures and language objects, which R evaluates when they are touched (CVE-2024-27322).
"""

from __future__ import annotations

import re

from assay.formats.facts import Fact, FileFacts
from assay.formats.hdf5.headers import MARK as HDF5
from assay.formats.hdf5_file import hdf5_facts
from assay.formats.pickle_machine import Data
from assay.formats.ubjson_file import ubjson_facts

_RDS = re.compile(rb"[XBA]\n")
_PROMISE, _CLOSURE, _LANGUAGE, _BYTECODE, _ENVIRONMENT = 5, 3, 6, 21, 4
_BY_MAGIC = (
    (4, b"TFL3", "tflite", "unexamined", "TensorFlow Lite graphs are not examined by this version"),
    (0, b"ARROW1\x00\x00", "arrow", "unexamined", "Arrow files are not examined by this version"),
    (0, b"PAR1", "parquet", "unexamined", "Parquet files are not examined by this version"),
    (0, b"CBM1", "catboost", "unexamined", "CatBoost models are not examined by this version"),
    (0, b"\x7fELF", "executable", "code", "an executable or library"),
    (0, b"MZ", "executable", "code", "an executable or library"),
    (0, b"\xcf\xfa\xed\xfe", "executable", "code", "an executable or library"),
    (0, b"\xca\xfe\xba\xbe", "executable", "code", "an executable or library"),
)


def known_binary(data: Data, size: int) -> FileFacts | None:
    """A format by its magic; None if there is none."""
    if data[: len(HDF5)] == HDF5:
        return hdf5_facts(data)
    for at, magic, name, kind, words in _BY_MAGIC:
        if data[at : at + len(magic)] == magic and (magic != b"MZ" or size > 64):
            return FileFacts(name, (Fact(kind, "", None, (words,)),))
    if (
        data[:16].startswith((b"{L\x00\x00\x00\x00\x00\x00\x00", b"{i\x07learner", b"{L\x00"))
        and b"learner" in data[:200]
    ):
        return FileFacts("xgboost-ubj", tuple(ubjson_facts(data)))
    if data[:4] == b"binf" or data[:4] == b"bs64":
        return FileFacts(
            "xgboost-binary", (Fact("unexamined", "", None, ("XGBoost's old binary format is not examined",)),)
        )
    if data[:6] in (b"RDX2\nX", b"RDX3\nX", b"RDA2\nA", b"RDA3\nA") or (
        _RDS.match(data[:2]) and data[2:6] in (b"\0\0\0\2", b"\0\0\0\3")
    ):
        return _rds(bytes(data[: 64 << 20]))
    return None


def _rds(data: bytes) -> FileFacts:
    """Item flags are four bytes whose last is the type; every place where a type that R evaluates may stand is told."""
    start = data.find(b"X\n") + 2
    facts = []
    for kind, words in (
        (_PROMISE, "a promise"),
        (_CLOSURE, "a closure"),
        (_LANGUAGE, "a call"),
        (_BYTECODE, "byte code"),
        (_ENVIRONMENT, "an environment"),
    ):
        if re.search(rb"\x00[\x00-\x0f][\x00-\x07]" + bytes([kind]), data[start + 8 :]):
            facts.append(Fact("r-code", "", None, (f"may hold {words}, which R runs when it is touched",)))
    return FileFacts("rds", (*facts[:1], Fact("unexamined", "", None, ("R data are searched, not fully read",))))
