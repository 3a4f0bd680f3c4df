"""The adapter that turns all-MiniLM-L6-v2 into the firewall's classifier: low-rank updates of its dense layers, and two heads.

It is shipped as signed bytes with one unit an array, 170 KB for a base model of 90 MB: `adapter.bin` holds the arrays one after
the other in the order of `shapes()`, `card.json` their units, what it was trained on, and the thresholds that were set on
calibration text. Source: Hu et al., LoRA, 2021.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from importlib import resources
from itertools import product
from typing import Any

from assay.runtime.firewall.classifier.serving import PURPOSES

LAYERS, WIDTH, INNER, RANK = 6, 384, 1536, 4
DENSE = {
    "attention.self.query": (WIDTH, WIDTH),
    "attention.self.key": (WIDTH, WIDTH),
    "attention.self.value": (WIDTH, WIDTH),
    "attention.output.dense": (WIDTH, WIDTH),
    "intermediate.dense": (INNER, WIDTH),
    "output.dense": (WIDTH, INNER),
}
"""Dense layers of an encoder layer: name to (outputs, inputs)."""


def shapes() -> dict[str, tuple[int, ...]]:
    """The arrays of an adapter, in the order in which they are stored."""
    found: dict[str, tuple[int, ...]] = {}
    for layer, (dense, (outputs, inputs)) in product(range(LAYERS), DENSE.items()):
        name = f"{layer}_{dense.replace('.', '_')}"
        found[f"{name}_a"], found[f"{name}_b"] = (RANK, inputs), (outputs, RANK)
    return found | {"head_weight": (len(PURPOSES), WIDTH), "head_bias": (len(PURPOSES),)}


@dataclass(frozen=True)
class Adapter:
    """Arrays of floats by name, with the shapes of `shapes()`."""

    arrays: Mapping[str, Any]

    def packed(self) -> tuple[bytes, list[float]]:
        """Signed bytes of all arrays, and the unit of each."""
        import numpy as np

        units = [float(np.abs(self.arrays[name]).max()) / 127 or 1.0 for name in shapes()]
        rounded = [
            np.rint(self.arrays[name] / unit).astype(np.int8) for name, unit in zip(shapes(), units, strict=True)
        ]
        return b"".join(array.tobytes() for array in rounded), units

    def rounded(self) -> Adapter:
        """As it reads after it was stored."""
        return unpacked(*self.packed())

    def update(self, layer: int, dense: str) -> Any:
        """What is added to the weights of a dense layer, shape (outputs, inputs)."""
        name = f"{layer}_{dense.replace('.', '_')}"
        return self.arrays[f"{name}_b"] @ self.arrays[f"{name}_a"]


def unpacked(data: bytes, units: Sequence[float]) -> Adapter:
    """The adapter that `packed` stored.

    Raises:
        ValueError: the bytes are not those of an adapter.
    """
    import numpy as np

    wanted = shapes()
    sizes = [int(np.prod(shape)) for shape in wanted.values()]
    if len(data) != sum(sizes) or len(units) != len(sizes):
        raise ValueError("these are no bytes of an adapter")
    parts = np.split(np.frombuffer(data, np.int8), np.cumsum(sizes)[:-1])
    return Adapter(
        {
            name: (part.astype(np.float32) * np.float32(unit)).reshape(shape)
            for (name, shape), part, unit in zip(wanted.items(), parts, units, strict=True)
        }
    )


def card() -> dict[str, Any]:
    """The card of the shipped adapter, as JSON has it."""
    found = json.loads((resources.files(__package__) / "card.json").read_text("utf-8"))
    assert isinstance(found, dict)
    return found


def shipped() -> Adapter:
    """The adapter that comes with the package.

    Raises:
        ValueError: its bytes are not those of its card.
    """
    data, said = (resources.files(__package__) / "adapter.bin").read_bytes(), card()
    if sha256(data).hexdigest() != said["sha256"]:
        raise ValueError("the adapter is not that of its card")
    return unpacked(data, said["units"])
