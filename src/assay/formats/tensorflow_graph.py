"""TensorFlow graphs as plain nodes, from the wire format or from text: what runs, on what, and what functions it calls.

Numbers of fields are those of TensorFlow 2.21: `graph.proto`, `node_def.proto`, `function.proto`, `attr_value.proto`,
`meta_graph.proto`, `saved_model.proto`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from assay.formats.protobuf_wire import Field, Wire
from assay.formats.text_proto import Tree

MAX_NAME = 200
_NESTED_LIST, _TEXT, _TENSOR, _FUNCTION, _FUNCTIONS = 1, 2, 8, 10, 9


class Node(NamedTuple):
    """One operation. `calls` are functions that its attributes name; `text` is its constant or a text attribute."""

    name: str
    op: str
    inputs: tuple[str, ...]
    calls: tuple[str, ...]
    text: str
    at: int | None


class Graph(NamedTuple):
    """The body of a function, or of the model where `name` is "". `arguments` are names of its inputs, in order."""

    name: str
    arguments: tuple[str, ...]
    nodes: dict[str, Node]


class Model(NamedTuple):
    """All graphs of a file; `fed` are tensors that whoever loads it fills in, such as the place of a checkpoint."""

    graphs: list[Graph]
    fed: frozenset[str]
    assets: tuple[str, ...]


def wire_model(wire: Wire, graphs: list[Field], metas: list[Field]) -> Model:
    """The graphs of GraphDef messages, and what the MetaGraphDef messages around them feed."""
    found = [graph for field in graphs for graph in _wire_graphs(wire, field)]
    fed, assets = set[str](), list[str]()
    for meta in metas:
        for field in wire.fields(meta.start, meta.stop):
            if field.number == 3 and field.wire == 2:
                fed |= {
                    wire.text(f) for f in wire.fields(field.start, field.stop) if f.number in (1, 2) and f.wire == 2
                }
            elif field.number == 6 and field.wire == 2:
                for part in wire.fields(field.start, field.stop):
                    if part.number == 2 and part.wire == 2:
                        assets.append(wire.text(part))
                    elif part.number == 1 and part.wire == 2:
                        fed |= {
                            wire.text(f) for f in wire.fields(part.start, part.stop) if f.number == 1 and f.wire == 2
                        }
    return Model(found, frozenset(node_of(name) for name in fed), tuple(assets))


def _wire_graphs(wire: Wire, graph: Field) -> Iterator[Graph]:
    """GraphDef: node 1, library 2; FunctionDefLibrary: function 1; FunctionDef: signature 1, node_def 3."""
    nodes: dict[str, Node] = {}
    for field in wire.fields(graph.start, graph.stop):
        if field.number == 1 and field.wire == 2:
            node = _wire_node(wire, field)
            nodes[node.name] = node
        elif field.number == 2 and field.wire == 2:
            for function in wire.fields(field.start, field.stop):
                if function.number == 1 and function.wire == 2:
                    yield _wire_function(wire, function)
    yield Graph("", (), nodes)


def _wire_function(wire: Wire, function: Field) -> Graph:
    name, arguments, nodes = "", list[str](), dict[str, Node]()
    for field in wire.fields(function.start, function.stop):
        if field.number == 1 and field.wire == 2:
            for part in wire.fields(field.start, field.stop):
                if part.number == 1 and part.wire == 2:
                    name = wire.text(part, MAX_NAME)
                elif part.number == 2 and part.wire == 2:
                    arguments += [wire.text(f, MAX_NAME) for f in wire.fields(part.start, part.stop) if f.number == 1]
        elif field.number == 3 and field.wire == 2:
            node = _wire_node(wire, field)
            nodes[node.name] = node
    return Graph(name, tuple(arguments), nodes)


def _wire_node(wire: Wire, field: Field) -> Node:
    """NodeDef: name 1, op 2, input 3, attr 5 as key 1 and value 2."""
    name, op, inputs, calls, text = "", "", list[str](), list[str](), ""
    for part in wire.fields(field.start, field.stop):
        if part.wire != 2:
            continue
        if part.number == 1:
            name = wire.text(part, MAX_NAME)
        elif part.number == 2:
            op = wire.text(part, MAX_NAME)
        elif part.number == 3:
            inputs.append(wire.text(part, MAX_NAME))
        elif part.number == 5:
            text = _wire_attribute(wire, part, calls) or text
    return Node(name, op, tuple(inputs), tuple(calls), text, field.start)


def _wire_attribute(wire: Wire, entry: Field, calls: list[str]) -> str:
    """Adds functions that an attribute names; returns its text, or that of its constant."""
    key, text = "", ""
    for field in wire.fields(entry.start, entry.stop):
        if field.number == 1 and field.wire == 2:
            key = wire.text(field, MAX_NAME)
        elif field.number == 2 and field.wire == 2:
            for value in wire.fields(field.start, field.stop):
                if value.wire != 2:
                    continue
                if value.number == _TEXT:
                    text = wire.text(value, MAX_NAME)
                elif value.number == _TENSOR and value.stop - value.start < 1 << 16:
                    text = _wire_tensor(wire, value)
                elif value.number == _FUNCTION:
                    calls += _function_names(wire, value)
                elif value.number == _NESTED_LIST:
                    inner = [f for f in wire.fields(value.start, value.stop) if f.wire == 2]
                    calls += [name for f in inner if f.number == _FUNCTIONS for name in _function_names(wire, f)]
                    text = next((wire.text(f, MAX_NAME) for f in inner if f.number == _TEXT), text)
    return "" if key.startswith("_") else text


def _wire_tensor(wire: Wire, tensor: Field) -> str:
    """TensorProto: string_val 8."""
    return next(
        (wire.text(f, MAX_NAME) for f in wire.fields(tensor.start, tensor.stop) if f.number == 8 and f.wire == 2), ""
    )


def _function_names(wire: Wire, function: Field) -> list[str]:
    return [wire.text(f, MAX_NAME) for f in wire.fields(function.start, function.stop) if f.number == 1 and f.wire == 2]


def text_model(tree: Tree) -> Model | None:
    """The graphs of a GraphDef, MetaGraphDef or SavedModel in text form; None if the fields are of something else."""
    metas = _inner(tree, "meta_graphs") or [tree]
    graphs = [graph for meta in metas for graph in _inner(meta, "graph_def")] or [tree]
    if not any(_inner(graph, "node") or _inner(graph, "library") for graph in graphs):
        return None
    found = [made for graph in graphs for made in _text_graphs(graph)]
    savers = [saver for meta in metas for saver in _inner(meta, "saver_def")]
    files = [asset for meta in metas for asset in _inner(meta, "asset_file_def")]
    fed = {_word(saver, "filename_tensor_name") for saver in savers}
    fed |= {_word(info, "name") for file in files for info in _inner(file, "tensor_info")}
    return Model(found, frozenset(node_of(name) for name in fed), tuple(_word(file, "filename") for file in files))


def _text_graphs(graph: Tree) -> Iterator[Graph]:
    for library in _inner(graph, "library"):
        for function in _inner(library, "function"):
            signature = [part for inner in _inner(function, "signature") for part in inner]
            arguments = tuple(_word(argument, "name") for argument in _inner(signature, "input_arg"))
            nodes = {node.name: node for node in map(_text_node, _inner(function, "node_def"))}
            yield Graph(_word(signature, "name"), arguments, nodes)
    yield Graph("", (), {node.name: node for node in map(_text_node, _inner(graph, "node"))})


def _text_node(tree: Tree) -> Node:
    inputs = tuple(_said(value) for key, value in tree if key == "input" and isinstance(value, bytes))
    calls, text = [], ""
    for value in (value for attribute in _inner(tree, "attr") for value in _inner(attribute, "value")):
        functions = _inner(value, "func") + [f for inner in _inner(value, "list") for f in _inner(inner, "func")]
        calls += [_word(function, "name") for function in functions]
        tensors = [_word(tensor, "string_val") for tensor in _inner(value, "tensor")]
        text = next(filter(None, [_word(value, "s"), *tensors]), text)
    return Node(_word(tree, "name"), _word(tree, "op"), inputs, tuple(calls), text, None)


def _inner(tree: Tree, name: str) -> list[Any]:  # Any: trees, which are recursive
    return [value for key, value in tree if key == name and isinstance(value, list)]


def _word(tree: Tree, name: str) -> str:
    return next((_said(value) for key, value in tree if key == name and isinstance(value, bytes | str)), "")


def _said(value: bytes | str) -> str:
    return (value.decode("utf-8", "backslashreplace") if isinstance(value, bytes) else value)[:MAX_NAME]


def node_of(reference: str) -> str:
    """The node that an input refers to, without the mark of a control input and the number of the output."""
    return reference.lstrip("^").partition(":")[0]
