"""Built-in loaders by the format that a scan found: from bytes that were judged clean to the object in them.

A loader is given a file over exactly those bytes and the lists that judged them, and never a path. Libraries are imported here, when
a file of theirs is loaded. Tensors come to the CPU.

| format | comes back as |
|---|---|
| pickle, joblib, compressed or not | what was pickled |
| npy, npz | an array; a dict of arrays by name |
| torch zip and legacy | what was saved: tensors alone through `weights_only`, else through the listed unpickler |
| TorchScript | a script module |
| safetensors | a dict of tensors: of torch where the file says `pt` or NumPy has no such dtype, else of NumPy |
| skops | the estimator |
"""

from __future__ import annotations

import io
import pickle
import zipfile
from collections.abc import Callable, Mapping
from typing import IO, Any

from assay.app.held import Held
from assay.checks.model_file.lists import Lists
from assay.checks.model_file.unpickler import ListedNames, ListedUnpickler, listed_pickle_module
from assay.core.errors import MalformedInput, UsageError
from assay.formats.budget import Budget
from assay.formats.compressed import unpacked
from assay.formats.npy_file import MAX_HEADER_BYTES, read_npy_header
from assay.formats.safetensors_file import check_safetensors
from assay.predictors.scikit_learn import load_skops

Loaded = Any  # whatever the file holds
Loader = Callable[[IO[bytes], Lists], Loaded]


def load_as(format: str, held: Held, lists: Lists) -> Loaded:
    """The object in a file that a scan called clean.

    Raises:
        UsageError: there is no built-in loader for the format.
        MissingExtra: the library that reads it is not installed.
        Exception: whatever the library raises of a file that it cannot load.
    """
    plain, _, compression = format.partition("+")
    loader = _LOADERS.get(plain)
    if loader is None or "+" in compression:
        raise UsageError(f"{held.name} is clean, but there is no built-in loader for {format or 'its format'}",
                         f"there are loaders for {', '.join(_LOADERS)}", "pass `loader=` to read the copy that was judged")  # fmt: skip
    with held.opened() as file:
        return loader(_inflated(file.read(), compression) if compression else file, lists)


def _inflated(data: bytes, compression: str) -> IO[bytes]:
    """What the scan read inside; it called that clean, so it is whole and nothing follows it."""
    found = unpacked(data, compression, Budget().room(len(data)))
    if found.problem:
        raise MalformedInput(f"{compression} data cannot be read", found.problem[1])
    return io.BytesIO(found.data[:])


def _pickle(file: IO[bytes], lists: Lists) -> Loaded:
    return ListedUnpickler(file, lists).load()


def _joblib(file: IO[bytes], lists: Lists) -> Loaded:
    """Through joblib's own unpickler, which reads raw arrays and asks the same `find_class` for arrays of objects."""
    from joblib.numpy_pickle import NumpyUnpickler

    class Unpickler(ListedNames, NumpyUnpickler):  # type: ignore[misc]  # joblib has no types
        """joblib's, with listed names."""

    Unpickler.lists = lists
    made: Any = Unpickler  # its constructor is joblib's, not that of the mix-in
    return made("", file, ensure_native_byte_order=True).load()


def _npy(file: IO[bytes], lists: Lists) -> Loaded:
    import numpy as np

    header = read_npy_header(file.read(MAX_HEADER_BYTES + 12))
    file.seek(header.start if header.has_objects else 0)
    return ListedUnpickler(file, lists).load() if header.has_objects else np.load(file, allow_pickle=False)


def _npz(file: IO[bytes], lists: Lists) -> Loaded:
    with zipfile.ZipFile(file) as archive:
        return {name.removesuffix(".npy"): _npy(io.BytesIO(archive.read(name)), lists) for name in archive.namelist()}


def _torch(file: IO[bytes], lists: Lists) -> Loaded:
    import torch

    try:
        return torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:  # more than tensors: whole modules, or other libraries' objects beside them
        file.seek(0)
        return torch.load(file, map_location="cpu", weights_only=False, pickle_module=listed_pickle_module(lists))


def _script(file: IO[bytes], lists: Lists) -> Loaded:
    import torch

    return torch.jit.load(file, map_location="cpu")  # type: ignore[no-untyped-call]


def _safetensors(file: IO[bytes], lists: Lists) -> Loaded:
    data = file.read()
    if check_safetensors(io.BytesIO(data), len(data)).metadata.get("format") == "pt":
        return _torch_tensors(data)
    from safetensors.numpy import load

    try:
        return load(data)
    except (KeyError, TypeError):  # a dtype that NumPy does not have
        return _torch_tensors(data)


def _torch_tensors(data: bytes) -> Loaded:
    from safetensors.torch import load

    return load(data)


def _skops(file: IO[bytes], lists: Lists) -> Loaded:
    return load_skops(file.read())


_LOADERS: Mapping[str, Loader] = {
    "pickle": _pickle, "joblib": _joblib, "npy": _npy, "npz": _npz, "torch-zip": _torch, "torch-legacy": _torch, "torchscript": _script,
    "safetensors": _safetensors, "skops": _skops,
}  # fmt: skip
