"""Networks of PyTorch trained again from fresh weights, one after the other or side by side.

Small networks cost more in calls than in sums; so several of one shape are trained as one batched network, each on rows of its own.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from assay.predictors.declared import Recipe
from assay.predictors.predictor import Predictor, Trainer
from assay.predictors.torch_inference import has_convolutions

if TYPE_CHECKING:
    from assay.predictors.predictor import Batch, Flags, Labels
    from assay.predictors.torch_model import Torch

    Tensor = Any  # torch's types are not complete enough for strict checking
    Network = Any

MOST_WEIGHTS = 10_000_000
"""Of all networks that are trained side by side."""


class Fitter(Trainer):
    """The shape of a network and the recipe by which it is trained: Adam over shuffled batches."""

    def __init__(self, model: Torch, recipe: Recipe) -> None:
        self._model, self._recipe = model, recipe

    def train(self, features: Batch, target: Labels, seed: int) -> Predictor:
        """A network with fresh weights drawn from `seed`, fitted by the recipe."""
        import torch

        fresh, generator = self._fresh(seed)
        rows, truth = self._rows(fresh, features, target)
        with torch.random.fork_rng():
            torch.manual_seed(seed)  # for layers that draw, such as dropout
            evaluating(fresh.network, False)
            adam = self._adam(fresh.network.parameters())
            for _ in range(self._recipe.epochs):
                order: Tensor = torch.randperm(len(rows), generator=generator).to(fresh.device)
                for picked in order.split(self._recipe.batch):
                    adam.zero_grad(set_to_none=True)
                    _loss(fresh, fresh._said(rows[picked]), truth[picked]).backward()
                    adam.step()
        evaluating(fresh.network)
        return Predictor(fresh)

    def train_each(self, features: Batch, target: Labels, parts: Flags, seed: int) -> Iterator[Predictor]:
        """As many networks as there are parts; those with equally many rows side by side where that is possible."""
        import numpy as np

        sizes, together = parts.sum(axis=1), self._together(len(parts))
        done: dict[int, Predictor] = {}
        for place, part in enumerate(parts):
            if together and place not in done:
                alike = np.flatnonzero(sizes == sizes[place]).tolist()
                done |= self._side_by_side(features, target, parts, alike, seed)
            yield done.pop(place) if place in done else self.train(features[part], target[part], seed + place)

    def _together(self, count: int) -> bool:
        """Whether `count` networks can be one: not if layers keep statistics, are compiled, or are costly as a group."""
        import torch

        network = self._model.network
        compiled = isinstance(network, (torch.jit.ScriptModule, torch.fx.GraphModule))
        weights = sum(weight.numel() for weight in network.parameters())
        fits = count > 1 and 0 < weights * count <= MOST_WEIGHTS
        return fits and not (compiled or any(True for _ in network.buffers()) or has_convolutions(network))

    def _side_by_side(
        self, features: Batch, target: Labels, parts: Flags, alike: list[int], seed: int
    ) -> dict[int, Predictor]:
        """The networks of parts with equally many rows, by place; none if torch cannot batch what the network does."""
        import numpy as np
        import torch

        fresh, generators = zip(*(self._fresh(seed + place) for place in alike), strict=True)
        rows, truth = self._rows(fresh[0], features, target)
        inside = torch.as_tensor(np.stack([np.flatnonzero(parts[place]) for place in alike]), device=rows.device)
        weights, _ = torch.func.stack_module_state([one.network for one in fresh])
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            evaluating(fresh[0].network, False)
            adam = self._adam(weights.values())
            try:
                for _ in range(self._recipe.epochs):
                    order = torch.stack([torch.randperm(inside.shape[1], generator=one) for one in generators])
                    turns: Tensor = inside.gather(1, order.to(rows.device))
                    for picked in turns.split(self._recipe.batch, dim=1):
                        adam.zero_grad(set_to_none=True)
                        said = _all_said(fresh[0].network, weights, rows[picked]).flatten(0, 1)
                        (len(alike) * _loss(fresh[0], said, truth[picked].flatten())).backward()
                        adam.step()
            except RuntimeError:  # of vmap: the network asks for a number, or writes where others read
                return {}
        return {place: _given(one, weights, at) for at, (place, one) in enumerate(zip(alike, fresh, strict=True))}

    def _fresh(self, seed: int) -> tuple[Torch, Any]:  # Any: a torch generator
        """The network with new weights, and the generator that drew them, which goes on to shuffle."""
        import torch

        network = copy.deepcopy(self._model.network)
        generator = torch.Generator().manual_seed(seed)
        _renew(network, generator)
        return type(self._model)(network, self._model.stated), generator

    def _rows(self, fresh: Torch, features: Batch, target: Labels) -> tuple[Tensor, Tensor]:
        import numpy as np
        import torch

        truth = np.asarray(target, np.float64 if fresh.info.is_regression else np.int64)
        return fresh._tensor(features), torch.as_tensor(truth, device=fresh.device)

    def _adam(self, weights: Any) -> Any:  # Any: torch
        import torch

        return torch.optim.Adam(weights, lr=self._recipe.rate, weight_decay=self._recipe.decay, fused=True)


def evaluating(network: Network, on: bool = True) -> None:
    """Switches dropout and batch statistics off; a `torch.export` program has no such switch and is as it was exported."""
    try:
        network.train(not on)
    except NotImplementedError:
        return


def _loss(model: Torch, said: Tensor, truth: Tensor) -> Tensor:
    """The mean over rows: cross-entropy of logits (n, classes), squared error in a regression."""
    import torch

    if model.info.is_regression:
        return torch.nn.functional.mse_loss(said, truth.to(said.dtype).reshape(said.shape))
    return torch.nn.functional.cross_entropy(said.reshape(len(said), -1), truth)


def _all_said(network: Network, weights: dict[str, Tensor], rows: Tensor) -> Tensor:
    """What s networks of one shape, their weights stacked, say each of rows of its own: (s, n, ...) to (s, n, classes)."""
    import torch

    def one(own: dict[str, Tensor], batch: Tensor) -> Tensor:
        return torch.func.functional_call(network, own, (batch,))

    return torch.func.vmap(one, randomness="different")(weights, rows)


def _given(fresh: Torch, weights: dict[str, Tensor], at: int) -> Predictor:
    """The network with its part of the stacked weights."""
    import torch

    with torch.no_grad():
        for name, weight in fresh.network.named_parameters():
            weight.copy_(weights[name][at])
    evaluating(fresh.network)
    return Predictor(fresh)


def _renew(network: Network, generator: Any) -> None:  # Any: a torch generator
    """Draws new weights as torch's own layers do: uniform within 1/sqrt(fan-in); scales 1, shifts 0, statistics fresh.

    Source: PyTorch documentation, `torch.nn.Linear` and `torch.nn.Conv2d`, "Variables".
    """
    import torch

    fan_in = {
        name.rpartition(".")[0]: weight[0].numel() for name, weight in network.named_parameters() if weight.dim() > 1
    }
    with torch.no_grad():
        for name, weight in network.named_parameters():
            layer = name.rpartition(".")[0]
            if layer in fan_in:
                bound = max(1, fan_in[layer]) ** -0.5
                weight.copy_(torch.empty(weight.shape).uniform_(-bound, bound, generator=generator))
            else:
                weight.fill_(1.0 if name.endswith("weight") else 0.0)
        for name, buffer in network.named_buffers():
            if name.endswith(("running_mean", "num_batches_tracked")):
                buffer.zero_()
            elif name.endswith("running_var"):
                buffer.fill_(1)
