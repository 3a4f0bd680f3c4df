"""The two sides of every question about membership: rows that a model was trained on, and rows that it was not."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from assay.core.checks import Context
from assay.core.errors import Undecided
from assay.predictors.rows import EvaluationRows
from assay.predictors.subject import Subject, training_rows

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from assay.predictors.predictor import Batch, Flags, Labels

    RowIds = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Sides:
    """Members and others with known labels, and how many test rows turned out to be both. Stacked, members come first."""

    members: EvaluationRows = field(repr=False)
    others: EvaluationRows = field(repr=False)
    shared: int

    @property
    def n(self) -> int:
        """Rows of both sides."""
        return self.members.n + self.others.n

    @cached_property
    def features(self) -> Batch:
        """All rows, shape (n, d)."""
        import numpy as np

        return np.concatenate([self.members.features, self.others.features])

    @cached_property
    def target(self) -> Labels:
        """The true class of all rows, shape (n,)."""
        import numpy as np

        return np.concatenate([self.members.target, self.others.target])

    @cached_property
    def ids(self) -> RowIds:
        """Row ids, shape (n, 32)."""
        import numpy as np

        return np.concatenate([self.members.ids, self.others.ids])

    @property
    def is_member(self) -> Flags:
        """True for the members, shape (n,)."""
        import numpy as np

        return np.arange(self.n) < self.members.n

    @property
    def is_number(self) -> tuple[bool, ...]:
        """Which columns are numbers on both sides."""
        return tuple(a and b for a, b in zip(self.members.is_number, self.others.is_number, strict=True))


def sides(subject: Subject, context: Context, limit: int) -> Sides:
    """The rows of `trained_on` and those of `tested_on` that are not among them, at most `limit` of each, drawn with the seed.

    Rows of a class that the model does not know are left out.

    Raises:
        Undecided: no training data, other columns, or a regression.
        MalformedInput: broken data.
    """
    import numpy as np

    if subject.predictor.info.is_regression:
        raise Undecided("no membership attack fits this model", "it is a regression; these attacks are on classifiers")
    members, others = training_rows(subject.predictor, context), subject.rows
    if members is None:
        raise Undecided("no training data", "nobody says which rows the model learnt from",
                        "declare a dataset as `trained_on` of the model")  # fmt: skip
    if members.names != others.names:
        raise Undecided("training and test data have other columns", f"{members.names[:5]} and {others.names[:5]}")
    known = {row.tobytes() for row in members.ids}
    fresh = np.array([row.tobytes() not in known for row in others.ids], dtype=bool)
    rng = np.random.default_rng(context.seed)
    return Sides(drawn(members, limit, rng), drawn(others.subset(fresh), limit, rng), int((~fresh).sum()))


def drawn(rows: EvaluationRows, limit: int, rng: np.random.Generator) -> EvaluationRows:
    """At most `limit` rows of known classes, in their order."""
    import numpy as np

    labelled = rows.subset(rows.target >= 0)
    if labelled.n <= limit:
        return labelled
    return labelled.subset(np.sort(rng.choice(labelled.n, limit, replace=False)))
