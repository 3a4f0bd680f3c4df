"""Does the ONNX file that `tools/make_classifier.py` writes say what the encoder that was trained says?"""

from __future__ import annotations

import importlib
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from assay.runtime.firewall.classifier.adapter import DENSE, LAYERS, WIDTH, Adapter, shapes
from assay.runtime.firewall.classifier.serving import PURPOSES

WORDS, PLACES = 40, 16
IDS = [[2, 7, 9, 30, 31, 3], [2, 11, 3, 0, 0, 0]]
MASK = [[1, 1, 1, 1, 1, 1], [1, 1, 1, 0, 0, 0]]


@pytest.fixture
def tools(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(Path(__file__).parents[3] / "tools"))
    for needed in ("onnx", "onnxruntime", "safetensors", "tokenizers", "torch"):
        pytest.importorskip(needed)
    return importlib.import_module("make_classifier")


def weights_of(drawn: np.random.Generator) -> dict[str, np.ndarray]:
    """The arrays of a base model with few words and places, drawn at random."""

    def normal(*shape: int) -> np.ndarray:
        return drawn.normal(0, 0.05, shape).astype(np.float32)

    found = {
        "embeddings.word_embeddings.weight": normal(WORDS, WIDTH),
        "embeddings.position_embeddings.weight": normal(PLACES, WIDTH),
        "embeddings.token_type_embeddings.weight": normal(2, WIDTH),
    }
    norms = ["embeddings"]
    for layer in range(LAYERS):
        norms += [f"encoder.layer.{layer}.attention.output", f"encoder.layer.{layer}.output"]
        for dense, shape in DENSE.items():
            found[f"encoder.layer.{layer}.{dense}.weight"] = normal(*shape)
            found[f"encoder.layer.{layer}.{dense}.bias"] = normal(shape[0])
    for name in norms:
        found[f"{name}.LayerNorm.weight"], found[f"{name}.LayerNorm.bias"] = 1 + normal(WIDTH), normal(WIDTH)
    return found


def test_the_file_agrees_with_the_trained_encoder_and_is_the_same_each_time(tools: ModuleType, tmp_path: Path) -> None:
    import onnxruntime
    import torch

    minilm = importlib.import_module("minilm")
    drawn = np.random.default_rng(0)
    base = tools.Base(weights_of(drawn), b"{}", "")
    adapter = Adapter({name: drawn.normal(0, 0.1, shape).astype(np.float32) for name, shape in shapes().items()})
    thresholds = {purpose: [0.0] * 5 for purpose in PURPOSES}
    first, again = (tools.write(base, adapter, thresholds, tmp_path / name) for name in ("first", "again"))
    assert first == again

    encoder = minilm.MiniLm({name: torch.from_numpy(value) for name, value in base.weights.items()}, 0)
    with torch.no_grad():
        for name, value in adapter.arrays.items():
            encoder.learned[name].copy_(torch.from_numpy(value))
        wanted = encoder(torch.tensor(IDS), torch.tensor(MASK, dtype=torch.bool)).numpy()
    session = onnxruntime.InferenceSession(str(tmp_path / "first" / "model.onnx"), providers=["CPUExecutionProvider"])
    for row, (ids, mask) in enumerate(zip(IDS, MASK, strict=True)):
        said = session.run(list(PURPOSES), {"input_ids": np.array([ids]), "attention_mask": np.array([mask])})
        assert np.abs(np.concatenate(said, axis=1)[0] - wanted[row]).max() < 0.05 * np.abs(wanted).max() + 0.05
