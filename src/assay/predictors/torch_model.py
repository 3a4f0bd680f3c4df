"""Networks of PyTorch: TorchScript, `torch.export` programs, or a state dict with the function that builds the network.

Loaded only in a worker, after the scan said clean. The device is a GPU where there is one. Rows are given as float64 and cast to
the type of the network's weights.
"""

from __future__ import annotations

import io
import warnings
import zipfile
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from assay.core.errors import MissingExtra, Refused, Undecided
from assay.predictors.declared import Declared
from assay.predictors.predictor import Capability, Info, Loss, Slope, Trainer, largest, softmax
from assay.predictors.torch_inference import Inference
from assay.predictors.torch_training import Fitter, evaluating

if TYPE_CHECKING:
    from assay.predictors.predictor import Batch, Floats, Labels

    Tensor = Any  # torch's types are not complete enough for strict checking
    Network = Any

CHUNK_ROWS = 512


def load_torch(data: bytes, stated: Declared, factory: Callable[[], Any] | None) -> Torch:
    """Loads a network from the bytes of a file.

    Args:
        data: A TorchScript archive, a `torch.export` program (.pt2), or a state dict for `factory`.
        stated: `shape` says what one row looks like, where it is not flat.
        factory: Builds the network that a state dict belongs to.

    Raises:
        Refused: it cannot be loaded as what it is.
        MissingExtra: torch is not installed.
        Undecided: a state dict without a factory, or a network that does not answer with one row of numbers a row.
    """
    try:
        import torch
    except ImportError as error:
        raise MissingExtra("cannot load the model", str(error), "pip install 'assay[torch]'") from error
    kind = _kind(data)
    if kind == "state" and factory is None:
        raise Undecided("the file holds weights only", "nothing says which network they belong to",
                        "name it in `interface.factory`, or save the model with torch.jit.script or torch.export")  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # deprecations of the format that the owner chose
        try:
            network = _read(torch, data, kind, factory)
        except Exception as error:  # torch raises almost anything for a broken file
            why = f"{type(error).__name__}: {error}".split("\n")[0][:200]
            raise Refused("the model cannot be loaded", why, "save it again") from error
    return Torch(network, stated)


def _kind(data: bytes) -> str:
    """What a file holds, by the names in its archive."""
    try:
        names = [name.partition("/")[2] for name in zipfile.ZipFile(io.BytesIO(data)).namelist()]
    except (zipfile.BadZipFile, NotImplementedError):
        return "state"
    if any(name.startswith("models/") or name == "archive_format" for name in names):
        return "export"
    return "script" if any(name.startswith("code/") for name in names) else "state"


def _read(torch: Any, data: bytes, kind: str, factory: Callable[[], Any] | None) -> Network:  # Any: a module
    if kind == "script":
        return torch.jit.load(io.BytesIO(data), map_location="cpu")
    if kind == "export":
        return torch.export.load(io.BytesIO(data)).module()
    assert factory is not None
    network = factory()
    network.load_state_dict(torch.load(io.BytesIO(data), map_location="cpu", weights_only=True))
    return network


