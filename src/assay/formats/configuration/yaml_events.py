"""YAML as cluster manifests use it, from parser events: several documents, anchors, merge keys, tags; bounded, nothing built.

An alias costs as much as what it repeats, so a bomb of aliases runs into the bound of nodes. Of duplicate keys the last counts, as for
Kubernetes. Tags are kept aside: `Document.tags` tells which were there, since `!!python/…` runs code in an unsafe loader.
Source: YAML 1.2.2 (2021), sections 3.2.2 and 7.1; "billion laughs", CVE-2019-11253.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from assay.core.errors import MalformedInput
from assay.formats.configuration.nodes import Node

MAX_BYTES = 8 << 20
MAX_NODES = 200_000
MAX_DEPTH = 64


@dataclass(frozen=True)
class Documents:
    """All documents of a stream, and the tags that stood in it with their lines."""

    values: tuple[Node, ...]
    tags: tuple[tuple[str, int], ...]


def read_yaml(text: str) -> Documents:
    """Reads a stream of documents.

    Raises:
        MalformedInput: no YAML, or beyond the bounds of size, depth, nodes or aliases.
    """
    import yaml  # scanned only when such a file appears

    if len(text) > MAX_BYTES:
        raise MalformedInput("YAML is too large", f"{len(text)} characters, at most {MAX_BYTES} are read")
    loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        return _Builder().read(yaml.parse(text, Loader=loader))
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        place = f"line {mark.line + 1}: " if mark else ""
        raise MalformedInput("file is no YAML", f"{place}{getattr(error, 'problem', None) or error}"[:200]) from error


@dataclass
class _Open:
    """A mapping or list that has not ended."""

    line: int
    kind: str
    anchor: str | None
    key: str | None = None
    fields: dict[str, Node] = field(default_factory=dict)
    items: list[Node] = field(default_factory=list)
    size: int = 1


class _Builder:
    """Puts nodes together; one use."""

    def __init__(self) -> None:
        self._open: list[_Open] = []
        self._anchors: dict[str, tuple[Node, int]] = {}
        self._values: list[Node] = []
        self._tags: list[tuple[str, int]] = []
        self._nodes = 0

    def read(self, events: Iterator[Any]) -> Documents:
        import yaml

        for event in events:
            line = event.start_mark.line + 1
            if tag := getattr(event, "tag", None):
                self._tags.append((str(tag), line))
            if isinstance(event, yaml.ScalarEvent):
                self._place(Node(line, event.value), 1, event.anchor)
            elif isinstance(event, yaml.AliasEvent):
                node, size = self._anchors.get(event.anchor or "", (Node(line), 1))
                self._place(node, size, None)
            elif isinstance(event, (yaml.MappingStartEvent, yaml.SequenceStartEvent)):
                kind = "mapping" if isinstance(event, yaml.MappingStartEvent) else "list"
                self._open.append(_Open(line, kind, event.anchor))
                if len(self._open) > MAX_DEPTH:
                    raise MalformedInput("YAML is too deep", f"more than {MAX_DEPTH} levels at line {line}")
            elif isinstance(event, (yaml.MappingEndEvent, yaml.SequenceEndEvent)):
                ended = self._open.pop()
                self._place(
                    Node(ended.line, "", ended.fields, tuple(ended.items), ended.kind),
                    ended.size,
                    ended.anchor,
                    counted=True,
                )
            elif isinstance(event, yaml.DocumentStartEvent):
                self._anchors.clear()
        return Documents(tuple(self._values), tuple(self._tags))

    def _place(self, node: Node, size: int, anchor: str | None, *, counted: bool = False) -> None:
        self._nodes += 1 if counted else size
        if self._nodes > MAX_NODES:
            raise MalformedInput(
                "YAML is too large", f"more than {MAX_NODES} nodes, aliases counted as what they repeat"
            )
        if anchor is not None:
            self._anchors[anchor] = (node, size)
        if not self._open:
            self._values.append(node)
            return
        into = self._open[-1]
        into.size += size
        if into.kind == "list":
            into.items.append(node)
        elif into.key is None:
            into.key = node.text if node.kind == "scalar" else f"? {node.line}"
        else:
            self._set(into, into.key, node)
            into.key = None

    def _set(self, into: _Open, key: str, node: Node) -> None:
        if key == "<<":
            for merged in (node, *node.items):
                for name, value in merged.fields.items():
                    into.fields.setdefault(name, value)
        else:
            into.fields[key] = node
