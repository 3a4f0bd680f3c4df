"""The development data of the evaluation benchmarks, read with plain numpy: not part of the project, named by --data."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import numpy as np

from claims import HERE, Unmeasured


def evaluation_folder(stated: Path | None) -> Path:
    """The folder that was named, else the shared one beside the checkout.

    Raises:
        Unmeasured: there is none.
    """
    folder = stated or HERE.parent.parent / "shared" / "data" / "evaluation"
    if not folder.is_dir():
        raise Unmeasured(f"no data at {folder.name}: name the folder with --data")
    return folder


def idx(path: Path) -> Any:
    """An IDX file packed with gzip: two zero bytes, type, number of dimensions, big-endian sizes, bytes."""
    try:
        raw = gzip.decompress(path.read_bytes())
    except OSError as error:
        raise Unmeasured(f"{path.name} cannot be read: {error}") from error
    shape = [int.from_bytes(raw[4 + 4 * place : 8 + 4 * place], "big") for place in range(raw[3])]
    return np.frombuffer(raw, np.uint8, offset=4 + 4 * raw[3]).reshape(shape)


def mnist(folder: Path) -> tuple[Any, Any]:
    """Images (10,000, 1, 28, 28) in 0..1 as float32, and labels (10,000,)."""
    images = idx(folder / "mnist-t10k-images-idx3-ubyte.gz").astype("float32")[:, None] / 255.0
    return images, idx(folder / "mnist-t10k-labels-idx1-ubyte.gz").astype("int64")
