"""The encoder of all-MiniLM-L6-v2 with a low-rank adapter and two heads, in torch, for training only.

Every dense layer computes `W x + b + B (A x)`; only A, B and the heads are trained, so what is learned is a small file beside
the base model. Heads: `prompts` says whether what a person typed is an attack, `documents` whether what an assistant reads
holds an order to it. Sources: Devlin et al., BERT, 2018; Wang et al., MiniLM, 2020; Hu et al., LoRA, 2021.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from assay.runtime.firewall.classifier.adapter import DENSE, LAYERS, RANK, WIDTH, Adapter
from assay.runtime.firewall.classifier.serving import PURPOSES

ATTENTION_HEADS = 12


class MiniLm(nn.Module):
    """Token ids to two logits: one window a row, shape (n, 2), in the order of `PURPOSES`."""

    def __init__(self, weights: dict[str, Tensor], seed: int) -> None:
        super().__init__()
        self.base = {name: value for name, value in weights.items() if value.is_floating_point()}
        generator = torch.Generator().manual_seed(seed)
        learned = {}
        for layer in range(LAYERS):
            for dense in DENSE:
                outputs, inputs = weights[f"encoder.layer.{layer}.{dense}.weight"].shape
                learned[_key(layer, dense, "a")] = torch.randn(RANK, inputs, generator=generator) / inputs**0.5
                learned[_key(layer, dense, "b")] = torch.zeros(outputs, RANK)
        learned["head_weight"], learned["head_bias"] = torch.zeros(len(PURPOSES), WIDTH), torch.zeros(len(PURPOSES))
        self.learned = nn.ParameterDict({name: nn.Parameter(value) for name, value in learned.items()})

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        x = (
            self.base["embeddings.word_embeddings.weight"][ids]
            + self.base["embeddings.position_embeddings.weight"][: ids.shape[1]]
            + self.base["embeddings.token_type_embeddings.weight"][0]
        )
        x = self._norm(x, "embeddings")
        seen = mask[:, None, None, :]
        for layer in range(LAYERS):
            q, k, v = (_split(self._dense(x, layer, f"attention.self.{name}")) for name in ("query", "key", "value"))
            joined = (
                nn.functional.scaled_dot_product_attention(q, k, v, attn_mask=seen).transpose(1, 2).reshape(x.shape)
            )
            x = self._norm(
                x + self._dense(joined, layer, "attention.output.dense"), f"encoder.layer.{layer}.attention.output"
            )
            inner = nn.functional.gelu(self._dense(x, layer, "intermediate.dense"))
            x = self._norm(x + self._dense(inner, layer, "output.dense"), f"encoder.layer.{layer}.output")
        kept = mask[:, :, None].float()
        pooled = (x * kept).sum(1) / kept.sum(1)
        return pooled @ self.learned["head_weight"].T + self.learned["head_bias"]

    def adapter(self) -> Adapter:
        """What was learned, as arrays, in eight bits as it is shipped."""
        return Adapter(
            {name: value.detach().numpy().astype(np.float32) for name, value in self.learned.items()}
        ).rounded()

    def _dense(self, x: Tensor, layer: int, dense: str) -> Tensor:
        name = f"encoder.layer.{layer}.{dense}"
        plain = nn.functional.linear(x, self.base[f"{name}.weight"], self.base[f"{name}.bias"])
        down = nn.functional.linear(x, self.learned[_key(layer, dense, "a")])
        return plain + nn.functional.linear(down, self.learned[_key(layer, dense, "b")])

    def _norm(self, x: Tensor, name: str) -> Tensor:
        weight, bias = (self.base[f"{name}.LayerNorm.{part}"] for part in ("weight", "bias"))
        return nn.functional.layer_norm(x, (WIDTH,), weight, bias, 1e-12)


def _key(layer: int, dense: str, part: str) -> str:
    return f"{layer}_{dense.replace('.', '_')}_{part}"


def _split(x: Tensor) -> Tensor:
    return x.reshape(x.shape[0], x.shape[1], ATTENTION_HEADS, WIDTH // ATTENTION_HEADS).transpose(1, 2)
