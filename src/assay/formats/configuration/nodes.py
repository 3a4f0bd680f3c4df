"""A value of a configuration file with the line it stands on, whatever the syntax was."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Node:
    """A scalar as text, a mapping or a list; exactly one of `text`, `fields` and `items` counts."""

    line: int
    text: str = ""
    fields: Mapping[str, Node] = field(default_factory=dict)
    items: tuple[Node, ...] = ()
    kind: str = "scalar"

    def get(self, *path: str) -> Node:
        """The value below these keys; an empty scalar where there is none."""
        found = self
        for key in path:
            found = found.fields.get(key, Node(found.line))
        return found

    def says(self, *path: str) -> str:
        """The text below these keys, "" where there is none."""
        return self.get(*path).text

    def is_true(self, *path: str) -> bool:
        return self.says(*path).lower() in ("true", "yes", "on", "1")

    def words(self) -> tuple[Node, ...]:
        """The items of a list, or a scalar cut at spaces."""
        if self.kind == "list":
            return self.items
        return tuple(Node(self.line, word) for word in self.text.split())

    def walk(self) -> Iterator[Node]:
        """This node and all below it, in order."""
        waiting = [self]
        while waiting:
            node = waiting.pop()
            yield node
            waiting += reversed([*node.items, *node.fields.values()])
