"""A Python function as a model, named `python:MODULE:FUNCTION`, or handed over in a program.

It gets a batch, shape (n, d), and answers with labels (n,), with scores (n, classes), or with values (n,) in a regression. Code from a
project runs only in a worker process, like every model.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from assay.core.errors import Undecided, UsageError
from assay.predictors.declared import Declared
from assay.predictors.predictor import Capability, Info, Loss, Slope, Trainer, largest

if TYPE_CHECKING:
    from assay.predictors.predictor import Batch, Labels

PREFIX = "python:"


def named_function(name: str, folder: PurePath | None) -> Callable[..., Any]:
    """The function that `python:MODULE:FUNCTION` names, from `folder` first and installed packages next.

    Raises:
        UsageError: the name has another form, or there is no such function.
    """
    parts = name.removeprefix(PREFIX).split(":")
    if len(parts) != 2 or not all(part.replace(".", "_").isidentifier() for part in parts):
        raise UsageError(f"{name!r:.100} names no function", "the form is python:MODULE:FUNCTION")
    if folder is not None and str(folder) not in sys.path:
        sys.path.insert(0, str(folder))  # this process is a worker, and it runs one check
    try:
        found = getattr(importlib.import_module(parts[0]), parts[1])
    except Exception as error:  # the module is the user's code and may raise anything
        why = f"{type(error).__name__}: {error}"[:200]
        raise UsageError(
            f"there is no function {name!r:.100}", why, "declare the code that holds it as `built_by`"
        ) from error
    if not callable(found):
        raise UsageError(f"{name!r:.100} is no function", f"it is a {type(found).__name__}")
    function: Callable[..., Any] = found
    return function


class FunctionModel:
    """A function as a `Model`; what it answers with is seen from `output` or the first answer."""

    def __init__(self, function: Callable[[Any], Any], stated: Declared) -> None:
        self._function = function
        if stated.classes is None and stated.task != "regression":
            raise Undecided("the classes of the model are not known", "a function does not say them",
                            "declare `classes` in `interface`")  # fmt: skip
        self._info = stated.info(stated.classes or ())
        self._output = str(stated.interface.get("output", "labels"))

    @property
    def info(self) -> Info:
        """What it is."""
        return self._info

    @property
    def capabilities(self) -> frozenset[Capability]:
        """Values, or labels, with scores where `output` says so."""
        if self._info.is_regression:
            return frozenset({Capability.VALUES})
        return frozenset({Capability.LABELS, Capability.SCORES} if self._output == "scores" else {Capability.LABELS})

    def ask(self, wanted: Capability, batch: Batch) -> Any:  # Any: checked by `Predictor`
        """What the function answers."""
        import numpy as np

        try:
            found = np.asarray(self._function(batch))
        except Exception as error:  # the user's code may raise anything; the check says what
            raise Undecided("the model refuses the rows", f"{type(error).__name__}: {error}"[:200]) from error
        if self._output == "scores" and wanted is Capability.LABELS and found.ndim == 2:
            return largest(np.asarray(found, np.float64), len(self._info.classes))
        if wanted is not Capability.LABELS or found.ndim != 1 or (found.dtype.kind == "f" and np.isnan(found).any()):
            return found
        places = {str(value): place for place, value in enumerate(self._info.classes)}
        return [places.get(str(value), -1) for value in found.tolist()]

    def slope(self, batch: Batch, target: Labels, loss: Loss) -> Slope:
        """A function shows no gradients."""
        raise Undecided("the model gives no gradients", "a function shows none", reason="capability")

    def trainer(self) -> Trainer:
        """A function does not say how it was made."""
        raise Undecided("the model cannot be trained again", "a function is no recipe", reason="capability")
