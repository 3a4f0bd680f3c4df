"""The forward pass of a network that is asked many rows without gradients, as attacks on images do.

On a CPU, convolutions and pooling over the blocked layout of oneDNN take a quarter of the time. torch.jit rewrites a network for it,
which costs a quarter of a second and does not succeed for all: so it is tried once, when enough rows were asked, and kept only if it
answers as the network itself does. Whatever depends on chance, on earlier calls or on code that cannot be rewritten stays as it is.
"""

from __future__ import annotations

import warnings
from typing import Any

MANY_ROWS = 1_000
TOLERANCE = 1e-4

Tensor = Any  # torch's types are not complete enough for strict checking
Network = Any
Device = Any


class Inference:
    """Calls a network, after `MANY_ROWS` rows the rewritten one. Its weights must not change any more then."""

    def __init__(self, network: Network, device: Device) -> None:
        self._network, self._rows_asked = network, 0
        self._rewritten: Network | None = None
        self._may_rewrite = device.type == "cpu" and has_convolutions(network)

    def __call__(self, rows: Tensor) -> Tensor:
        """What the network says of a batch, without gradients."""
        self._rows_asked += len(rows)
        if self._rewritten is not None:
            return self._rewritten(rows)
        said = self._network(rows)
        if self._may_rewrite and self._rows_asked >= MANY_ROWS:
            self._may_rewrite = False
            self._rewritten = _rewritten(self._network, rows, said)
        return said


def has_convolutions(network: Network) -> bool:
    """By the names of layers, which those of a compiled network keep."""
    return any(getattr(layer, "original_name", type(layer).__name__).startswith("Conv") for layer in network.modules())


def _rewritten(network: Network, rows: Tensor, said: Tensor) -> Network | None:
    """The network for inference on a CPU, or None if there is none that says `said` of `rows`."""
    import torch

    jit: Any = torch.jit  # declared as if it never returned
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch.jit is deprecated; torch.compile takes seconds and a C++ compiler
        try:
            found = jit.optimize_for_inference(jit.script(network))
            agrees = all(torch.allclose(found(rows), said, rtol=TOLERANCE, atol=TOLERANCE) for _ in range(2))
        except Exception:  # noqa: BLE001 - torch raises almost anything for what it cannot rewrite
            return None
    return found if agrees else None
