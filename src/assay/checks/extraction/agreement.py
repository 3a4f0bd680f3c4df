"""How often a copy answers like the original, on rows that the copying never asked about."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from assay.core.digests import sha256
from assay.core.outcomes import Outcome
from assay.predictors.rows import EvaluationRows
from assay.statistics.tables import outcome_table

if TYPE_CHECKING:
    import numpy as np

    from assay.predictors.predictor import Flags, Labels


LEAST_ROWS = 30


def complete(rows: EvaluationRows, limit: int, rng: np.random.Generator) -> EvaluationRows:
    """At most `limit` rows whose numbers have no holes, in random order; their labels do not matter."""
    import numpy as np

    numbers = np.flatnonzero(rows.is_number)
    whole = np.isfinite(rows.features[:, numbers].astype(np.float64)).all(axis=1)
    return rows.subset(rng.permutation(np.flatnonzero(whole))[:limit])


def most_common(labels: Labels) -> float:
    """The share of the most frequent label."""
    import numpy as np

    return float(np.unique(labels, return_counts=True)[1].max() / labels.size)


def measured_agreement(
    check: str, metric: str, rows: EvaluationRows, same: Flags, queries: int, *, common: float, threat: str
) -> Iterator[Outcome]:
    """The share of rows, shape (n,), on which copy and original agree, with its table. The lower, the harder to steal.

    `common` is the share of the original's most frequent answer: a copy that always says the same agrees on that many.
    """
    from assay.statistics.measurements import measured_share

    header = {"check": check, "dataset": rows.dataset, "queries": queries, "threat_model": threat}
    table = outcome_table(rows.ids, {"ok": same}, header)
    yield table
    about = f"{queries} queries; a constant copy agrees on {common:.3f}"
    yield measured_share(
        metric, int(same.sum()), rows.n, better="lower", about=about, table=sha256(table.data), threat_model=threat
    )
