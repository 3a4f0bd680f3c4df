"""XGBoost's old binary format (`binf`): tree by tree to its end, with every child and feature in range.

Later versions refuse it; the versions that read it index with these numbers unchecked.
Source: XGBoost 1.7, `src/learner.cc` (LearnerIO::Save), `src/gbm/gbtree_model.cc`, `include/xgboost/tree_model.h`.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from assay.core.errors import MalformedInput
from assay.formats.facts import Fact
from assay.formats.pickle_machine import Data

MARK = b"binf"
MAX_TREES = 1_000_000
_LEARNER_BYTES, _FOREST_BYTES, _TREE_BYTES = 136, 160, 148
_NODE = struct.Struct("<iiiIf")
_STAT_BYTES = 16
_LEAF, _DELETED = -1, 0xFFFFFFFF
_TREES, _LINEAR = ("gbtree", "dart"), "gblinear"


def xgboost_facts(data: Data) -> Iterator[Fact]:
    """Facts of a model that begins with the mark.

    Raises:
        MalformedInput: a part that is cut short, or counts that cannot be.
    """
    reader = _Reader(data, len(MARK))
    learner = reader.take(_LEARNER_BYTES)
    features, has_attributes, has_metrics = (int.from_bytes(learner[a : a + 4], "little") for a in (4, 12, 16))
    reader.text()
    booster = reader.text()
    if booster not in _TREES:
        yield Fact("unexamined", "", reader.at, (f"a booster of the kind {booster[:40]!r}",))
        return
    forest = reader.take(_FOREST_BYTES)
    count = int.from_bytes(forest[:4], "little")
    if count > MAX_TREES:
        raise MalformedInput("an XGBoost model has too many trees", str(count))
    for number in range(count):
        if not _is_sound_tree(reader, number, features):
            yield Fact("forged", "", reader.at, (f"the tree {number} of an XGBoost model points outside itself",))
            return
    reader.take(4 * count)
    if booster == "dart" and count:
        reader.take(4 * reader.number(8))
    for _ in range(reader.number(8) if has_attributes else 0):
        reader.text()
        reader.text()
    for _ in range(reader.number(8) if has_metrics else 0):
        reader.text()
    if reader.at != len(data):
        yield Fact("trailing", "", reader.at, (f"{len(data) - reader.at} bytes follow the model",))


def _is_sound_tree(reader: _Reader, number: int, features: int) -> bool:
    head = struct.unpack_from("<6i", reader.take(_TREE_BYTES))
    nodes, width = head[1], head[5]
    if nodes < 1 or width not in (0, 1):
        raise MalformedInput("an XGBoost tree is malformed", f"tree {number}: {nodes} nodes, leaves of {width}")
    for _, left, right, split, _ in _NODE.iter_unpack(reader.take(nodes * _NODE.size)):
        is_inner = left != _LEAF and split != _DELETED
        if is_inner and not (0 <= left < nodes and 0 <= right < nodes and split & 0x7FFFFFFF < max(features, 1)):
            return False
    reader.take(nodes * _STAT_BYTES)
    return True


class _Reader:
    def __init__(self, data: Data, at: int) -> None:
        self._data, self.at = data, at

    def take(self, count: int) -> bytes:
        if count < 0 or count > len(self._data) - self.at:
            raise MalformedInput("an XGBoost model is cut short", f"{count} bytes at {self.at}")
        self.at += count
        return bytes(self._data[self.at - count : self.at])

    def number(self, width: int) -> int:
        return int.from_bytes(self.take(width), "little")

    def text(self) -> str:
        return self.take(self.number(8)).decode("utf-8", "backslashreplace")
