"""What names in a module stand for: imports, aliases, attribute chains, and results of calls that matter later.

    import torch as t; load = t.load           load      -> torch.load
    p = __import__("pickle")                    p.loads   -> pickle.loads
    with tarfile.open(x) as tar                 tar.extractall -> tarfile.open().extractall

Bindings of the whole file are merged, whatever their order and scope, so a name may stand for several things; each is judged.
A parameter or another assignment hides nothing that an import binds: better one question too many than an alias overlooked.
"""

from __future__ import annotations

import ast
import builtins
from collections.abc import Callable, Iterable, Iterator

MAX_MEANINGS = 8
MAX_DEPTH = 40
_UNKNOWN = ast.Name(id="", ctx=ast.Load())
_BUILTINS = frozenset(dir(builtins))
_SAME = (
    ("tensorflow.python.keras.", "keras."), ("tensorflow.keras.", "keras."), ("tf_keras.", "keras."), ("keras.api.", "keras."),
    ("torch.serialization.load", "torch.load"), ("cPickle.", "pickle."), ("_pickle.", "pickle."), ("pickle5.", "pickle."), ("six.moves.cPickle.", "pickle."),
    ("joblib.numpy_pickle.", "joblib."), ("sklearn.externals.joblib.", "joblib."), ("builtins.", ""), ("__builtins__.", ""), ("posix.", "os."),
    ("numpy.lib.npyio.", "numpy."), ("numpy.lib._npyio_impl.", "numpy."),
    ("dill._dill.", "dill."), ("cloudpickle.cloudpickle.", "cloudpickle."), ("pandas.io.pickle.", "pandas."), ("keras.src.", "keras."),
    ("keras.saving.saving_api.", "keras.saving."), ("keras.models.", "keras.saving."),
)  # fmt: skip


class Names:
    """Bindings of one module, or of all cells of a notebook."""

    def __init__(self, nodes: Iterable[ast.AST]) -> None:
        self._bound: dict[str, set[str]] = {}
        self._stars: list[str] = []
        self._hidden: set[str] = set()
        self._constants: dict[str, list[ast.expr]] = {}
        self._items: dict[str, list[tuple[ast.expr, ast.expr]]] = {}
        self._grown: set[str] = set()
        nodes = list(nodes)
        for node in nodes:
            self._take_import(node)
            self._take_item(node)
        for _ in range(3):  # an alias of an alias of an alias is as far as people go
            for node in nodes:
                self._take_assignment(node)

    def meanings(self, node: ast.expr, depth: int = 0) -> frozenset[str]:
        """Dotted names that an expression may stand for; empty where it is a value of the program's own."""
        if depth > MAX_DEPTH:
            return frozenset()
        if isinstance(node, ast.Name):
            return self._of_name(node.id)
        if isinstance(node, ast.Attribute):
            key = f"{node.value.id}.{node.attr}" if isinstance(node.value, ast.Name) else ""
            own = self._bound.get(key, set())
            return frozenset(own) | {_plain(f"{base}.{node.attr}") for base in self.meanings(node.value, depth + 1)}
        if isinstance(node, ast.Call):
            return self._of_call(node, depth)
        if isinstance(node, ast.Subscript) and (key := self.text(node.slice)):
            bases = self.meanings(node.value, depth + 1)
            return frozenset(
                _plain(key)
                for base in bases
                if base in ("globals()", "__builtins__", "vars()") or base.endswith(".__dict__")
            )
        if isinstance(node, ast.IfExp):
            return self.meanings(node.body, depth + 1) | self.meanings(node.orelse, depth + 1)
        if isinstance(node, (ast.Await, ast.NamedExpr)):
            return self.meanings(node.value, depth + 1)
        return frozenset()

    def constant(self, node: ast.expr | None) -> object:
        """The value of a constant expression or of a name that is only ever bound to one; ... where it is none."""
        if isinstance(node, ast.Constant):
            return node.value
        if (
            isinstance(node, ast.Name)
            and len(found := self._constants.get(node.id, [])) == 1
            and isinstance(found[0], ast.Constant)
        ):
            return found[0].value
        if (
            isinstance(node, ast.BinOp)
            and isinstance(node.op, ast.Add)
            and isinstance(node.left, ast.Constant)
            and isinstance(node.right, ast.Constant)
        ):
            left, right = node.left.value, node.right.value
            return left + right if isinstance(left, str) and isinstance(right, str) else ...
        return ...

    def text(self, node: ast.expr | None) -> str:
        """A constant text, "" where it is none."""
        value = self.constant(node)
        return value if isinstance(value, str) else ""

    def assigned(self, node: ast.expr) -> list[ast.expr]:
        """What a name is bound to anywhere, the expression itself where it is no name."""
        if isinstance(node, ast.Name):
            return self._constants.get(node.id, [])
        return self._constants.get(_key(node), [node]) if isinstance(node, ast.Attribute) else [node]

    def items(self, node: ast.expr, key: str) -> list[ast.expr]:
        """What is put into a named dictionary under a key after it was made, as in `options["key"] = value`."""
        return [value for place, value in self._items.get(_key(node), ()) if self.text(place) == key]

    def is_grown(self, node: ast.expr) -> bool:
        """Whether a named dictionary gets items that cannot be seen: by `update`, `|=`, or under a key that varies."""
        key = _key(node)
        return key in self._grown or any(not self.text(place) for place, _ in self._items.get(key, ()))

    def is_only(self, node: ast.expr, fits: Callable[[ast.expr], bool]) -> bool:
        """Whether everything that is ever bound to a name fits, `None` aside; False where too much is bound to tell."""
        values = [
            value for value in self.assigned(node) if not (isinstance(value, ast.Constant) and value.value is None)
        ]
        return 0 < len(values) < MAX_MEANINGS and all(fits(value) for value in values)

    def _of_name(self, name: str) -> frozenset[str]:
        if name in self._bound:
            return frozenset(self._bound[name])
        if name in self._hidden:
            return frozenset()
        return frozenset({name, *(_plain(f"{module}.{name}") for module in self._stars)})

    def _of_call(self, node: ast.Call, depth: int) -> frozenset[str]:
        found: set[str] = set()
        for name in self.meanings(node.func, depth + 1):
            if name in ("__import__", "importlib.import_module", "importlib.__import__") and node.args:
                found |= {_plain(self.text(node.args[0]))} - {""}
            elif name == "getattr" and len(node.args) >= 2 and (attribute := self.text(node.args[1])):
                found |= {_plain(f"{base}.{attribute}") for base in self.meanings(node.args[0], depth + 1)}
            elif name in ("functools.partial", "partial") and node.args:
                found |= self.meanings(node.args[0], depth + 1)
            else:
                found.add(f"{name}()")
        return frozenset(found)

    def _take_import(self, node: ast.AST) -> None:
        if isinstance(node, ast.Import):
            for alias in node.names:
                self._bind(
                    alias.asname or alias.name.partition(".")[0],
                    alias.name if alias.asname else alias.name.partition(".")[0],
                )
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            for alias in node.names:
                if alias.name == "*":
                    self._stars.append(node.module or "")
                else:
                    self._bind(alias.asname or alias.name, _plain(f"{node.module}.{alias.name}"))
        elif isinstance(node, ast.ImportFrom):
            self._hidden |= {alias.asname or alias.name for alias in node.names}

    def _take_item(self, node: ast.AST) -> None:
        if isinstance(node, ast.Assign):
            for target in node.targets:
                if isinstance(target, ast.Subscript) and (key := _key(target.value)):
                    self._items.setdefault(key, []).append((target.slice, node.value))
        elif isinstance(node, ast.AugAssign) and isinstance(node.op, ast.BitOr):
            self._grown.add(_key(node.target))
        elif (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and node.func.attr in ("update", "setdefault")
        ):
            self._grown.add(_key(node.func.value))

    def _take_assignment(self, node: ast.AST) -> None:
        for target, value in _assignments(node):
            key = _key(target)
            if not key:
                continue
            if value is None:
                self._hidden.add(key)
                known = self._constants.setdefault(key, [])
                known += [_UNKNOWN] if _UNKNOWN not in known else []
                continue
            known = self._constants.setdefault(key, [])
            if len(known) < MAX_MEANINGS and value not in known:
                known.append(value)
            is_unknown = isinstance(value, ast.Name) and value.id not in self._bound and value.id not in _BUILTINS
            for meaning in () if is_unknown else self.meanings(value):
                self._bind(key, meaning)
            if key not in self._bound:
                self._hidden.add(key)

    def _bind(self, name: str, meaning: str) -> None:
        meanings = self._bound.setdefault(name, set())
        if len(meanings) < MAX_MEANINGS and meaning.count(".") < MAX_DEPTH and len(meaning) < 300:
            meanings.add(meaning)


