"""MXNet: parameters (`.params`) walked to their end, and graphs (`-symbol.json`) whose operators are told.

`Custom` calls a Python class by name, `_Native` and `_NDArray` call addresses that the file holds.
Source: Apache MXNet 1.9, `src/ndarray/ndarray.cc` (NDArray::Save), `python/mxnet/symbol`, `src/nnvm/legacy_json_util.cc`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from assay.core.canonical import Json
from assay.core.errors import MalformedInput
from assay.formats.facts import Fact
from assay.formats.impossible import Impossible
from assay.formats.pickle_machine import Data

LIBRARY = "mxnet"
MARK = (0x112).to_bytes(8, "little") + bytes(8)
MAX_ARRAYS = 1_000_000
MAX_NODES = 1_000_000
_FIRST, _SECOND, _THIRD = 0xF993FAC8, 0xF993FAC9, 0xF993FACA
_ITEM_BYTES = {0: 4, 1: 8, 2: 2, 3: 1, 4: 4, 5: 1, 6: 8, 7: 1, 8: 2, 9: 2, 10: 4, 11: 8, 12: 2}
_DENSE = 0


def is_mxnet_graph(value: Json) -> bool:
    """Whether a JSON value is a graph: nodes with operators, argument nodes and heads."""
    return (
        isinstance(value, dict) and isinstance(value.get("nodes"), list) and "arg_nodes" in value and "heads" in value
    )


def mxnet_graph_facts(value: Json) -> Iterator[Fact]:
    """Every operator once; nested graphs of control flow too."""
    waiting, told, count = [value], set[str](), 0
    while waiting and count < MAX_NODES:
        graph = waiting.pop()
        for node in graph.get("nodes", ()) if isinstance(graph, dict) else ():
            count += 1
            op = node.get("op") if isinstance(node, dict) else None
            if op != "null" and str(op) not in told:
                told.add(str(op))
                yield Fact("operator", "", None, (LIBRARY, "", str(op)[:200]))
            if isinstance(node, dict) and isinstance(node.get("subgraphs"), list):
                waiting += node["subgraphs"]
    if waiting:
        yield Fact("limit", "", None, (f"more than {MAX_NODES} nodes",))


def mxnet_facts(data: Data) -> Iterator[Fact]:
    """One fact if bytes follow; the file begins with the mark.

    Raises:
        MalformedInput: an array or name that does not hold.
    """
    reader = _Reader(data)
    for _ in range(reader.count(1)):
        reader.array()
    for _ in range(reader.count(8)):
        reader.skip(reader.number(8))
    if reader.at != len(data):
        yield Fact("trailing", "", reader.at, (f"{len(data) - reader.at} bytes follow the names",))


class _Reader:
    def __init__(self, data: Data) -> None:
        self._data, self.at = data, len(MARK)

    def skip(self, count: int) -> None:
        if count > len(self._data) - self.at:
            raise MalformedInput("MXNet parameters are cut short", f"{count} bytes at {self.at}")
        self.at += count

    def number(self, width: int) -> int:
        self.skip(width)
        return int.from_bytes(self._data[self.at - width : self.at], "little")

    def count(self, least: int) -> int:
        """How many items follow, each of at least so many bytes."""
        count = self.number(8)
        if count > MAX_ARRAYS:
            raise Impossible("MXNet parameters have a count beyond any file", str(count))
        if count * least > len(self._data) - self.at:
            raise MalformedInput("MXNet parameters have too many items", str(count))
        return count

    def array(self) -> None:
        """Mark, storage, shape, device, type, data; the oldest form begins with its number of dimensions."""
        mark = self.number(4)
        if mark in (_SECOND, _THIRD) and self.number(4) != _DENSE:
            raise MalformedInput("a sparse MXNet array", "such arrays are not read")
        width = 8
        if mark not in (_FIRST, _SECOND, _THIRD):
            rank, width = mark, 4
        else:
            rank = self.number(4)
        if rank in (0, 0xFFFFFFFF) and mark != _THIRD:
            return
        if rank > 64:
            raise Impossible("an MXNet array has too many dimensions", str(rank))
        shape = [self.number(width) for _ in range(rank)]
        self.skip(8)
        kind = self.number(4)
        if kind not in _ITEM_BYTES or any(n >= 1 << 48 for n in shape):
            raise MalformedInput("an MXNet array has an unknown type or shape", f"{kind}, {shape[:4]}")
        self.skip(math.prod(shape) * _ITEM_BYTES[kind])
