"""From an asset to a predictor: which file of it is the model, and which adapter reads it.

`declared["predictor"]` names the adapter: `scikit-learn` (skops), `torch` (TorchScript, torch.export, or weights with a factory),
`onnx`, `http`, `openai` (a chat model that classifies texts), or `python:MODULE:FUNCTION`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePath

from assay.core.assets import Asset, Entry
from assay.core.checks import Context
from assay.core.errors import Undecided
from assay.predictors.declared import REMOTE, Declared, declared
from assay.predictors.function_model import PREFIX, FunctionModel, named_function
from assay.predictors.predictor import Predictor
from assay.predictors.scikit_learn import load_scikit_learn

MAX_MODEL_BYTES = 4 << 30
SUFFIXES: Mapping[str, tuple[str, ...]] = {
    "scikit-learn": (".skops",), "torch": (".pt", ".pt2", ".pth", ".ts"), "onnx": (".onnx",),
}  # fmt: skip


def load_predictor(asset: Asset, context: Context) -> Predictor:
    """Loads the model of an asset.

    Raises:
        Undecided: an adapter that is not there, or no single model file.
        UsageError: the declaration cannot be read.
        Refused, MalformedInput, MissingExtra: as the adapter.
    """
    stated = declared(asset.declared)
    if stated.predictor.startswith(PREFIX):
        return Predictor(FunctionModel(named_function(stated.predictor, _code(context)), stated))
    if stated.predictor in REMOTE:
        from assay.predictors.http_model import ChatModel, HttpModel

        return Predictor(ChatModel(stated) if stated.predictor == "openai" else HttpModel(stated), remembers=True)
    if stated.predictor not in SUFFIXES:
        known = ", ".join((*SUFFIXES, *REMOTE, "python:MODULE:FUNCTION"))
        raise Undecided(f"the predictor {stated.predictor!r:.80} is not available", f"there are {known}")
    data = _bytes(asset, context, stated)
    if stated.predictor == "torch":
        from assay.predictors.torch_model import load_torch

        name = stated.interface.get("factory")
        return Predictor(load_torch(data, stated, named_function(str(name), _code(context)) if name else None))
    if stated.predictor == "onnx":
        from assay.predictors.onnx_model import load_onnx

        return Predictor(load_onnx(data, stated))
    return Predictor(load_scikit_learn(data, stated))


def model_file(asset: Asset, stated: Declared) -> Entry:
    """The one file that holds the model: the declared one, else the only one with a fitting suffix.

    Raises:
        Undecided: there is none, or several.
    """
    named, suffixes = stated.interface.get("file"), SUFFIXES[stated.predictor]
    entries = asset.manifest.entries
    found = [entry for entry in entries if (entry.path == named if named else entry.path.endswith(suffixes))]
    if len(found) != 1:
        fix = "name it with `file` in the model's `interface`; a model of scikit-learn is saved with skops"
        raise Undecided(f"{asset} has no single model file", f"{len(found)} files end in {', '.join(suffixes)}", fix)
    return found[0]


def _bytes(asset: Asset, context: Context, stated: Declared) -> bytes:
    file = model_file(asset, stated)
    if file.size > MAX_MODEL_BYTES:
        raise Undecided(f"{file.path} is too large", f"at most {MAX_MODEL_BYTES} bytes are loaded")
    with context.open(asset, file.path) as handle:
        return handle.read(file.size + 1)


def _code(context: Context) -> PurePath | None:
    """Where the code lies that the model was built by; None where none is declared."""
    built_by = context.related("built_by")
    return context.folder(built_by[0]) if built_by else None
