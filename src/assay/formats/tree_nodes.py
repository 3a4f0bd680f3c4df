"""Decision trees of scikit-learn as node arrays, checked before a library walks them without looking.

scikit-learn indexes with the child and feature numbers of a file unchecked, so a forged tree reads foreign memory or never
ends. A tree is sound if children come after their parent, every index is in range and every split names a real feature.
Source: scikit-learn 1.9, `sklearn/tree/_tree.pyx` (`Node`, `_apply_dense`); scikit-learn pull request 34558.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Mapping

from assay.core.canonical import Json
from assay.core.errors import MalformedInput
from assay.formats.npy_file import NpyHeader, read_npy_header

LEAF = -1
_NATURAL = re.compile(r"0|[1-9][0-9]{0,8}")
_CODES = {"i8": "q", "f8": "d", "u1": "B", "f4": "f", "i4": "i", "V7": "7s", "V4": "4s", "V6": "6s", "V8": "8s"}


def check_tree(node: Mapping[str, Json], read: Callable[[str], bytes]) -> None:
    """Checks one `TreeNode` of a skops schema; `read` gives the npy member of a name.

    Raises:
        MalformedInput: the node, its arrays or an index in them is not what a fitted tree has.
    """
    try:
        features, class_counts, outputs = _items(node["__reduce__"]["args"])
        state = plain_state(node["content"])
        sizes = [json_number(part) for part in (features, outputs, state["node_count"], state["max_depth"])]
        nodes, values = read(_array(state["nodes"])), read(_array(state["values"]))
        classes = _integers(read(_array(class_counts)))
    except (KeyError, TypeError, ValueError, AttributeError, struct.error) as error:
        raise MalformedInput("a decision tree is malformed", f"it lacks {str(error)[:80]}") from error
    width, outputs_count, count, _ = sizes
    if len(classes) != outputs_count or any(not 0 < k < 2**20 for k in classes) or not count or not outputs_count:
        raise MalformedInput("a decision tree is malformed", "its classes do not fit its outputs")
    _check_values(read_npy_header(values), len(values), (count, outputs_count, max(classes)))
    _check_nodes(nodes, count, width)


def json_number(node: Json) -> int:
    """The natural number below 2^31 that a `JsonNode` holds as text.

    Raises:
        ValueError: it holds something else.
    """
    text = node["content"]
    if node["__loader__"] != "JsonNode" or not isinstance(text, str) or not _NATURAL.fullmatch(text):
        raise ValueError("a plain number")
    return int(text)


def _check_nodes(data: bytes, count: int, features: int) -> None:
    header = read_npy_header(data)
    names = [field.name for field in header.fields]
    if header.shape != (count,) or header.is_big_endian or header.start + header.data_bytes != len(data):
        raise MalformedInput("a decision tree is malformed", "its nodes do not fit their count")
    try:
        layout = struct.Struct("<" + "".join(_CODES[field.code] for field in header.fields))
        left, right, feature = (names.index(name) for name in ("left_child", "right_child", "feature"))
    except (KeyError, ValueError) as error:
        raise MalformedInput("a decision tree is malformed", "its nodes have other fields") from error
    if any(header.fields[at].code != "i8" for at in (left, right, feature)) or layout.size != header.item_bytes:
        raise MalformedInput("a decision tree is malformed", "its nodes have other fields")
    for at, item in enumerate(layout.iter_unpack(data[header.start :])):
        if item[left] == LEAF:
            continue
        if not (at < item[left] < count and at < item[right] < count and 0 <= item[feature] < features):
            raise MalformedInput("a decision tree points outside itself", f"at node {at} of {count}")


def _check_values(header: NpyHeader, size: int, shape: tuple[int, ...]) -> None:
    is_plain = [field.code for field in header.fields] == ["f8"] and not header.is_big_endian
    if not is_plain or header.shape != shape or header.start + header.data_bytes != size:
        raise MalformedInput("a decision tree is malformed", "its values do not fit its nodes")


def _items(node: Json) -> list[Json]:
    if node["__loader__"] != "TupleNode" or not isinstance(node["content"], list):
        raise ValueError("a tuple of arguments")
    found: list[Json] = node["content"]
    return found


def plain_state(node: Json) -> dict[str, Json]:
    """The state of a `DictNode` whose keys are all text; other or fewer key types would change or drop entries.

    Raises:
        ValueError, KeyError, TypeError: it is something else.
    """
    state, kinds = node["content"], node["key_types"]["content"]
    names = {(kind["__loader__"], kind["__module__"], kind["__class__"]) for kind in kinds}
    if node["__loader__"] != "DictNode" or names != {("TypeNode", "builtins", "str")} or len(kinds) != len(state):
        raise ValueError("a plain state")
    found: dict[str, Json] = state
    return found


def _array(node: Json) -> str:
    """The member that holds a plain array."""
    shown = (node["__loader__"], node["__module__"], node["__class__"], node["type"])
    if shown != ("NdArrayNode", "numpy", "ndarray", "numpy"):
        raise ValueError("a plain array")
    return str(node["file"])


def _integers(data: bytes) -> list[int]:
    header = read_npy_header(data)
    if [part.code for part in header.fields] != ["i8"] or header.is_big_endian or len(header.shape) != 1:
        raise ValueError("its class counts")
    return [number for (number,) in struct.iter_unpack("<q", data[header.start :])]
