"""Writes `allow/keras.json`: classes and functions of Keras that a configuration may name, by exact module and name.

    python tools/make_keras_list.py      # in an environment with keras, tf-keras and tensorflow

Taken are public classes whose loading builds a layer, loss, metric or the like from plain values, under every module path that
versions of Keras have written. Refused with a reason: layers that carry or import code. For Keras 2's operator layers the
functions of TensorFlow are listed that compute; those that read, write, print or call back are left out.
"""

# ruff: noqa: E501 - tables of names
from __future__ import annotations

import importlib
import inspect
import json
import os
import pkgutil
import types
from pathlib import Path

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
OUT = Path(__file__).resolve().parent.parent / "src/assay/checks/model_file/allow/keras.json"
REFUSED = {
    "Lambda": "holds marshalled Python code (CVE-2024-3660)", "TorchModuleWrapper": "holds a pickled torch module", "FlaxLayer": "holds code by name",
    "JaxLayer": "holds code by name", "TFSMLayer": "loads a SavedModel from a path", "__lambda__": "holds marshalled Python code",
    "TFOpLambda": "calls a TensorFlow function by name: judged by that name", "SlicingOpLambda": "judged by the name of its function",
    "ClassMethod": "calls by name", **dict.fromkeys(("Map", "Scan", "While", "WhileLoop", "Cond", "Switch", "VectorizedMap", "AssociativeScan", "ForiLoop", "CustomGradient"), "calls functions"), "TensorFlowOpLayer": "holds a graph node as text",
}  # fmt: skip
PLAIN = ("__tensor__", "__numpy__", "__bytes__", "__slice__", "__ellipsis__", "__keras_tensor__", "__typespec__", "CompositeTensor", "function", "TensorShape", "InputSpec",
         "Model", "Sequential", "Functional", "Variable")  # fmt: skip
AREAS = {"layers", "models", "optimizers", "losses", "metrics", "initializers", "regularizers", "constraints", "activations", "dtype_policies", "ops",
         "quantizers", "random", "engine", "mixed_precision", "feature_column", "premade_models", "legacy"}  # fmt: skip
BASES = ("Layer", "Operation", "Optimizer", "OptimizerV2", "Loss", "Metric", "Initializer", "Regularizer", "Constraint", "LearningRateSchedule", "DTypePolicy",
         "Policy", "Quantizer", "RandomSeedGenerator", "SeedGenerator", "LossScaleOptimizer", "DTypePolicyMap", "QuantizationConfig")  # fmt: skip
TF_SPACES = (
    "math",
    "nn",
    "image",
    "linalg",
    "signal",
    "bitwise",
    "strings",
    "ragged",
    "sparse",
    "random",
    "__operators__",
    "compat.v1",
    "keras.backend",
    "",
)
TF_REFUSED = ("py_func", "numpy_function", "load_", "read_", "write_", "print", "Print", "Assert", "while_loop", "map_fn", "function", "register", "custom_gradient",
              "import", "export", "save", "restore", "matching_files", "make_", "get_", "init", "file", "device", "variable_", "scan", "fold", "case",
              "cond", "name_scope", "no_gradient", "Graph", "Session", "wrap_", "vectorized_map", "grad_pass_through", "recompute_grad", "call_", "decode_", "extract_jpeg")  # fmt: skip


def main() -> None:
    import keras
    import tensorflow as tf
    import tf_keras

    entries: dict[str, set[str]] = {"": set(PLAIN)}
    for root in (keras, tf_keras):
        for module, name, value in objects(root):
            if is_plain_class(value) or is_plain_function(module, value):
                for spelt in spellings(module):
                    entries.setdefault(spelt, set()).add(name)
                if inspect.isclass(value):
                    entries[""].add(name)
    functions = sorted(set(tensor_functions(tf)))
    written = {
        "schema": "urn:assay:keras-list:v1", "library": "keras", "version": f"{keras.__version__}, {tf_keras.__version__}",
        "entries": {module: sorted(names - REFUSED.keys()) for module, names in sorted(entries.items())},
        "tensor_functions": functions, "refused": REFUSED,
    }  # fmt: skip
    OUT.write_text(json.dumps(written, separators=(",", ":"), sort_keys=True) + "\n", "utf-8")
    print(OUT, len(written["entries"]), sum(map(len, written["entries"].values())), len(functions))


def objects(root: types.ModuleType):
    """(module path, name, value) of everything public, under its public path and its own."""
    for info in pkgutil.walk_packages(root.__path__, root.__name__ + ".", onerror=lambda name: None):
        if not AREAS & set(info.name.split(".")) or any(
            word in info.name for word in ("test", ".api.", "._keras", "._tf_keras", ".backend.")
        ):
            continue
        try:
            module = importlib.import_module(info.name)
        except Exception:  # noqa: BLE001 - a module that cannot be imported here has nothing to list
            continue
        for name, value in vars(module).items():
            if not name.startswith("_") and (inspect.isclass(value) or inspect.isfunction(value)):
                yield info.name, name, value
                yield getattr(value, "__module__", info.name), getattr(value, "__name__", name), value
    for name in (
        "Model",
        "Sequential",
        "DTypePolicy",
        "FloatDTypePolicy",
        "Variable",
        "KerasTensor",
        "Layer",
        "Loss",
        "Metric",
        "Optimizer",
    ):
        if hasattr(root, name):
            yield root.__name__, name, getattr(root, name)


def is_plain_class(value: object) -> bool:
    return (
        inspect.isclass(value)
        and any(base.__name__ in BASES or base.__name__ == "Model" for base in value.__mro__[:-1])
        and value.__name__ not in REFUSED
    )


def is_plain_function(module: str, value: object) -> bool:
    """Losses, metrics and activations, which are named in configurations as functions."""
    own = getattr(value, "__module__", "")
    return (
        inspect.isfunction(value)
        and any(f".{area}" in own for area in ("losses", "metrics", "activations"))
        and not value.__name__.startswith(("serialize", "deserialize", "get", "_"))
    )


def spellings(module: str) -> list[str]:
    """A module as written by Keras 3, by tf-keras, by Keras 2 before `src`, and by TensorFlow's own copy."""
    plain = module.replace("tf_keras", "keras", 1)
    return sorted(
        {
            plain,
            plain.replace("keras.src.", "keras.", 1),
            plain.replace("keras.", "tf_keras.", 1) if module.startswith("tf_keras") else plain,
        }
    )


def tensor_functions(tf: types.ModuleType):
    """Names that `TFOpLambda` may call: those that compute from tensors alone."""
    for space in TF_SPACES:
        if space == "__operators__":
            yield from (f"__operators__.{name}" for name in ("add", "sub", "subtract", "mul", "multiply", "truediv", "floordiv", "div", "mod", "pow", "neg", "eq", "ne", "lt", "le",
                        "gt", "ge", "and", "or", "xor", "not", "invert", "abs", "matmul", "getitem", "radd", "rsub", "rmul", "rtruediv", "rpow", "rfloordiv", "rmatmul", "rmod", "logical_and", "logical_or", "logical_not"))  # fmt: skip
            continue
        module = tf
        for part in filter(None, space.split(".")):
            module = getattr(module, part, None)
        for name in dir(module) if module else ():
            value = getattr(module, name, None)
            if inspect.isfunction(value) and not name.startswith("_") and not any(word in name for word in TF_REFUSED):
                yield f"{space}.{name}".strip(".")


if __name__ == "__main__":
    main()
