"""What the owner of a model says of it in `assay.yaml`: `predictor`, `task` and the mapping `interface`.

scorer:
  kind: model
  path: build/digits
  predictor: torch
  interface: {file: digits.pt, input: image, shape: [1, 28, 28], bounds: [0, 1], divisor: 255, classes: [0, 1, 2],
              recipe: {epochs: 6, rate: 0.001, batch: 64}}
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from assay.core.canonical import Json
from assay.core.errors import UsageError
from assay.predictors.predictor import Info, RowKind

KEYS = (
    "file", "input", "shape", "bounds", "divisor", "classes", "output", "factory", "recipe", "url", "format", "model",
    "key_env", "prompt", "timeout_s",
)  # fmt: skip
TASKS = ("classification", "regression")
REMOTE = ("http", "openai")
_EXTRAS: Mapping[str, str] = {"torch": "torch", "onnx": "onnx"}


@dataclass(frozen=True)
class Recipe:
    """How a neural network is trained: Adam on cross-entropy (squared error in a regression) over shuffled batches."""

    epochs: int = 20
    rate: float = 1e-3
    batch: int = 64
    decay: float = 0.0


@dataclass(frozen=True)
class Declared:
    """The declaration of a model, read and checked. `classes` is None where the model itself has to say."""

    predictor: str
    task: str
    features: tuple[str, ...]
    immutable: tuple[str, ...]
    classes: tuple[Json, ...] | None
    interface: Mapping[str, Json] = field(default_factory=dict)

    @property
    def recipe(self) -> Recipe | None:
        """How to train another such model, where it is said."""
        stated = self.interface.get("recipe")
        if stated is None:
            return None
        if not isinstance(stated, Mapping) or not set(stated) <= {"epochs", "rate", "batch", "decay"}:
            raise UsageError(
                "the recipe of a model is not usable", f"{stated!r:.200}", "give epochs, rate, batch and decay"
            )
        epochs, batch = int(stated.get("epochs", 20)), int(stated.get("batch", 64))
        return Recipe(epochs, float(stated.get("rate", 1e-3)), batch, float(stated.get("decay", 0.0)))

    def info(self, classes: tuple[Json, ...], features: tuple[str, ...] | None = None) -> Info:
        """What the model is, once its classes are known."""
        shape = tuple(int(size) for size in self.interface.get("shape") or ())
        bounds = self.interface.get("bounds")
        return Info(
            task=self.task,
            classes=classes,
            features=self.features if features is None else features,
            immutable=self.immutable,
            row_kind=RowKind(self.interface.get("input", RowKind.IMAGE if len(shape) == 3 else RowKind.TABLE)),
            shape=shape,
            bounds=(float(bounds[0]), float(bounds[1])) if bounds else None,
            divisor=float(self.interface.get("divisor", 1.0)),
        )


def extra_of_predictor(stated: Mapping[str, Json]) -> str | None:
    """The extra whose libraries the adapter of a model imports, apart from `ml`."""
    return _EXTRAS.get(str(stated.get("predictor", "")))


@dataclass(frozen=True)
class Reach:
    """What a remote model needs of its worker: one host and port, and the name of the variable that holds a key."""

    host: str
    port: int
    key_env: str | None


def reach_of(stated: Mapping[str, Json]) -> Reach | None:
    """Where a worker has to be let through for a model; None for models that are files, or whose address cannot be read."""
    interface = stated.get("interface")
    if stated.get("predictor") not in REMOTE or not isinstance(interface, Mapping):
        return None
    try:
        parts = urlsplit(str(interface.get("url", "")))
        port = parts.port or (443 if parts.scheme == "https" else 80)
    except ValueError:
        return None
    key_env = interface.get("key_env")
    return Reach(parts.hostname, port, str(key_env) if key_env else None) if parts.hostname else None


def declared(stated: Mapping[str, Json]) -> Declared:
    """Reads what a registration declares.

    Raises:
        UsageError: an unknown task or key, or a value that says nothing.
    """
    interface = stated.get("interface", {})
    if not isinstance(interface, Mapping):
        raise UsageError("`interface` of a model is no mapping", f"{interface!r:.100}")
    for key in interface:
        if key not in KEYS:
            near = difflib.get_close_matches(str(key), KEYS, 1)
            raise UsageError(f"`interface` has no key {key!r:.80}", f"it has {', '.join(KEYS)}",
                             f"did you mean {near[0]!r}?" if near else "remove it")  # fmt: skip
    task = str(stated.get("task", "classification"))
    if task not in TASKS:
        raise UsageError(f"there is no task {task!r:.80}", f"there are {', '.join(TASKS)}")
    _check(interface)
    classes = interface.get("classes")
    return Declared(
        predictor=str(stated.get("predictor", "scikit-learn")),
        task=task,
        features=tuple(map(str, stated.get("features") or ())),
        immutable=tuple(map(str, stated.get("immutable") or ())),
        classes=tuple(classes) if classes else None,
        interface={**interface, **({"file": stated["file"]} if "file" in stated else {})},
    )


def _check(interface: Mapping[str, Json]) -> None:
    shape, bounds = interface.get("shape") or (), interface.get("bounds")
    if not all(isinstance(size, int) and 0 < size < 1 << 20 for size in shape) or len(shape) > 4:
        raise UsageError("`shape` of a model is not usable", f"{shape!r:.100}", "give channels, height and width")
    if bounds is not None and not (len(bounds) == 2 and bounds[0] < bounds[1]):
        raise UsageError(
            "`bounds` of a model are not usable", f"{bounds!r:.100}", "give the lowest and the highest value"
        )
    if not float(interface.get("divisor", 1.0)) > 0:
        raise UsageError("`divisor` of a model is not usable", "it has to be above 0")
    if interface.get("input", "table") not in tuple(RowKind):
        raise UsageError(f"a model has no input {interface['input']!r:.80}", f"there are {', '.join(RowKind)}")
