"""Decision trees inside of pickles, checked at the moment a loader would build their compiled state.

scikit-learn walks the node arrays of `Tree` and `TreePredictor` with indices that it does not check, so a forged pickle of
listed names alone makes it read foreign memory or run for ever. The machine calls `check_state` behind every BUILD; the arrays
are found where numpy or joblib put their bytes. What cannot be found is told as unchecked, which is not clean either.
Source: scikit-learn 1.9, `sklearn/tree/_tree.pyx` (`Tree.__setstate__`), `sklearn/ensemble/_hist_gradient_boosting/_predictor.pyx`.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import NamedTuple

from assay.formats.pickle_machine import Machine
from assay.formats.pickle_values import Blob, Box, Made, Name, Value

TREE = frozenset({("sklearn.tree._tree", "Tree"), ("sklearn.tree.tree", "Tree")})
PREDICTOR = frozenset({("sklearn.ensemble._hist_gradient_boosting.predictor", "TreePredictor")})
ENSEMBLES = ("sklearn.ensemble._forest", "sklearn.ensemble._gb", "sklearn.ensemble._iforest", "sklearn.ensemble.forest",
             "sklearn.ensemble.gradient_boosting", "sklearn.ensemble.iforest")  # fmt: skip
_ARRAYS = frozenset({"numpy.core.multiarray", "numpy._core.multiarray"})
_BUFFERS = frozenset({"numpy.core.numeric", "numpy._core.numeric"})
LEAF = -1
MAX_TREE_NODES = 20_000_000


class Column(NamedTuple):
    """Where a field lies in an item, and how it is coded (`i8`, `u4`, ...)."""

    code: str
    offset: int


class Array(NamedTuple):
    """A plain array: its shape, its named columns ("" for a plain type), the bytes of an item, and its bytes."""

    shape: tuple[int, ...]
    columns: dict[str, Column]
    item_bytes: int
    body: bytes

    def column(self, name: str, code: str) -> Iterator[int]:
        """The integers of one column.

        Raises:
            ValueError: there is none of that name and code, or the bytes do not fit the shape.
        """
        found = self.columns.get(name)
        if (
            found is None
            or found.code != code
            or len(self.shape) != 1
            or self.shape[0] * self.item_bytes != len(self.body)
        ):
            raise ValueError(f"no column {name} of type {code}")
        letter = {"i8": "q", "u4": "I", "u1": "B"}[code]
        width = struct.calcsize(letter)
        after = self.item_bytes - found.offset - width
        if found.offset < 0 or after < 0:
            raise ValueError(f"the column {name} leaves its item")
        layout = struct.Struct(f"<{found.offset}x{letter}{after}x")
        return (number for (number,) in layout.iter_unpack(self.body))


def check_state(machine: Machine) -> None:
    """Looks at the value that was just given its state; tells `forged` or `unchecked`."""
    made = machine.peek()
    if type(made) is not Made or type(made.state) is not Box:
        return
    name, state = _class_of(made), made.state.kept
    try:
        if name in TREE:
            _check_tree(machine, made, state)
        elif name in PREDICTOR:
            _check_predictor(machine, state)
        elif type(state.get("tree_")) is Made and _class_of(state["tree_"]) in TREE:
            _check_width(state, state["tree_"])
        elif name[0].startswith(ENSEMBLES) and "estimators_" in state:
            _check_members(state)
    except _Forged as error:
        machine.strange("forged", str(error))
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, struct.error) as error:
        machine.strange("unchecked", f"a decision tree is not as the library writes it: {error}"[:200])


class _Forged(Exception):
    """A tree that its library would walk out of."""


def _check_tree(machine: Machine, made: Made, state: dict[str, Value]) -> None:
    """Constructor: features, classes of each output, outputs; state: node_count, nodes, values."""
    features, classes, outputs = made.args
    count, nodes, values = state["node_count"], _array(machine, state["nodes"]), _array(machine, state["values"])
    counts = list(_array(machine, classes).column("", "i8"))
    if not (type(features) is type(outputs) is type(count) is int and 0 < count <= MAX_TREE_NODES):
        raise ValueError("its counts are no numbers")
    if nodes.shape != (count,) or len(counts) != outputs or values.shape != (count, outputs, max(counts, default=0)):
        raise _Forged("a decision tree has arrays of another size than it says")
    if values.columns.get("") != Column("f8", 0) or len(values.body) != 8 * count * outputs * max(counts):
        raise ValueError("its values are no plain numbers")
    rows = zip(
        nodes.column("left_child", "i8"), nodes.column("right_child", "i8"), nodes.column("feature", "i8"), strict=True
    )
    for at, (left, right, feature) in enumerate(rows):
        if left != LEAF and not (at < left < count and at < right < count and 0 <= feature < features):
            raise _Forged(f"a decision tree points outside itself at node {at} of {count}")


def _check_predictor(machine: Machine, state: dict[str, Value]) -> None:
    """Nodes with left, right, feature_idx, is_leaf, is_categorical, bitset_idx; bitsets of 8 numbers each."""
    nodes = _array(machine, state["nodes"])
    bitsets = _array(machine, state["raw_left_cat_bitsets"])
    count = nodes.shape[0] if nodes.shape else 0
    feature_code = (
        "u4" if nodes.columns.get("feature_idx", Column("i8", 0)).code == "u4" else "i8"
    )  # u4 before scikit-learn 1.3
    columns = [nodes.column(name, code) for name, code in (("left", "u4"), ("right", "u4"), ("feature_idx", feature_code), ("is_leaf", "u1"),
               ("is_categorical", "u1"), ("bitset_idx", "u4"))]  # fmt: skip
    for at, (left, right, feature, is_leaf, is_set, bitset) in enumerate(zip(*columns, strict=True)):
        if is_leaf:
            continue
        if not (at < left < count and at < right < count and 0 <= feature < 1 << 31) or (
            is_set and bitset >= bitsets.shape[0]
        ):
            raise _Forged(f"a boosted tree points outside itself at node {at} of {count}")


def _check_width(state: dict[str, Value], tree: Made) -> None:
    """The estimator checks rows against its own number of features, so its tree may expect no other."""
    if "n_features_in_" in state and state["n_features_in_"] != tree.args[0]:
        raise _Forged("a decision tree expects another number of features than its estimator")
    if "n_features_in_" not in state and "n_features_" not in state:
        raise ValueError("its estimator has no number of features")


def _check_members(state: dict[str, Value]) -> None:
    """A forest hands rows to its trees without a further check."""
    held, width = state["estimators_"], state.get("n_features_in_", state.get("n_features_"))
    if type(held) is Made and held.inner is not None:
        held = held.inner
    if type(held) is Made and type(held.state) is tuple and len(held.state) == 5:
        held = held.state[4]
    if type(held) is not Box or len(held.made) != held.count:
        raise ValueError("the members of a forest cannot be found")
    for member in held.made:
        tree = member.state.kept.get("tree_") if type(member.state) is Box else None
        if type(tree) is not Made or tree.args[0] != width:
            raise _Forged("a decision tree expects another number of features than its forest")


def _class_of(made: Made) -> tuple[str, str]:
    """The class of what a call made: the callee itself, or the class that a reconstructor was given."""
    callee = made.callee
    if (
        type(callee) is Name
        and (callee.module, callee.name) in _RECONSTRUCTORS
        and type(made.args) is tuple
        and made.args
    ):
        callee = made.args[0]
    return (callee.module or "", callee.name or "") if type(callee) is Name else ("", "")


_RECONSTRUCTORS = frozenset({("copyreg", "_reconstructor"), ("copy_reg", "_reconstructor"), ("copyreg", "__newobj__")})


def _array(machine: Machine, value: Value) -> Array:
    """An array of numpy or joblib with its bytes.

    Raises:
        ValueError: it is not one whose bytes can be found.
    """
    if type(value) is not Made or type(value.callee) is not Name:
        raise ValueError("an array is no array")
    module, name, state = value.callee.module, value.callee.name, value.state
    if module in _ARRAYS and name == "_reconstruct" and type(state) is tuple and len(state) == 5:
        _, shape, kind, is_fortran, body = state
        return _made(shape, kind, bool(is_fortran), _bytes(machine, body))
    if module in _BUFFERS and name == "_frombuffer" and type(value.args) is tuple and len(value.args) == 4:
        body, kind, shape, order = value.args
        return _made(shape, kind, order != "C", _bytes(machine, body))
    if value.raw is not None and type(state) is Box:
        start, end = value.raw
        return _made(
            state.kept["shape"], state.kept["dtype"], state.kept.get("order") != "C", bytes(machine.data[start:end])
        )
    raise ValueError(f"an array is made by {module}.{name}"[:120])


def _made(shape: Value, kind: Value, is_fortran: bool, body: bytes) -> Array:
    if type(shape) is not tuple or not all(type(n) is int and n >= 0 for n in shape) or (is_fortran and len(shape) > 1):
        raise ValueError("an array has no plain shape")
    columns, size = _columns(kind)
    return Array(shape, columns, size, body)


def _columns(kind: Value) -> tuple[dict[str, Column], int]:
    """The columns of a `numpy.dtype` and the bytes of an item. State: version, order, subtype, names, fields, size."""
    code, state = kind.args[0], kind.state
    if code[:1] != "V":
        if state is not None and state[1] == ">":
            raise ValueError("an array is in the other byte order")
        return {"": Column(code, 0)}, int(code[1:])
    fields = state[4].kept
    columns = {
        name: Column(part[0].args[0] if part[0].state is None or part[0].state[1] != ">" else "", part[1])
        for name, part in fields.items()
    }
    return columns, int(code[1:])


def _bytes(machine: Machine, value: Value) -> bytes:
    """Bytes in place, or as protocol 2 writes them: text that is encoded while loading."""
    if type(value) is Blob and value.kind in ("b", "a"):
        return bytes(machine.data[value.at : value.at + value.size])
    callee = value.callee if type(value) is Made else None
    called = (callee.module, callee.name) if type(callee) is Name else None
    if called in (("builtins", "bytes"), ("__builtin__", "bytes")) and value.args == ():
        return b""
    if called == ("_codecs", "encode"):
        text = value.args[0]
        if type(text) is Blob:
            text = bytes(machine.data[text.at : text.at + text.size]).decode("utf-8", "surrogatepass")
        return str(text).encode("latin-1")
    raise ValueError("the bytes of an array cannot be found")
