"""Writes the list of names that skops files may use: `python tools/make_skops_types.py`.

Most names are what the installed skops itself trusts, kept apart by the loader that may use them. Reviewed names are few,
each with its reason; what a reason promises (such as a check of the array) is kept by `assay.formats.skops_file`.
"""

from __future__ import annotations

import json
from importlib.metadata import version

from assay.core.canonical import Json
from assay.formats.skops_file import TYPES_FILE

REVIEWED: Json = {
    "DTypeNode": {
        "numpy.dtype": "only the dtype of an array that was itself checked; skops asks for it out of caution"
    },
    "TreeNode": {"sklearn.tree._tree.Tree": "its node array is checked index by index before the file is called clean"},
    "ObjectNode": {
        "sklearn.neural_network._stochastic_optimizers.AdamOptimizer": "plain attributes, no hook of its own",
        "sklearn.neural_network._stochastic_optimizers.SGDOptimizer": "plain attributes, no hook of its own",
    },
}


def trusted_by_skops() -> Json:
    """Names that skops 0.13 or later loads without asking, by loader.

    `RandomGeneratorNode` is left out: it names a class inside a state that only skops can read safely.
    """
    from skops.io import _sklearn, _trusted_types
    from skops.io._utils import get_type_name

    types = _trusted_types
    return {
        "BytearrayNode": ["builtins.bytearray"],
        "BytesNode": ["builtins.bytes"],
        "DefaultDictNode": ["collections.defaultdict"],
        "DictNode": ["builtins.dict", "collections.OrderedDict"],
        "FunctionNode": sorted({*types.SCIPY_UFUNC_TYPE_NAMES, *types.NUMPY_UFUNC_TYPE_NAMES}),
        "JsonNode": ["builtins.str"],
        "ListNode": ["builtins.list"],
        "LossNode": sorted(get_type_name(loss) for loss in _sklearn.ALLOWED_LOSSES),
        "MaskedArrayNode": ["numpy.ma.MaskedArray"],
        "NdArrayNode": sorted({"numpy.ndarray", *types.NUMPY_DTYPE_TYPE_NAMES}),
        "ObjectNode": sorted({*types.SKLEARN_ESTIMATOR_TYPE_NAMES, *types.SKLEARN_INTERNAL_TYPE_NAMES}),
        "RandomStateNode": ["numpy.random.mtrand.RandomState"],
        "SetNode": ["builtins.set"],
        "SliceNode": ["builtins.slice"],
        "TupleNode": ["builtins.tuple"],
        "TypeNode": sorted({*types.PRIMITIVE_TYPE_NAMES, *types.CONTAINER_TYPE_NAMES, *types.NUMPY_DTYPE_TYPE_NAMES}),
    }


def allowlist() -> Json:
    """The whole data file, with the versions it was made from."""
    return {
        "schema": "urn:assay:skops-types:v1",
        "made_from": {name: version(name) for name in ("numpy", "scikit-learn", "scipy", "skops")},
        "trusted_by_skops": trusted_by_skops(),
        "reviewed": REVIEWED,
    }


if __name__ == "__main__":
    TYPES_FILE.write_text(json.dumps(allowlist(), indent=1, sort_keys=True) + "\n", "utf-8")
