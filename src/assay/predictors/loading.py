"""From an asset to a predictor: which file of it is the model, and which adapter reads it."""

from __future__ import annotations

from assay.core.assets import Asset, Entry
from assay.core.checks import Context
from assay.core.errors import Undecided
from assay.predictors.predictor import Predictor
from assay.predictors.scikit_learn import load_scikit_learn

MAX_MODEL_BYTES = 4 << 30
SKOPS_SUFFIX = ".skops"


def load_predictor(asset: Asset, context: Context) -> Predictor:
    """Loads the model of an asset.

    `declared["predictor"]` names the adapter; only `scikit-learn` with a skops file is built so far. `declared["file"]`
    picks the file where there are several.

    Raises:
        Undecided: another adapter, or no single model file.
        Refused, MalformedInput, MissingExtra: as `load_scikit_learn`.
    """
    adapter = str(asset.declared.get("predictor", "scikit-learn"))
    if adapter != "scikit-learn":
        raise Undecided(f"the predictor {adapter!r} is not available", "this version has `scikit-learn` only")
    file = model_file(asset)
    if file.size > MAX_MODEL_BYTES:
        raise Undecided(f"{file.path} is too large", f"at most {MAX_MODEL_BYTES} bytes are loaded")
    with context.open(asset, file.path) as handle:
        data = handle.read(file.size + 1)
    return load_scikit_learn(data, asset.declared)


def model_file(asset: Asset) -> Entry:
    """The one file that holds the model."""
    stated = asset.declared.get("file")
    entries = asset.manifest.entries
    found = [entry for entry in entries if (entry.path == stated if stated else entry.path.endswith(SKOPS_SUFFIX))]
    if len(found) != 1:
        fix = "save the model with skops, and name its file with `file` where there are several"
        raise Undecided(f"{asset} has no single model file", f"{len(found)} files end in {SKOPS_SUFFIX}", fix)
    return found[0]
