"""Imports skops without torch, which it would pull in where torch is installed and which nothing of it needs."""

from __future__ import annotations

import importlib
import sys
from types import ModuleType

_DOOR = "sklearn.externals.array_api_compat.torch"


def import_skops() -> ModuleType:
    """The module `skops.io`.

    NOTE: it walks through every module of scikit-learn to list the estimators, past one that imports torch: 3 s of 7.
    While that door is shut it says ImportError, which the walk passes over; a torch that was imported stays so.

    Raises:
        ImportError: skops or scikit-learn is not installed.
    """
    shut = "torch" not in sys.modules and _DOOR not in sys.modules
    if shut:
        sys.modules[_DOOR] = None  # type: ignore[assignment] # as importlib documents it
    try:
        return importlib.import_module("skops.io")
    finally:
        if shut:
            del sys.modules[_DOOR]
