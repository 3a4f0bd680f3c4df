"""ONNX models: every operator with its domain, data outside the file, and texts in the metadata; read from the wire format.

Numbers of fields are those of `onnx.proto` (IR 13). Operators that the model defines itself, as functions, are not told: their
bodies are. Source: ONNX 1.23 external data documentation; CVE-2022-25882, CVE-2024-27318 (paths that leave the folder),
CVE-2024-5187 (absolute paths in archives of models).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from assay.core.errors import MalformedInput
from assay.formats.chat_template import template_facts
from assay.formats.facts import Fact, FileFacts
from assay.formats.impossible import broken_fact
from assay.formats.outside_paths import leads_outside
from assay.formats.pickle_machine import Data
from assay.formats.protobuf_wire import Field, Wire
from assay.formats.secrets.metadata import secrets_in_pairs

LIBRARY = "onnx"
MAX_DEPTH = 32
MAX_OPERATORS = 10_000
MAX_METADATA_BYTES = 1 << 20
GRAPH, OPSET, METADATA, FUNCTION = 7, 8, 14, 25
MODEL_FIELDS = frozenset({1, 2, 3, 4, 5, 6, 7, 8, 14, 20, 25, 26})
_INNER = {
    ("graph", 1): "node", ("graph", 5): "tensor", ("graph", 15): "sparse", ("function", 7): "node", ("function", 11): "attribute",
    ("node", 5): "attribute", ("attribute", 5): "tensor", ("attribute", 6): "graph", ("attribute", 10): "tensor", ("attribute", 11): "graph",
    ("attribute", 22): "sparse", ("attribute", 23): "sparse", ("sparse", 1): "tensor", ("sparse", 2): "tensor", ("tensor", 13): "external",
}  # fmt: skip


def onnx_facts(data: Data) -> FileFacts | None:
    """Facts of an ONNX model; None if these bytes are none."""
    wire = Wire(data)
    try:
        fields = list(wire.fields(0, len(data)))
    except MalformedInput:
        return None
    numbers = {field.number for field in fields}
    shapes = {(field.number, field.wire) for field in fields}
    if not {(1, 0), (GRAPH, 2), (OPSET, 2)} <= shapes or not numbers <= MODEL_FIELDS:
        return None
    facts: list[Fact] = []
    try:
        facts += _Model(wire, fields).facts()
        facts += secrets_in_pairs(_properties(wire, fields), "a property of the model")
    except MalformedInput as error:
        facts.append(broken_fact(error))
    return FileFacts("onnx", tuple(dict.fromkeys(facts)))


def _properties(wire: Wire, fields: Iterable[Field]) -> Iterator[tuple[str, str]]:
    """Names and values of the metadata (StringStringEntryProto: key 1, value 2), and the texts that describe the model."""
    for field in fields:
        if field.wire == 2 and field.number in (2, 3, 4, 6):
            yield "description", wire.text(field)
        elif field.wire == 2 and field.number == METADATA:
            pair = {part.number: wire.text(part) for part in wire.fields(field.start, field.stop) if part.wire == 2}
            yield pair.get(1, ""), pair.get(2, "")


class _Model:
    """A walk over all graphs of a model."""

    def __init__(self, wire: Wire, fields: list[Field]) -> None:
        self._wire, self._fields = wire, fields
        self._operators: dict[tuple[str, str], int] = {}

    def facts(self) -> Iterator[Fact]:
        own = {self._identity(field) for field in self._fields if (field.number, field.wire) == (FUNCTION, 2)}
        for field in self._fields:
            if field.wire != 2:
                continue
            if field.number in (GRAPH, FUNCTION):
                yield from self._graph(field, "graph" if field.number == GRAPH else "function")
            elif field.number == METADATA:
                yield from self._metadata(field)
        for (domain, op), at in list(self._operators.items())[:MAX_OPERATORS]:
            if (domain, op) not in own:
                yield Fact("operator", "", at, (LIBRARY, "" if domain == "ai.onnx" else domain, op))
        if len(self._operators) > MAX_OPERATORS:
            yield Fact("limit", "", None, (f"more than {MAX_OPERATORS} kinds of operator",))

    def _identity(self, function: Field) -> tuple[str, str]:
        """FunctionProto: name 1, domain 10."""
        found = {
            f.number: self._wire.text(f)
            for f in self._wire.fields(function.start, function.stop)
            if f.wire == 2 and f.number in (1, 10)
        }
        return found.get(10, ""), found.get(1, "")

    def _graph(self, graph: Field, kind: str) -> Iterator[Fact]:
        """GraphProto: node 1, initializer 5, sparse 15; FunctionProto: node 7. NodeProto: op 4, attribute 5, domain 7."""
        waiting = [(kind, graph, 0)]
        while waiting:
            kind, outer, depth = waiting.pop()
            if depth > MAX_DEPTH:
                yield Fact("limit", "", outer.start, ("graphs are nested too deeply",))
                continue
            op = domain = ""
            for field in self._wire.fields(outer.start, outer.stop):
                inner = _INNER.get((kind, field.number)) if field.wire == 2 else None
                if inner is not None:
                    waiting.append((inner, field, depth + 1))
                elif kind == "node" and field.number == 4:
                    op = self._wire.text(field, 200)
                elif kind == "node" and field.number == 7:
                    domain = self._wire.text(field, 200)
                elif kind == "external":
                    yield from self._external(outer)
                    break
            if kind == "node":
                self._operators.setdefault((domain, op), outer.start)

    def _external(self, entry: Field) -> Iterator[Fact]:
        """StringStringEntryProto: key 1, value 2; a location must stay in the folder."""
        key, place = self._pair(entry, 4096)
        if key == "location" and leads_outside(place):
            yield Fact("outside-data", "", entry.start, (f"external data at {place[:120]!r}",))

    def _metadata(self, entry: Field) -> Iterator[Fact]:
        """Texts that applications may render as templates."""
        key, text = self._pair(entry, MAX_METADATA_BYTES)
        if "{%" in text or ("{{" in text and "}}" in text):
            yield from template_facts(text, key[:80])

    def _pair(self, entry: Field, bound: int) -> tuple[str, str]:
        pair = {f.number: self._wire.text(f, bound) for f in self._wire.fields(entry.start, entry.stop) if f.wire == 2}
        return pair.get(1, ""), pair.get(2, "")