class Torch:
    """A network of PyTorch as a `Model`. It answers with logits, or with one number a row in a regression."""

    def __init__(self, network: Network, stated: Declared) -> None:
        import torch

        self.network, self.stated = network, stated
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        network.to(self.device)
        self._is_image = len(stated.interface.get("shape") or ()) == 3
        if self._is_image:
            network.to(memory_format=torch.channels_last)  # convolutions on a CPU take half the time
        evaluating(network)
        self._inference = Inference(network, self.device)
        weights = [weight for weight in network.parameters() if weight.is_floating_point()]
        self._dtype = weights[0].dtype if weights else torch.float32
        self._info = stated.info(stated.classes or self._counted())

    @property
    def info(self) -> Info:
        """What it is."""
        return self._info

    @property
    def capabilities(self) -> frozenset[Capability]:
        """Logits and gradients; the layer before the last where the network is not compiled; retraining with a recipe."""
        known = (
            {Capability.VALUES}
            if self._info.is_regression
            else {Capability.LABELS, Capability.SCORES, Capability.LOGITS}
        )
        known |= set() if self._info.is_regression else {Capability.GRADIENTS}
        known |= {Capability.PENULTIMATE} if self._last_layer() is not None else set()
        return frozenset(known | ({Capability.RETRAIN} if self.stated.recipe else set()))

    def ask(self, wanted: Capability, batch: Batch) -> Any:  # Any: checked by `Predictor`
        """What the network says of each row."""
        import numpy as np
        import torch

        if wanted is Capability.PENULTIMATE:
            return self._before_last(batch)
        with torch.no_grad():
            said = (self._said(self._tensor(part), self._inference) for part in self._parts(batch))
            logits = np.concatenate([part.double().cpu().numpy() for part in said])
        if wanted is Capability.VALUES:
            return logits[:, 0] if logits.shape[1] == 1 else logits
        if wanted is Capability.LABELS:
            return largest(logits, len(self._info.classes))
        return logits if wanted is Capability.LOGITS else softmax(logits)

    def slope(self, batch: Batch, target: Labels, loss: Loss) -> Slope:
        """Logits and the gradient of each row's loss, summed over no rows: row i depends on row i only."""
        import numpy as np
        import torch

        logits, gradients = [], []
        places = torch.as_tensor(np.asarray(target, np.int64), device=self.device)
        for start in range(0, len(batch), CHUNK_ROWS):
            part = self._tensor(batch[start : start + CHUNK_ROWS]).requires_grad_()
            with torch.enable_grad():
                said = self._said(part)
                found = _gradient(torch, said, places[start : start + CHUNK_ROWS], loss, part)
            logits.append(said.detach().double().cpu().numpy())
            gradients.append(found.double().cpu().numpy().reshape(len(part), -1))
        return Slope(np.concatenate(logits), np.concatenate(gradients))

    def trainer(self) -> Trainer:
        """Trains networks of the same shape from fresh weights by the declared recipe."""
        recipe = self.stated.recipe
        assert recipe is not None  # the capability says so
        return Fitter(self, recipe)

    def _counted(self) -> tuple[int, ...]:
        """Classes by number, where nobody named them: as many as the network answers with for a row of zeros."""
        import numpy as np

        if self.stated.task == "regression":
            return ()
        size = (
            int(np.prod(self.stated.info(()).shape))
            if self.stated.interface.get("shape")
            else len(self.stated.features)
        )
        if not size:
            raise Undecided("the classes of the model are not known", "neither `classes` nor `shape` is declared")
        return tuple(range(self._forward(np.zeros((1, size))).shape[-1]))

    def _parts(self, batch: Batch) -> Iterator[Batch]:
        return (batch[start : start + CHUNK_ROWS] for start in range(0, len(batch), CHUNK_ROWS))

    def _tensor(self, batch: Batch) -> Tensor:
        import numpy as np
        import torch

        shape = tuple(self.stated.interface.get("shape") or ())
        try:
            rows = np.asarray(batch, np.float64).reshape(len(batch), *(shape or (-1,)))
        except ValueError as error:
            raise Undecided(
                "the rows do not fit the model", str(error)[:200], "declare the `shape` of a row"
            ) from error
        tensor = torch.as_tensor(rows, dtype=self._dtype, device=self.device)
        return tensor.contiguous(memory_format=torch.channels_last) if self._is_image else tensor

    def _forward(self, batch: Batch) -> Tensor:
        return self._said(self._tensor(batch))

    def _said(self, rows: Tensor, network: Network | None = None) -> Tensor:
        try:
            said = (network or self.network)(rows)
        except Exception as error:  # a network of the user's own code may raise anything
            last_line = str(error).strip().split("\n")[-1]
            why = f"{type(error).__name__}: {last_line}"[:200]
            raise Undecided("the model refuses the rows", why, "compare `shape` and the declared features") from error
        if not hasattr(said, "reshape") or said.shape[:1] != rows.shape[:1]:
            raise Undecided("the model answers with something else than numbers", f"for {len(rows)} rows")
        return said.reshape(len(rows), -1)

    def _last_layer(self) -> Network | None:
        import torch

        layers = [layer for layer in self.network.modules() if isinstance(layer, torch.nn.Linear)]
        return layers[-1] if layers else None

    def _before_last(self, batch: Batch) -> Floats:
        import numpy as np
        import torch

        seen: list[Floats] = []
        layer = self._last_layer()
        assert layer is not None  # the capability says so
        hook = layer.register_forward_pre_hook(lambda module, given: seen.append(given[0].double().cpu().numpy()))
        try:
            with torch.no_grad():
                for part in self._parts(batch):
                    self._forward(part)
        finally:
            hook.remove()
        return np.concatenate(seen).reshape(len(batch), -1)


def _gradient(torch: Any, said: Tensor, target: Tensor, loss: Loss, rows: Tensor) -> Tensor:  # Any: the module
    """The gradient of each row's loss by the row."""
    try:
        (found,) = torch.autograd.grad(_losses(torch, said, target, loss).sum(), rows)
    except RuntimeError as error:
        why = str(error).strip().split("\n")[0][:200]
        raise Undecided("the model gives no gradients", why, "ask no more of it than labels and scores") from error
    return found


def _losses(torch: Any, logits: Tensor, target: Tensor, loss: Loss) -> Tensor:  # Any: the module
    """The loss of each row, shape (n,)."""
    if loss is Loss.CROSS_ENTROPY:
        return torch.nn.functional.cross_entropy(logits, target, reduction="none")
    mine = logits.gather(1, target[:, None])[:, 0]
    rival = logits.scatter(1, target[:, None], float("-inf")).amax(dim=1)
    if loss is Loss.MARGIN:
        return rival - mine
    ordered = logits.sort(dim=1, descending=True).values
    third = ordered[:, 2] if logits.shape[1] > 2 else ordered[:, 1]
    return (rival - mine) / (ordered[:, 0] - third + 1e-12)
