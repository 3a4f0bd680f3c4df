"""The development data of the evaluation benchmarks, read with plain numpy: not part of the project, named by --data.

Also a context in memory, in which a benchmark runs a whole check on CSV as a user has it and on a model that it just trained.
"""

from __future__ import annotations

import csv
import gzip
import io
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from assay.core.assets import Asset, Entry, Kind, Manifest
from assay.core.checks import Check
from assay.core.digests import Digest, sha256
from assay.core.outcomes import Outcome
from assay.predictors import subject
from assay.predictors.predictor import Predictor
from claims import HERE, Claim, Unmeasured, options, show


def evaluation_folder(stated: Path | None) -> Path:
    """The folder that was named, else the shared one beside the checkout.

    Raises:
        Unmeasured: there is none.
    """
    folder = stated or HERE.parent.parent / "shared" / "data" / "evaluation"
    if not folder.is_dir():
        raise Unmeasured(f"no data at {folder.name}: name the folder with --data")
    return folder


def shown(text: str | None, claims: Callable[[Path, int, bool], Iterable[Claim]]) -> int:
    """Measures the claims that a folder, a seed and peers (or none) give, and shows them; 0 if all are met, else 1."""
    parser = options(text)
    parser.add_argument("--peers", default="all", choices=["all", "none"], help="none: no peer is installed")
    asked = parser.parse_args()
    found = list(claims(evaluation_folder(asked.data), asked.seed, asked.peers == "all"))
    show(found)
    return 0 if all(claim.met for claim in found) else 1


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


@dataclass(frozen=True)
class Bench:
    """A context over files in memory."""

    files: Mapping[Digest, Mapping[str, bytes]]
    roles: Mapping[str, tuple[Asset, ...]]
    seed: int
    options: Mapping[str, Any]

    def open(self, asset: Asset, path: str) -> io.BytesIO:
        return io.BytesIO(self.files[asset.digest][path])

    def folder(self, asset: Asset) -> Path:
        raise AssertionError("no folder is needed")

    def related(self, role: str) -> tuple[Asset, ...]:
        return self.roles.get(role, ())


def outcomes(check: Check, target: Predictor, data: Mapping[str, bytes], of_data: Mapping[str, Any], seed: int,
             **changed: Any) -> Iterator[Outcome]:  # fmt: skip
    """What a check yields for the datasets by role, as CSV; the model is handed over in place of its file."""
    files: dict[Digest, Mapping[str, bytes]] = {}
    roles = {}
    for role, table in data.items():
        held = {f"{role}.csv": table}
        one = asset(Kind.DATASET, held, of_data)
        files[one.digest], roles[role] = held, (one,)
    context = Bench(files, roles, seed, {**check.defaults, **changed})
    loader, subject.load_predictor = subject.load_predictor, lambda asset, context: target
    try:
        yield from check.body(asset(Kind.MODEL, {"model": b""}, {}), context)
    finally:
        subject.load_predictor = loader


def asset(kind: Kind, files: Mapping[str, bytes], declared: Mapping[str, Any]) -> Asset:
    """An asset of these files."""
    entries = [Entry(path, sha256(data), len(data)) for path, data in files.items()]
    return Asset(kind.value, 1, Manifest.of(kind, entries), declared)


def csv_of(names: Iterable[str], rows: Iterable[Iterable[Any]]) -> bytes:
    """A table as the bytes of a CSV file."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(names)
    writer.writerows(rows)
    return text.getvalue().encode()
