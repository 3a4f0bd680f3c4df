"""The rows of datasets as a model wants them: features in its order, labels as its classes, groups, and an id for each row.

A row is identified by its content, as RFC 8785 JSON of all its columns, so neither its place in a file nor the spelling of a
number matters.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from assay.core.assets import Asset
from assay.core.canonical import Json, canonical
from assay.core.checks import Context
from assay.core.digests import Digest
from assay.core.errors import MalformedInput, Undecided
from assay.formats.tabular import MAX_FILE_BYTES, Column, Rows, combined, looks_like_rows, read_rows
from assay.predictors.predictor import Info
from assay.statistics.tables import row_ids

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from assay.predictors.predictor import Batch, Floats, Labels

DEFAULT_TARGET = "label"
UNKNOWN_CLASS = -1


@dataclass(frozen=True)
class EvaluationRows:
    """n rows ready to be asked.

    `features` (n, d) is float64, or object where a column holds text; `is_number` (d,) tells the columns apart. `target` (n,)
    holds places in the model's classes, -1 for a class that the model does not know. `groups` holds each sensitive column
    as text. `ids` (n, 32) are row ids. `positive` is the place of the positive class, None where there is none. `values` (n,)
    holds the true numbers of a regression, whose `target` is -1 throughout; None for a classification.
    """

    features: Batch = field(repr=False)
    names: tuple[str, ...]
    is_number: tuple[bool, ...]
    target: Labels = field(repr=False)
    groups: Mapping[str, tuple[str, ...]] = field(repr=False)
    ids: npt.NDArray[np.uint8] = field(repr=False)
    positive: int | None
    immutable: tuple[str, ...]
    dataset: Digest
    values: Floats | None = field(default=None, repr=False)

    @property
    def n(self) -> int:
        """How many rows."""
        return len(self.target)

    @property
    def has_one_class(self) -> bool:
        """Whether all rows have the same class, so that a constant answer could be right on all of them."""
        return len(set(self.target.tolist())) < 2

    @property
    def missing(self) -> int:
        """Cells of the features that hold no value."""
        return sum(_absent(self.features[:, place]) for place in range(self.features.shape[1]))

    def subset(self, keep: npt.NDArray[Any]) -> EvaluationRows:
        """The rows that a mask or a list of places picks, in that order."""
        import numpy as np

        places = np.arange(self.n)[keep].tolist()
        groups = {name: tuple(values[place] for place in places) for name, values in self.groups.items()}
        return EvaluationRows(
            self.features[keep], self.names, self.is_number, self.target[keep], groups, self.ids[keep],
            self.positive, self.immutable, self.dataset, None if self.values is None else self.values[keep],
        )  # fmt: skip

    def drawn(self, limit: int, seed: int) -> EvaluationRows:
        """At most `limit` rows, drawn without replacement and left in their order."""
        import numpy as np

        if self.n <= limit:
            return self
        return self.subset(np.sort(np.random.default_rng(seed).choice(self.n, limit, replace=False)))


def evaluation_rows(info: Info, datasets: Sequence[Asset], context: Context) -> EvaluationRows:
    """All rows of one or several datasets, stacked.

    Raises:
        MalformedInput: a file that cannot be read.
        Undecided: no row, or a column that the model or the declaration names is not there or has holes.
    """

    declared = _declaration(datasets)
    rows = combined([part for dataset in datasets for part in _files(dataset, context)])
    if rows.n == 0:
        raise Undecided("there are no rows to evaluate on", "the data files hold none")
    target_name = str(declared.get("target", DEFAULT_TARGET))
    names = info.features or tuple(name for name in rows.columns if name != target_name)
    features, shown, is_number = _matrix(rows, names)
    if info.divisor != 1:
        features = features / info.divisor
    sensitive = tuple(map(str, declared.get("sensitive") or ()))
    positive = _positive(declared, info)
    return EvaluationRows(
        features=features,
        names=shown,
        is_number=is_number,
        target=_target(rows, target_name, info),
        groups={name: tuple(map(_text, _column(rows, name))) for name in sensitive},
        ids=row_ids(list(canonical_rows(rows))),
        positive=positive,
        immutable=(*info.immutable, *sensitive, *map(str, declared.get("immutable") or ())),
        dataset=datasets[0].digest,
        values=_values(rows, target_name) if info.is_regression else None,
    )


def canonical_rows(rows: Rows) -> Iterator[bytes]:
    """Each row as the RFC 8785 bytes of `{column: value}`; a column of vectors stands as the SHA-256 of its bytes."""
    names = sorted(rows.columns, key=lambda name: name.encode("utf-16-be"))
    fragments = [_fragments(name, rows.columns[name]) for name in names]
    for parts in zip(*fragments, strict=True):
        yield b"{" + b",".join(parts) + b"}"


def _fragments(name: str, column: Column) -> list[bytes]:
    """`"name":value` for every cell; equal cells are written once."""
    key = canonical(name) + b":"
    if getattr(column, "ndim", 1) > 1:
        return [key + canonical(hashlib.sha256(row.tobytes()).hexdigest()) for row in column]
    values = column.tolist() if hasattr(column, "tolist") else column
    written: dict[Json, bytes] = {}
    found = []
    for value in values:
        known = written.get(value)
        if known is None:
            finite = not isinstance(value, float) or math.isfinite(value)
            known = written[value] = key + (canonical(value) if finite else b"null")
        found.append(known)
    return found


def _files(dataset: Asset, context: Context) -> Iterator[Rows]:
    for entry in dataset.manifest.entries:
        if looks_like_rows(entry.path):
            # NOTE: read(n) takes n bytes of memory at once, however short the file is; so ask for what is there.
            with context.open(dataset, entry.path) as handle:
                yield read_rows(handle.read(min(entry.size, MAX_FILE_BYTES) + 1), entry.path)


def _declaration(datasets: Sequence[Asset]) -> Mapping[str, Json]:
    """What is declared of the datasets, which must agree on target and positive class."""
    first = datasets[0].declared
    for other in datasets[1:]:
        if any(first.get(key) != other.declared.get(key) for key in ("target", "positive", "sensitive")):
            raise Undecided("the datasets declare different things", f"target or groups of {datasets[0]} and {other}")
    return first


def _column(rows: Rows, name: str) -> list[Json]:
    if name not in rows.columns:
        raise Undecided(f"the data have no column {name!r}", f"they have {', '.join(list(rows.columns)[:12])}")
    column = rows.columns[name]
    return list(column.tolist() if hasattr(column, "tolist") else column)


def _matrix(rows: Rows, names: Sequence[str]) -> tuple[Batch, tuple[str, ...], tuple[bool, ...]]:
    """The columns side by side, their names and which of them are numbers; vectors become a column each."""
    import numpy as np

    parts: list[npt.NDArray[Any]] = []
    shown: list[str] = []
    is_number: list[bool] = []
    for name in names:
        if name not in rows.columns:
            raise Undecided(f"the data have no feature {name!r}", f"they have {', '.join(list(rows.columns)[:12])}")
        column = rows.columns[name]
        number = hasattr(column, "dtype") or all(isinstance(value, float) for value in column)
        part = np.asarray(column, dtype=np.float64 if number else object)
        if number and np.isinf(part).any():
            raise MalformedInput(f"feature {name!r} holds an infinite number", "")
        width = part.shape[1] if part.ndim > 1 else 1
        parts.append(part.reshape(rows.n, width))
        shown += [name] if part.ndim == 1 else [f"{name}[{place}]" for place in range(width)]
        is_number += [number] * width
    if not parts:
        raise Undecided("the data have no features", "there is no column apart from the target")
    dtype = np.float64 if all(is_number) else object
    return np.concatenate([part.astype(dtype) for part in parts], axis=1), tuple(shown), tuple(is_number)


def _target(rows: Rows, name: str, info: Info) -> Labels:
    import numpy as np

    if info.is_regression:
        return np.full(rows.n, UNKNOWN_CLASS, np.int32)
    return np.array(_places(_column(rows, name), info.classes, name), np.int32)


def _values(rows: Rows, name: str) -> Floats:
    """The true numbers of a regression, shape (n,)."""
    import numpy as np

    try:
        found = np.asarray(_column(rows, name), np.float64)
    except (TypeError, ValueError) as error:
        raise Undecided(f"the target {name!r} holds no numbers", str(error)[:200], "declare its task") from error
    if not np.isfinite(found).all():
        raise Undecided(f"the target {name!r} has holes", f"{int((~np.isfinite(found)).sum())} rows have no number")
    return found


def _places(values: list[Json], classes: Sequence[Json], name: str) -> list[int]:
    """The place of each label among the classes; numbers compare as numbers, else as text."""
    absent = sum(value is None or value != value for value in values)
    if absent:
        raise Undecided(f"the target {name!r} has holes", f"{absent} of {len(values)} rows have no label")
    places = {_key(value): place for place, value in enumerate(classes)}
    found = [places.get(_key(value), UNKNOWN_CLASS) for value in values]
    if max(found, default=0) == UNKNOWN_CLASS:
        why = f"{name!r} holds {', '.join(sorted(set(map(_text, values)))[:6])}; the model has {', '.join(map(str, classes[:6]))}"
        raise Undecided("no label of the data is a class of the model", why)
    return found


def _positive(declared: Mapping[str, Json], info: Info) -> int | None:
    """The place of the declared positive class, else the second of two."""
    if (stated := declared.get("positive")) is None:
        return 1 if len(info.classes) == 2 else None
    places = {_key(value): place for place, value in enumerate(info.classes)}
    if _key(stated) not in places:
        raise Undecided(f"the positive class {stated!r} is none of the model's", f"it has {list(info.classes)[:12]}")
    return places[_key(stated)]


def _key(value: Json) -> Json:
    """What makes two spellings of a class equal: 1, 1.0, True and "1" are one class."""
    if isinstance(value, (bool, int, float)):
        return float(value)
    try:
        return float(value)
    except ValueError:
        return value


def _text(value: Json) -> str:
    if value is None or value != value:
        return "missing"
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def _absent(column: Batch) -> int:
    return sum(value is None or value != value for value in column.tolist())
