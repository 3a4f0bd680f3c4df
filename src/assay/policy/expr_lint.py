"""What an expression reads and compares, and every reason to refuse it before it is ever evaluated.

CEL absorbs errors (`missing || true` is true), compares values of different types (`1 != "a"` is true) and calls `all`
over nothing true. So a rule may only use what can be checked: paths that the evidence's schema knows, literals of the type
that they meet, comparisons of scalars, and lists whose emptiness was thought of. What the schema leaves open is checked
when the rule runs (`Meeting`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from assay.core.errors import MalformedInput, PolicyError
from assay.core.times import duration, instant
from assay.formats.yaml_nodes import nearest
from assay.policy.checked_expr import Call, Const, ListOf, Name, Node, Quantifier, Select
from assay.policy.expr_fields import Schema

Path = tuple[str, ...]
MAX_QUANTIFIERS, MAX_LIST_ITEMS = 2, 64
_LOGIC, _EQUAL = ("_&&_", "_||_"), ("_==_", "_!=_")
_ORDER, _ARITHMETIC = ("_<_", "_<=_", "_>_", "_>=_"), ("_-_", "_*_", "_/_")
_ALLOWED = "has, all, exists, in, size, startsWith, endsWith, contains, timestamp, duration and - * / are known"
_STRINGS = ("startsWith", "endsWith", "contains")
_FUNCTIONS = {*_LOGIC, *_EQUAL, *_ORDER, *_ARITHMETIC, *_STRINGS, "!_", "-_", "_?_:_", "_[_]", "@in", "size", "timestamp",
              "duration"}  # fmt: skip
_KINDS: Final[Mapping[str, str]] = {"string": "string", "integer": "number", "number": "number", "boolean": "bool",
                                    "array": "list", "object": "map"}  # fmt: skip
_CONSTANTS: Final[Mapping[str, str]] = {"bool": "bool", "int": "number", "double": "number", "string": "string"}
SCALARS = ("string", "number", "bool", "timestamp", "duration")


@dataclass(frozen=True)
class Meeting:
    """A path and what its value must be when the rule runs: string, number, bool, list, divisor, timestamp, duration."""

    path: Path
    kind: str


@dataclass
class Reading:
    """What was found while walking an expression, in the order in which it reads."""

    reads: list[Path] = field(default_factory=list)
    guarded: set[Path] = field(default_factory=set)
    meetings: list[Meeting] = field(default_factory=list)
    vacuous: list[Path] = field(default_factory=list)


def read_expression(tree: Node, schemas: Mapping[str, Schema]) -> Reading:
    """Walks an expression whose variables are those of `schemas`.

    Raises:
        PolicyError: names the construct, field or literal that is refused.
    """
    walker = _Walker(schemas)
    if (kind := walker.kind_of(tree, {}, 1, 0)) not in ("bool", "any"):
        raise PolicyError("the expression is not true or false", f"it is a {kind}")
    if not walker.found.reads and not walker.found.guarded:
        raise PolicyError("the expression reads no evidence", "it would say the same of every asset")
    return walker.found


def path_text(path: Path) -> str:
    """`deps.findings.*.cvss`, as messages and traces write it."""
    return ".".join(path)


class _Walker:
    """One walk. `names` maps the variables of quantifiers to paths; `sign` is 1, -1 under negation, 0 if unknown."""

    def __init__(self, schemas: Mapping[str, Schema]) -> None:
        self.schemas = schemas
        self.found = Reading()

    def kind_of(self, node: Node, names: Mapping[str, Path], sign: int, depth: int) -> str:
        """The kind of a node's value: one of SCALARS, list, map, or any."""
        if isinstance(node, Const):
            if node.kind not in _CONSTANTS:
                raise PolicyError(f"a {node.kind} literal is refused", "ask with has() whether a field is there")
            return _CONSTANTS[node.kind]
        if isinstance(node, Select) and node.is_test:
            self.found.guarded.add(self.path_of(node, names))
            return "bool"
        if isinstance(node, (Name, Select)) or _is_index(node):
            return self.read(self.path_of(node, names))
        if isinstance(node, ListOf):
            return self.list_literal(node)
        if isinstance(node, Quantifier):
            return self.quantifier(node, names, sign, depth)
        assert isinstance(node, Call)
        return self.call(node, names, sign, depth)

    def path_of(self, node: Node, names: Mapping[str, Path]) -> Path:
        """The path behind names, selections and `map["key"]`."""
        if isinstance(node, Name):
            if node.name not in names and node.name not in self.schemas:
                raise PolicyError(f"{node.name!r} is unknown", nearest(node.name, self.schemas))
            return names.get(node.name, (node.name,))
        if isinstance(node, Select):
            step = node.field
            base = self.path_of(node.operand, names)
        elif _is_index(node):
            assert isinstance(node, Call)
            key = node.args[1]
            if not isinstance(key, Const) or not isinstance(key.value, str):
                raise PolicyError("an index must be a text literal", "use all() or exists() for the items of a list")
            step, base = key.value, self.path_of(node.args[0], names)
        else:
            raise PolicyError("a field is read of something that is no path", "write ALIAS.FIELD")
        path = (*base, step)
        self.schema_at(path)
        return path

    def schema_at(self, path: Path) -> Schema:
        """The schema of a path; {} where the predicate leaves it open."""
        schema = self.schemas[path[0]]
        for i, step in enumerate(path[1:], 1):
            kind = schema.get("type")
            if step == "*":
                if kind not in ("array", None):
                    raise PolicyError(f"{path_text(path[:i])} is no list", f"it is of type {kind}")
                schema = schema.get("items", {})
                continue
            if kind not in ("object", None):
                raise PolicyError(f"{path_text(path[:i])} has no fields", f"it is of type {kind}")
            known = schema.get("properties")
            if known is not None and step not in known and "additionalProperties" not in schema:
                raise PolicyError(f"{path_text(path[: i + 1])} is unknown", nearest(step, known))
            other: Schema = schema.get("additionalProperties", {})
            schema = (known or {}).get(step, other)
        return schema

    def read(self, path: Path) -> str:
        if len(path) < 2:
            raise PolicyError(f"{path_text(path)} is read as a whole", f"write {path[0]}.FIELD")
        if path not in self.found.reads:
            self.found.reads.append(path)
        schema = self.schema_at(path)
        if "enum" in schema and "type" not in schema:
            return "string"
        return _KINDS.get(schema.get("type", ""), "any")

    def list_literal(self, node: ListOf) -> str:
        if len(node.items) > MAX_LIST_ITEMS:
            raise PolicyError(f"a list of {len(node.items)} items", f"at most {MAX_LIST_ITEMS}")
        if not all(isinstance(item, Const) and item.kind in _CONSTANTS for item in node.items):
            raise PolicyError("a list may hold literals only")
        return "list"

    def quantifier(self, node: Quantifier, names: Mapping[str, Path], sign: int, depth: int) -> str:
        if depth >= MAX_QUANTIFIERS:
            raise PolicyError(f"more than {MAX_QUANTIFIERS} quantifiers inside each other", "make it two rules")
        if node.name in self.schemas or node.name in names:
            raise PolicyError(f"{node.name!r} hides a variable of that name", "call the item something else")
        if isinstance(node.over, (ListOf, Const, Quantifier)) or (
            isinstance(node.over, Call) and not _is_index(node.over)
        ):
            raise PolicyError(f"{node.kind}() needs a list of the evidence", "write ALIAS.FIELD before it")
        over = self.path_of(node.over, names)
        if self.read(over) not in ("list", "any"):
            raise PolicyError(f"{path_text(over)} is no list", f"{node.kind}() asks about the items of a list")
        self.meet(over, "list")
        if node.kind == "all" or sign <= 0:
            self.found.vacuous.append(over)
        self.boolean(node.body, {**names, node.name: (*over, "*")}, sign, depth + 1)
        return "bool"

    def boolean(self, node: Node, names: Mapping[str, Path], sign: int, depth: int) -> None:
        kind = self.kind_of(node, names, sign, depth)
        if kind not in ("bool", "any"):
            raise PolicyError(f"a {kind} stands where true or false is expected")
        if kind == "any":
            self.meet_node(node, names, "bool")

    def call(self, node: Call, names: Mapping[str, Path], sign: int, depth: int) -> str:
        name, args = node.function, node.args
        if name not in _FUNCTIONS:
            raise PolicyError(f"{name.strip('_@')!r} is a function that rules may not use", _ALLOWED)
        if name in _LOGIC or name == "!_":
            for arg in args:
                self.boolean(arg, names, -sign if name == "!_" else sign, depth)
            return "bool"
        if name == "_?_:_":
            return self.conditional(args, names, sign, depth)
        if name == "@in":
            return self.membership(args, names, sign, depth)
        if name in _EQUAL or name in _ORDER:
            return self.comparison(node, names, depth)
        if name in _ARITHMETIC or name == "-_":
            return self.arithmetic(node, names, depth)
        return self.function(node, names, depth)

    def conditional(self, args: tuple[Node, ...], names: Mapping[str, Path], sign: int, depth: int) -> str:
        self.boolean(args[0], names, 0, depth)
        for branch in args[1:]:
            self.boolean(branch, names, sign, depth)
        return "bool"

    def membership(self, args: tuple[Node, ...], names: Mapping[str, Path], sign: int, depth: int) -> str:
        item = self.kind_of(args[0], names, 0, depth)
        if isinstance(args[1], ListOf):
            self.list_literal(args[1])
            for const in args[1].items:
                assert isinstance(const, Const)
                self.meets_literal(args[0], item, const, names)
            return "bool"
        over = self.path_of(args[1], names)
        if self.read(over) not in ("list", "any") or item not in SCALARS:
            raise PolicyError("`in` needs a scalar and a list", f"{path_text(over)} is none")
        self.meet(over, "list")
        self.agree(item, _KINDS.get(self.schema_at((*over, "*")).get("type", ""), "any"), "in")
        if sign <= 0:
            self.found.vacuous.append(over)
        return "bool"

    def comparison(self, node: Call, names: Mapping[str, Path], depth: int) -> str:
        kinds = [self.kind_of(arg, names, 0, depth) for arg in node.args]
        if node.function in _ORDER and (bad := next((k for k in kinds if k in ("bool", "list", "map")), None)):
            raise PolicyError(f"a {bad} has no order", "compare numbers, texts or times")
        constants = [isinstance(arg, Const) for arg in node.args]
        if constants[0] != constants[1]:
            at = constants.index(True)
            literal = node.args[at]
            assert isinstance(literal, Const)
            self.meets_literal(node.args[1 - at], kinds[1 - at], literal, names)
        elif "any" in kinds and kinds != ["any", "any"]:
            self.meet_node(node.args[kinds.index("any")], names, kinds[1 - kinds.index("any")])
        else:
            self.agree(kinds[0], kinds[1], node.function.strip("_"))
        return "bool"

    def agree(self, first: str, second: str, what: str) -> None:
        if first not in SCALARS or first != second:
            raise PolicyError(f"`{what}` between a {first} and a {second}", "both must be scalars of one known type")

    def meets_literal(self, node: Node, kind: str, literal: Const, names: Mapping[str, Path]) -> None:
        wanted = _CONSTANTS.get(literal.kind, literal.kind)
        if kind == "any":
            self.meet_node(node, names, wanted)
        elif kind != wanted:
            raise PolicyError(f"a {kind} meets the literal {literal.value!r}", "they can never be equal")
        if isinstance(node, (Name, Select)) or _is_index(node):
            choices = self.schema_at(self.path_of(node, names)).get("enum")
            if choices is not None and literal.value not in choices:
                raise PolicyError(f"{literal.value!r} is never the value here", nearest(str(literal.value), choices))

    def arithmetic(self, node: Call, names: Mapping[str, Path], depth: int) -> str:
        for arg in node.args:
            kind = self.kind_of(arg, names, 0, depth)
            if kind == "any":
                self.meet_node(arg, names, "number")
            elif kind != "number":
                raise PolicyError(f"a {kind} stands in arithmetic", "only numbers can be reckoned with")
        if node.function == "_/_":
            self.divisor(node.args[1], names)
        return "number"

    def divisor(self, node: Node, names: Mapping[str, Path]) -> None:
        """Division by zero is infinity for numbers with a point, and infinity passes limits."""
        if isinstance(node, Const):
            if not node.value:
                raise PolicyError("division by zero")
        elif isinstance(node, (Name, Select)) or _is_index(node):
            self.meet(self.path_of(node, names), "divisor")
        else:
            raise PolicyError("a divisor must be a literal or a path", "multiply the other side instead")

    def function(self, node: Call, names: Mapping[str, Path], depth: int) -> str:
        kinds = [self.kind_of(arg, names, 0, depth) for arg in node.args]
        if node.function == "size":
            if kinds[0] not in ("list", "map", "string"):
                raise PolicyError(f"a {kinds[0]} has no size", "size() takes a text, list or map of the schema")
            return "number"
        for arg, kind in zip(node.args, kinds, strict=True):
            if kind == "any":
                self.meet_node(arg, names, "string")
            elif kind != "string":
                raise PolicyError(f"{node.function}() takes texts, not a {kind}")
        if node.function in _STRINGS:
            return "bool"
        self.time(node, names)
        return node.function

    def time(self, node: Call, names: Mapping[str, Path]) -> None:
        literal = node.args[0]
        if not isinstance(literal, Const):
            self.meet_node(literal, names, node.function)
            return
        try:
            (instant if node.function == "timestamp" else duration)(str(literal.value))
        except MalformedInput as error:
            raise PolicyError(error.what, error.why) from error

    def meet_node(self, node: Node, names: Mapping[str, Path], kind: str) -> None:
        if not (isinstance(node, (Name, Select)) or _is_index(node)):
            raise PolicyError("a value of unknown type is compared", "compare a field of the schema with a literal")
        self.meet(self.path_of(node, names), kind)

    def meet(self, path: Path, kind: str) -> None:
        meeting = Meeting(path, kind)
        if meeting not in self.found.meetings:
            self.found.meetings.append(meeting)


def _is_index(node: Node) -> bool:
    return isinstance(node, Call) and node.function == "_[_]"
