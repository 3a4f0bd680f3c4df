"""Which member of a model archive has which part: torch checkpoints, TorchScript, packages, Keras, npz, skops.

Raw tensor members of torch are not read, only their first bytes are looked at. TorchScript code is text in a language of its
own; it is searched for operators that touch files and for namespaces outside torch.
Source: torch 2.13, `caffe2/serialize/inline_container.h` (layout), `torch/jit/serialization`, `torch/export`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from assay.formats.facts import Fact

_RECORD = re.compile(
    r"(?:[^/]+/)?(?:data|constants|tensors|weights|data/weights|data/constants|\.data)/(?:[\w.-]+/)*[\w.-]+"
)
_SMALL = re.compile(
    r"(?:.*/)?(?:version|byteorder|\.format_version|\.storage_alignment|archive_format|archive_version|serialization_id|\.data/\w+|.*debug_pkl|metadata\.json)"
)
_SCRIPT_NAMES = re.compile(r"\bops\.(\w+)\.(\w+)|\btorch\.(\w+)\(")
_ACTING = frozenset({"save", "load", "from_file", "from_file_"})
_SPACES = frozenset(
    [
        "aten",
        "prim",
        "prims",
        "quantized",
        "torchvision",
        "torchaudio",
        "_caffe2",
        "sparse",
        "mkldnn",
        "mkldnn_prepacked",
        "xnnpack",
        "profiler",
        "prepacked",
        "cuda",
        "static_runtime",
    ]
)


def kind_of(names: Iterable[str]) -> str:
    """The format that the member names say: `torch-zip`, `torchscript`, `torch-package`, `torch-export`, `npz`, `keras`, ..."""
    known = set(names)
    tails = {name.partition("/")[2] if "/" in name else name for name in known}
    if "schema.json" in known:
        return "skops"
    if "config.json" in known and ("metadata.json" in known or any(name.endswith(".weights.h5") for name in known)):
        return "keras"
    if any(name.startswith(".data/") or "/.data/extern_modules" in name for name in known) and any(
        name.endswith("extern_modules") for name in known
    ):
        return "torch-package"
    if "archive_format" in tails or "models/model.json" in tails or "serialized_exported_program.json" in known:
        return "torch-export"
    if "constants.pkl" in tails or any("/code/" in name for name in known):
        return "torchscript"
    if "data.pkl" in tails or "data.pkl" in known:
        return "torch-zip"
    if known and all(name.endswith(".npy") for name in known):
        return "npz"
    return "zip"


def is_tensor_record(name: str, kind: str) -> bool:
    """Whether a member holds raw tensor bytes, to which no loader gives a meaning beyond numbers."""
    if kind not in ("torch-zip", "torchscript", "torch-package", "torch-export") or name.endswith(
        (".pkl", ".py", ".json", ".pickle")
    ):
        return False
    return _RECORD.fullmatch(name) is not None


def is_small_record(name: str, kind: str) -> bool:
    """Whether a member is one of the short texts that torch writes beside a model."""
    return kind.startswith("torch") and _SMALL.fullmatch(name) is not None


def script_facts(text: str) -> Iterator[Fact]:
    """Operators of TorchScript code that touch files or belong to libraries that are not listed."""
    told: set[str] = set()
    for space, name, short in _SCRIPT_NAMES.findall(text):
        word = f"{space or 'torch'}::{name or short}"
        if word in told:
            continue
        told.add(word)
        if (name or short) in _ACTING:
            yield Fact("operator-acts", "", None, (f"the operator {word} reads or writes files",))
        elif space and space not in _SPACES:
            yield Fact("operator", "", None, ("torch", space[:80], (name or short)[:100]))


def without_script_classes(facts: Iterable[Fact]) -> list[Fact]:
    """Classes below `__torch__` are made by TorchScript's own interpreter from the archive's code, and are judged there."""
    return [
        fact
        for fact in facts
        if not (
            (fact.kind == "global" and _is_script(fact.data))
            or (fact.kind == "use" and _is_script(_named(fact.data[1])))
        )
    ]


def _named(shape: tuple[object, ...]) -> tuple[object, ...]:
    if shape[0] == "r" and isinstance(shape[1], tuple):
        return _named(shape[1])
    return tuple(shape[1:3])


def _is_script(name: tuple[object, ...]) -> bool:
    return bool(name) and isinstance(name[0], str) and (name[0] == "__torch__" or name[0].startswith("__torch__."))