def _assignments(node: ast.AST) -> Iterator[tuple[ast.expr, ast.expr | None]]:
    """Targets with what is bound to them; None for a value nobody knows, such as a parameter."""
    if isinstance(node, ast.Assign):
        for target in node.targets:
            yield from _paired(target, node.value)
    elif isinstance(node, (ast.AnnAssign, ast.NamedExpr)) and node.value is not None:
        yield node.target, node.value
    elif isinstance(node, ast.withitem) and node.optional_vars is not None:
        yield from _paired(node.optional_vars, node.context_expr)
    elif isinstance(node, ast.arg):
        yield ast.Name(id=node.arg, ctx=ast.Store()), None
    elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        yield ast.Name(id=node.name, ctx=ast.Store()), None
    elif isinstance(node, (ast.For, ast.AsyncFor, ast.comprehension, ast.AugAssign)):
        yield from ((target, None) for target in _parts(node.target))


def _paired(target: ast.expr, value: ast.expr) -> Iterator[tuple[ast.expr, ast.expr | None]]:
    """`a, b = 1, 2` part by part; what comes out of a call or a star is a value nobody knows."""
    if not isinstance(target, (ast.Tuple, ast.List)):
        yield target, value
    elif isinstance(value, (ast.Tuple, ast.List)) and not any(
        isinstance(part, ast.Starred) for part in (*target.elts, *value.elts)
    ):
        for one, other in zip(target.elts, value.elts, strict=False):
            yield from ((part, other if part is one else None) for part in _parts(one))
    else:
        yield from ((part, None) for part in _parts(target))


def _parts(target: ast.expr) -> Iterator[ast.expr]:
    waiting = [target]
    while waiting:
        part = waiting.pop()
        if isinstance(part, (ast.Tuple, ast.List)):
            waiting += part.elts
        else:
            yield part.value if isinstance(part, ast.Starred) else part


def _key(target: ast.expr) -> str:
    if isinstance(target, ast.Name):
        return target.id
    if isinstance(target, ast.Attribute) and isinstance(target.value, ast.Name):
        return f"{target.value.id}.{target.attr}"
    return ""


def _plain(name: str) -> str:
    """One spelling for modules that are known under several."""
    for old, new in _SAME:
        if name.startswith(old):
            return _plain(new + name[len(old) :]) if new else name[len(old) :]
        if f"{name}." == old and new:
            return new.rstrip(".")
    return name
