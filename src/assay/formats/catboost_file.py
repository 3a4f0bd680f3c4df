"""CatBoost models (`.cbm`): a FlatBuffers core behind its mark and length, then parts that the core names.

Source: CatBoost 1.2, `libs/model/model.cpp`, `libs/model/flatbuffers/model.fbs`.
"""

from __future__ import annotations

from collections.abc import Iterator

from assay.core.errors import MalformedInput
from assay.formats.facts import Fact
from assay.formats.flatbuffer import Buffer
from assay.formats.pickle_file import PickleFile
from assay.formats.pickle_machine import Data

MARK = b"CBM1"
LISTED_PARTS = frozenset({"static_provider_v1", "text_process_v1", "text_process_v2", "embed_process_v1"})
MAX_VALUES = 100_000


def catboost_facts(data: Data) -> Iterator[Fact]:
    """Facts of a model. TModelCore: format version 0, trees 1, info 2, names of parts 3.

    Raises:
        MalformedInput: the core does not fit, or an unknown version.
    """
    length = int.from_bytes(data[4:8], "little")
    if length < 8 or 8 + length > len(data):
        raise MalformedInput("a CatBoost model is cut short", f"{length} bytes announced")
    buffer = Buffer(data, 8, 8 + length)
    core = buffer.root()
    if not core.text(0).startswith("FlabuffersModel_v") or core.table(1) is None:
        raise MalformedInput("a CatBoost model has an unknown version", core.text(0)[:40])
    for pair in core.tables(2)[:MAX_VALUES]:
        pair.text(0), pair.text(1)
    at, count = core.vector(3, 4)
    names = []
    for i in range(min(count, MAX_VALUES)):
        start, size = buffer.vector(buffer.follow(at + 4 * i), 1)
        names.append(buffer.take(start, min(size, 200)).rstrip(b"\0").decode("utf-8", "backslashreplace"))
    for name in names:
        if name not in LISTED_PARTS:
            yield Fact("unexamined", "", None, (f"a part of the kind {name[:80]!r}",))
    if not names and 8 + length < len(data):
        yield Fact("trailing", "", 8 + length, (f"{len(data) - 8 - length} bytes follow the model",))
    if 8 + length < len(data):
        yield from PickleFile(data).search(8 + length)
