"""Skops archives read without skops: every class, function and node that loading the file would touch.

A skops file is a zip with `schema.json`, a tree of nodes `{"__loader__", "__module__", "__class__", ...}`, and arrays beside
it. Which names are harmless depends on the role, so `skops_types.json` lists names by loader; it is made by
`python tools/make_skops_types.py` from what skops trusts, plus a few reviewed names. Beyond names:
- one `__id__` must always mean the same node, because skops keeps the first and ignores the others;
- decision trees are checked node by node (`tree_nodes`), as is the number of features of the estimators around them;
- bytes that no node names, arrays of objects, and protocols that this reader has not seen are not accepted.
Source: skops 0.16, `skops/io/_audit.py`, `_general.py`, `_numpy.py`, `_sklearn.py` (protocol 2).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from assay.core.canonical import Json, parse
from assay.core.errors import MalformedInput
from assay.formats.npy_file import read_npy_header
from assay.formats.pickle_machine import Data
from assay.formats.tree_nodes import check_tree, json_number, plain_state
from assay.formats.zip_archive import Archive, open_archive

SCHEMA_MEMBER = "schema.json"
PROTOCOL = 2
MAX_SCHEMA_BYTES = 64 << 20
MAX_ARRAY_BYTES = 1 << 30
MAX_NODES = 5_000_000
TYPES_FILE = Path(__file__).with_name("skops_types.json")
_BOOSTED = "sklearn.ensemble._gb."
_TREE_HOLDERS = ("sklearn.ensemble._forest.", "sklearn.ensemble._gb.", "sklearn.ensemble._iforest.")


@dataclass(frozen=True, order=True)
class NamedType:
    """A name in a role: which loader of skops would use it, and what it would import."""

    loader: str
    qualified: str


@dataclass(frozen=True)
class SkopsFacts:
    """All names of a file, sorted, and `problems`: anything that keeps its reader from vouching for the rest."""

    types: tuple[NamedType, ...]
    problems: tuple[str, ...]

    @property
    def unlisted(self) -> tuple[NamedType, ...]:
        """Names that the list does not allow in their role."""
        allowed = allowed_types()
        return tuple(found for found in self.types if found.qualified not in allowed.get(found.loader, ()))

    @property
    def is_clean(self) -> bool:
        """Whether everything that loading would touch is listed and understood."""
        return not self.unlisted and not self.problems

    @property
    def reviewed(self) -> tuple[str, ...]:
        """Names that our review cleared although skops asks for them; what a loader may pass as `trusted`."""
        listed = _type_lists()["reviewed"]
        return tuple(sorted({f.qualified for f in self.types if f.qualified in listed.get(f.loader, {})}))


@cache
def allowed_types() -> Mapping[str, frozenset[str]]:
    """Allowed names by loader: what skops trusts by itself, and what was reviewed."""
    lists = _type_lists()
    loaders = {*lists["trusted_by_skops"], *lists["reviewed"]}
    return {
        name: frozenset(lists["trusted_by_skops"].get(name, ())) | frozenset(lists["reviewed"].get(name, ()))
        for name in loaders
    }


def skops_facts(data: Data) -> SkopsFacts:
    """Reads a skops file.

    Raises:
        MalformedInput: no zip whose headers agree, or no schema in strict JSON.
    """
    archive = open_archive(data)
    schema = parse(
        archive.read(SCHEMA_MEMBER, MAX_SCHEMA_BYTES), what="skops schema", max_bytes=MAX_SCHEMA_BYTES, max_depth=128
    )
    if not isinstance(schema, dict) or "__loader__" not in schema:
        raise MalformedInput("skops schema is malformed", "it is no node")
    walk = _Walk()
    if schema.get("protocol") != PROTOCOL or isinstance(schema.get("protocol"), bool):
        walk.problems.append(f"it uses protocol {str(schema.get('protocol'))[:20]}, of which this reader knows nothing")
    for node, holders in _nodes(schema):
        walk.visit(node, holders)
    walk.check_files(archive)
    return SkopsFacts(tuple(sorted(walk.types)), tuple(walk.problems[:20]))


@dataclass
class _Walk:
    """What a walk over the nodes has gathered."""

    types: set[NamedType] = field(default_factory=set)
    problems: list[str] = field(default_factory=list)
    files: dict[str, str] = field(default_factory=dict)
    trees: list[Mapping[str, Json]] = field(default_factory=list)
    seen: dict[int, Json] = field(default_factory=dict)
    count: int = 0

    def visit(self, node: Mapping[str, Json], holders: tuple[Mapping[str, Json], ...]) -> None:
        """Records one node; `holders` are the two nearest objects around it, the innermost last."""
        self.count += 1
        if self.count > MAX_NODES:
            raise MalformedInput("skops schema has too many nodes", f"at most {MAX_NODES}")
        loader = node["__loader__"]
        self.types.add(NamedType(str(loader), f"{node.get('__module__')}.{node.get('__class__')}"))
        self._check_identity(node)
        if "file" in node:
            self.files[str(node["file"])] = str(loader)
        if loader == "TreeNode":
            self._check_width(node, holders)
            self.trees.append(node)

    def check_files(self, archive: Archive) -> None:
        """Arrays must be plain, trees sound, and every member named by a node."""
        stray = sorted(set(archive.members) - set(self.files) - {SCHEMA_MEMBER})
        self.problems += [f"no node names the member {name[:80]!r}" for name in stray[:5]]
        for name, loader in self.files.items():
            if loader == "NdArrayNode":
                self._check_array(archive, name)
        try:
            for tree in self.trees:
                check_tree(tree, lambda name: archive.read(name, MAX_ARRAY_BYTES))
        except MalformedInput as error:
            self.problems.append(f"{error.what}: {error.why}")

    def _check_array(self, archive: Archive, name: str) -> None:
        try:
            data = archive.read(name, MAX_ARRAY_BYTES)
            header = read_npy_header(data)
            if header.has_objects or header.start + header.data_bytes != len(data):
                self.problems.append(f"the array {name[:80]!r} holds objects or other bytes than its own")
        except MalformedInput as error:
            self.problems.append(f"{name[:80]!r}: {error.what}")

    def _check_identity(self, node: Mapping[str, Json]) -> None:
        identity = node.get("__id__")
        if identity is None:
            return
        if type(identity) is not int:
            self.problems.append("an object id is no number")
        elif not _same(self.seen.setdefault(identity, node), node):
            self.problems.append("two different objects have the same id, so one would take the place of the other")

    def _check_width(self, tree: Mapping[str, Json], holders: tuple[Mapping[str, Json], ...]) -> None:
        """The estimators that hand rows to a tree without a check of their own must expect as many features."""
        try:
            width = json_number(tree["__reduce__"]["args"]["content"][0])
            outer, inner = ({}, *holders)[-2:]
            near = [inner] + ([outer] if _qualified(outer).startswith(_TREE_HOLDERS) else [])
            states = [plain_state(holder["content"]) for holder in near]
            if any(json_number(state["n_features_in_"]) != width for state in states):
                self.problems.append("a decision tree expects another number of features than its estimator")
            if _qualified(outer).startswith(_BOOSTED) and not _is_rectangle(states[-1]):
                self.problems.append("a boosted model has more trees in a stage than scores")
        except (KeyError, TypeError, ValueError, IndexError):
            self.problems.append("a decision tree stands outside an estimator that checks its features")


def _nodes(schema: Json) -> Iterator[tuple[Mapping[str, Json], tuple[Mapping[str, Json], ...]]]:
    """Every object with a textual `__loader__`, wherever it stands, with the two nearest `ObjectNode`s around it."""
    waiting: list[tuple[Json, tuple[Mapping[str, Json], ...]]] = [(schema, ())]
    while waiting:
        value, holders = waiting.pop()
        if isinstance(value, dict):
            if isinstance(value.get("__loader__"), str):
                yield value, holders
                holders = (*holders[-1:], value) if value["__loader__"] == "ObjectNode" else holders
            waiting += [(item, holders) for item in value.values()]
        elif isinstance(value, list):
            waiting += [(item, holders) for item in value]


def _same(first: Json, second: Json) -> bool:
    """Whether two nodes of one id are one object written twice.

    Inner ids may differ, because states are often made anew for each writing; for the same reason dtypes and random states
    need only the same name. Equal in this sense all the way down, it does not matter which of the two skops keeps.
    """
    if isinstance(first, dict) and isinstance(second, dict) and first.keys() == second.keys():
        if first.get("__loader__") in ("DTypeNode", "RandomStateNode"):
            return first["__loader__"] == second["__loader__"] and _qualified(first) == _qualified(second)
        return all(key == "__id__" or _same(value, second[key]) for key, value in first.items())
    if isinstance(first, list) and isinstance(second, list):
        return len(first) == len(second) and all(map(_same, first, second))
    return type(first) is type(second) and bool(first == second)


def _is_rectangle(state: Mapping[str, Json]) -> bool:
    """Whether every stage of a boosted model has one tree for each score; the library writes scores without looking."""
    trees, width = state["estimators_"], json_number(state["n_trees_per_iteration_"])
    stages = trees["content"]
    if trees["__loader__"] != "NdArrayNode" or trees["type"] != "json" or not stages:
        return False
    return all(stage["__loader__"] == "ListNode" and len(stage["content"]) == width for stage in stages)


def _qualified(node: Mapping[str, Json]) -> str:
    return f"{node.get('__module__')}.{node.get('__class__')}"


@cache
def _type_lists() -> Json:
    return json.loads(TYPES_FILE.read_text("utf-8"))
