"""TensorFlow models: SavedModel, GraphDef and MetaGraphDef, in the wire format and as text, and the files that stand beside.

Every operator is told once, and where the path of a file that it reads or writes comes from. A checkpoint is written and read
by operators whose path the program feeds; a path that stands in the graph is another matter.
Source: TensorFlow 2.21, `saved_model.proto`, `tensor_bundle.proto`, `fingerprint.proto`; Keras 2, `saved_metadata.proto`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from assay.core.errors import MalformedInput
from assay.formats.facts import Fact, FileFacts
from assay.formats.impossible import broken_fact
from assay.formats.json_text import value_of
from assay.formats.keras_config import keras_facts
from assay.formats.outside_paths import leads_outside
from assay.formats.pickle_machine import Data
from assay.formats.protobuf_wire import Field, Wire
from assay.formats.tensorflow_graph import Graph, Model, Node, node_of, text_model, wire_model
from assay.formats.text_proto import read_text_proto

LIBRARY = "tensorflow"
# operator -> which of its inputs are paths
PATHS = {
    "SaveV2": (0,), "Save": (0,), "SaveSlices": (0,), "RestoreV2": (0,), "Restore": (0,), "RestoreSlice": (0,), "MergeV2Checkpoints": (0, 1),
    "InitializeTableFromTextFile": (1,), "InitializeTableFromTextFileV2": (1,),
}  # fmt: skip
FED = frozenset({"Placeholder", "PlaceholderV2", "PlaceholderWithDefault", "_Arg", "_DeviceArg"})
CALLS = {
    "PartitionedCall": 0,
    "StatefulPartitionedCall": 0,
    "If": 1,
    "StatelessIf": 1,
    "Case": 1,
    "StatelessCase": 1,
    "While": 0,
    "StatelessWhile": 0,
}
DATA_NAME = re.compile(r"(.*/)?([^/]*\.data-\d{5}-of-\d{5}|openvino\w*\.bin)", re.DOTALL)
MAX_OPERATORS = 10_000
MAX_STEPS = 2_000_000
_SAVERS_OWN = re.compile(r"/?_temp(_[0-9a-f]+)?/part|[/.]?part")
_OP = re.compile(r"[A-Za-z_][A-Za-z0-9_>.]{0,199}")


def tensorflow_facts(data: Data, path: str = "") -> FileFacts | None:
    """Facts of a model or of a file beside it, in the wire format; None if these bytes are none.

    SavedModel: schema 1, meta graphs 2. MetaGraphDef: graph 2. GraphDef: nodes 1, library 2, version 3, versions 4.
    """
    wire = Wire(data)
    name = path.lower().rpartition("/")[2]
    try:
        fields = list(wire.fields(0, len(data)))
        numbers = {(field.number, field.wire) for field in fields}
        if (
            name == "fingerprint.pb"
            and len(data) < 1024
            and numbers <= {(n, w) for n in range(1, 8) for w in (0, 1, 2)}
        ):
            return FileFacts("tensorflow-fingerprint")
        if name == "keras_metadata.pb":
            return FileFacts("keras-metadata", tuple(_keras_metadata(wire, fields)))
        if numbers <= {(1, 0), (2, 2)} and (2, 2) in numbers and (metas := _with_graph(wire, fields)):
            graphs = [f for meta in metas for f in wire.fields(meta.start, meta.stop) if (f.number, f.wire) == (2, 2)]
            return _judged("tensorflow-saved-model", wire_model(wire, graphs, metas))
        if numbers <= {(n, 2) for n in range(1, 8)} and {(1, 2), (2, 2)} <= numbers and _is_graph(wire, fields, 2):
            graphs, whole = [f for f in fields if f.number == 2], Field(0, 2, 0, 0, len(data))
            return _judged("tensorflow-meta-graph", wire_model(wire, graphs, [whole]))
        if numbers <= {(1, 2), (2, 2), (3, 0), (4, 2), (5, 2)} and (1, 2) in numbers and _is_node(wire, fields[0]):
            return _judged("tensorflow-graph", wire_model(wire, [Field(0, 2, 0, 0, len(data))], []))
    except MalformedInput:
        return None
    return None


def tensorflow_text_facts(text: str) -> FileFacts | None:
    """Facts of a model in text form; None if it is none."""
    if not re.search(r"\b(node|meta_graphs|graph_def|library)\s*:?\s*[{<]", text):
        return None
    try:
        model = text_model(read_text_proto(text))
    except MalformedInput as error:
        ops = set(re.findall(r"\bop\s*:\s*[\"']([\w>]{1,100})", text))
        facts = [Fact("operator", "", None, (LIBRARY, "", op)) for op in sorted(ops)[:MAX_OPERATORS]]
        return FileFacts("tensorflow-text", (broken_fact(error), *facts))
    return _judged("tensorflow-text", model) if model else None


def _with_graph(wire: Wire, fields: list[Field]) -> list[Field]:
    """The meta graphs of a saved model, if each of them has a graph."""
    metas = [field for field in fields if field.number == 2]
    has = [any((f.number, f.wire) == (2, 2) for f in wire.fields(meta.start, meta.stop)) for meta in metas]
    return metas if all(has) else []


def _is_graph(wire: Wire, fields: list[Field], number: int) -> bool:
    """Whether the first message of a number begins with a node."""
    graph = next(field for field in fields if field.number == number)
    first = next(iter(wire.fields(graph.start, graph.stop)), None)
    return first is not None and first.number == 1 and first.wire == 2 and _is_node(wire, first)


def _is_node(wire: Wire, field: Field) -> bool:
    """NodeDef: name 1, op 2, both texts."""
    numbers = {inner.number: inner for inner in wire.fields(field.start, field.stop)}
    return {1, 2} <= set(numbers) and numbers[2].wire == 2 and _OP.fullmatch(wire.text(numbers[2], 200)) is not None


def _keras_metadata(wire: Wire, fields: list[Field]) -> Iterator[Fact]:
    """Texts of saved objects that are JSON: layers with their configuration (CVE-2024-3660 for SavedModel folders)."""
    for node in fields:
        if (node.number, node.wire) != (1, 2):
            continue
        for field in wire.fields(node.start, node.stop):
            if field.wire == 2 and wire.data[field.start : field.start + 1] == b"{":
                value, problem, kind = value_of(bytes(wire.data[field.start : field.stop]))
                yield from keras_facts(value)
                if problem:
                    yield Fact(kind, "", field.start, (f"metadata of Keras: {problem}",))


def _judged(name: str, model: Model) -> FileFacts:
    own = {graph.name for graph in model.graphs if graph.name}
    told: dict[str, int | None] = {}
    for graph in model.graphs:
        for node in graph.nodes.values():
            if node.op not in own:
                told.setdefault(node.op, node.at)
            if node.op == "PrintV2" and "://" in node.text:
                told.setdefault(f"PrintV2 to {node.text[:80]}", node.at)
    facts = [Fact("operator", "", at, (LIBRARY, "", op)) for op, at in list(told.items())[:MAX_OPERATORS]]
    if len(told) > MAX_OPERATORS:
        facts.append(Fact("limit", "", None, (f"more than {MAX_OPERATORS} kinds of operator",)))
    facts += [
        Fact("outside-data", "", None, (f"an asset at {asset[:120]!r}",))
        for asset in model.assets
        if leads_outside(asset)
    ]
    return FileFacts(name, tuple(dict.fromkeys([*facts, *_Paths(model).facts()])))


class _Paths:
    """Where the paths of operators that touch files come from, through functions and their callers."""

    def __init__(self, model: Model) -> None:
        self._model, self._steps = model, 0
        self._graphs = {graph.name: graph for graph in model.graphs if graph.name}
        self._assignments: dict[str, dict[str, list[str]]] = {}

    def facts(self) -> Iterator[Fact]:
        """One fact for each operator whose path stands in the graph, or is put together from what does."""
        waiting = [
            (graph, node, index)
            for graph in self._model.graphs
            for node in graph.nodes.values()
            for index in PATHS.get(node.op, ())
        ]
        seen = {(id(graph), node.name, index) for graph, node, index in waiting}
        callers = self._callers()
        while waiting and self._steps < MAX_STEPS:
            graph, node, index = waiting.pop()
            origin = self._origin(graph, node, index)
            if isinstance(origin, str):
                yield Fact("fixed-path", "", node.at, (node.op, origin[:120]))
            for argument in origin if isinstance(origin, set) else ():
                for outer, call in callers.get(graph.name, ()):
                    place = argument + CALLS.get(call.op, 0)
                    if (id(outer), call.name, place) not in seen:
                        seen.add((id(outer), call.name, place))
                        waiting.append((outer, call, place))
        if waiting:
            yield Fact("limit", "", None, ("the graph is too large to follow its paths",))

    def _assigned(self, graph: Graph, variable: str) -> list[str]:
        """What a graph assigns to a variable; paths of assets take this way."""
        if graph.name not in self._assignments:
            found: dict[str, list[str]] = {}
            for node in graph.nodes.values():
                if node.op == "AssignVariableOp" and len(node.inputs) > 1:
                    found.setdefault(node_of(node.inputs[0]), []).append(node_of(node.inputs[1]))
            self._assignments[graph.name] = found
        return self._assignments[graph.name].get(variable, [])

    def _callers(self) -> dict[str, list[tuple[Graph, Node]]]:
        found: dict[str, list[tuple[Graph, Node]]] = {}
        for graph in self._model.graphs:
            for node in graph.nodes.values():
                for name in {*node.calls, node.op} & self._graphs.keys():
                    found.setdefault(name, []).append((graph, node))
        return found

    def _origin(self, graph: Graph, node: Node, index: int) -> str | set[int] | None:
        """The constant that a path is, the arguments of the function that it comes from, or None where it is fed."""
        data = [name for name in node.inputs if not name.startswith("^")]
        if index >= len(data):
            return "an input that is missing"
        waiting, seen, texts, arguments, is_fed = [node_of(data[index])], set[str](), list[str](), set[int](), False
        while waiting and self._steps < MAX_STEPS:
            self._steps += 1
            name = waiting.pop()
            if name in seen:
                continue
            seen.add(name)
            if name in graph.arguments:
                arguments.add(graph.arguments.index(name))
            elif not graph.name and name in self._model.fed:
                is_fed = True
            elif (source := graph.nodes.get(name)) is not None:
                is_fed = is_fed or source.op in FED
                texts += [source.text] if source.op == "Const" else []
                waiting += [node_of(one) for one in source.inputs if not one.startswith("^")]
                waiting += self._assigned(graph, name) if source.op == "VarHandleOp" else []
        if leading := [text for text in texts if re.search(r"[/\\]", text) and not _SAVERS_OWN.fullmatch(text)]:
            return leading[0]
        if is_fed or arguments:
            return arguments or None
        return next(filter(None, texts), "a value that the graph computes")
