"""Whether a few changed words flip the decision about a text.

Greedy by importance: each word is left out once to see how much the decision hangs on it; then the most important words are changed one
after the other, keeping the variant that lowers the margin most, until the label flips, `max_share` of the words are changed or the queries
are spent. With labels alone importance is not seen and words are tried in random order. A greedy search bounds robustness from above only:
a better one may find more.
Source: Jin et al., Is BERT really robust? (TextFooler), 2020, algorithm 1; Gao et al., 2018.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from assay.checks.robustness.ball import margins
from assay.checks.robustness.word_changes import replaced, variants, without, words_of
from assay.core.assets import Kind
from assay.core.checks import Context, check
from assay.core.digests import sha256
from assay.core.errors import Undecided
from assay.core.outcomes import Outcome, Progress, Skipped
from assay.predictors.predictor import Capability, Predictor, RowKind
from assay.predictors.rows import EvaluationRows
from assay.predictors.subject import Subject, of_model
from assay.statistics.tables import outcome_table

if TYPE_CHECKING:
    from assay.predictors.predictor import Flags, Floats, Ints


ID = "robustness.text"
KINDS = ("typo", "homoglyph", "invisible", "synonym")
PROBE_ROWS = 20


@check(
    ID, kinds={Kind.MODEL}, version=1, needs=("ml",), runs_model=True, tasks={"classification"}, inputs={"text"}, maps_to=("mitre-atlas:AML.T0043",),
    defaults={"rows": 200, "queries": 200, "max_share": 0.2, "kinds": ["typo", "homoglyph", "synonym"], "synonyms": {}},
)  # fmt: skip
@of_model(ID)
def text(examined: Subject, context: Context) -> Iterator[Outcome]:
    """Share of texts that stay right when a few words are mistyped or replaced.

    `text.robust_accuracy` is a share of all texts (0..1), of which at most `rows` are drawn with the seed. `kinds` picks from `typo`,
    `homoglyph` (letters that look alike), `invisible` (characters that show nothing) and `synonym`; `synonyms` maps a word to what may
    stand for it. At most `max_share` of the words of a text change (one at least), and at most `queries` queries are spent on it.

    Limits: words are changed one by one; no rewriting of sentences is tried.
    """
    if examined.predictor.info.row_kind is not RowKind.TEXT or examined.rows.features.shape[1] != 1:
        raise Undecided("rows are no texts", "declare `input: text` and one feature that holds it")
    kinds = [str(kind) for kind in context.options.get("kinds") or ()]
    if unknown := sorted(set(kinds) - set(KINDS)):
        raise Undecided("no such change of a word", f"{unknown[:5]}")
    rows = examined.rows.drawn(int(context.options.get("rows", 200)), context.seed)
    yield from _attacked(examined.predictor, rows, kinds, context)


@dataclass(frozen=True)
class Limits:
    """What an attack on one text may do."""

    queries: int
    max_share: float
    kinds: Sequence[str]
    synonyms: Mapping[str, Sequence[str]]


@dataclass(frozen=True)
class Change:
    """What became of one text: the last version tried, whether it fools the model, queries spent and words changed."""

    text: str
    fooled: bool
    queries: int
    words: int


def _attacked(predictor: Predictor, rows: EvaluationRows, kinds: list[str], context: Context) -> Iterator[Outcome]:
    import numpy as np

    queries, share = int(context.options.get("queries", 200)), float(context.options.get("max_share", 0.2))
    limits = Limits(queries, share, kinds, dict(context.options.get("synonyms") or {}))
    right = predictor.labels(rows.features) == rows.target
    changes: list[Change] = []
    places = np.flatnonzero(right)
    for count, place in enumerate(places):
        yield Progress(count, len(places), f"{sum(change.fooled for change in changes)} of {count} flipped")
        changes.append(
            change_words(
                predictor, str(rows.features[place, 0]), int(rows.target[place]), limits, context.seed + int(place)
            )
        )
    problems = _problems(predictor, rows, places, changes, limits, context.seed)
    for problem in problems:
        yield Skipped(f"validity of the attack in {ID}", problem)
    yield from _measured(rows, right, changes, limits, not problems, context)
    yield Progress(len(places), len(places), f"{predictor.rows_queried} texts queried")


def change_words(predictor: Predictor, given: str, truth: int, limits: Limits, seed: int) -> Change:
    """Attacks one text that the model gets right."""
    import numpy as np

    rng = np.random.default_rng(seed)
    spans = words_of(given)
    if not spans:
        return Change(given, False, 0, 0)
    asked = 0
    order = rng.permutation(len(spans))
    if Capability.SCORES in predictor.capabilities:
        order = np.argsort(_margins(predictor, [without(given, span) for span in spans[: limits.queries]], truth))
        asked = len(order)
    now, changed, allowed = given, 0, max(1, int(limits.max_share * len(spans)))
    lowest = np.inf
    for place in order:
        if changed >= allowed or asked >= limits.queries:
            break
        span = _moved(words_of(now), int(place), len(spans))
        if span is None:
            continue
        word = now[span[0] : span[1]]
        tried = [
            replaced(now, span, other) for other in dict.fromkeys(variants(word, limits.kinds, limits.synonyms, rng))
        ]
        tried = tried[: limits.queries - asked]
        if not tried:
            continue
        found = _margins(predictor, tried, truth)
        asked += len(tried)
        best = int(found.argmin())
        if found[best] < 0:
            return Change(tried[best], True, asked, changed + 1)
        if found[best] < lowest or Capability.SCORES not in predictor.capabilities:
            now, lowest, changed = tried[best], float(found[best]), changed + 1
    return Change(now, False, asked, changed)


def _moved(spans: list[tuple[int, int]], place: int, words: int) -> tuple[int, int] | None:
    """Where the word now stands; None if an earlier change split or joined words."""
    return spans[place] if len(spans) == words else None


def _margins(predictor: Predictor, texts: Sequence[str], truth: int) -> Floats:
    """Margins of texts, shape (n,); 1 or -1 where the model gives labels alone."""
    import numpy as np

    batch = np.array(texts, dtype=object).reshape(-1, 1)
    target = np.full(len(batch), truth, np.int32)
    if Capability.SCORES in predictor.capabilities:
        return margins(predictor, batch, target)
    return np.where(predictor.labels(batch) == target, 1.0, -1.0)


def _problems(
    predictor: Predictor,
    rows: EvaluationRows,
    places: Ints,
    changes: list[Change],
    limits: Limits,
    seed: int,
) -> list[str]:
    """Why the attack proves nothing: flips that do not hold, or no flip although every word may change."""
    import numpy as np

    if not len(places):
        return ["the model gets no text right, so there is nothing to attack"]
    problems = []
    fooled = [(place, change.text) for place, change in zip(places, changes, strict=True) if change.fooled]
    if fooled:
        batch = np.array([changed for _, changed in fooled], dtype=object).reshape(-1, 1)
        if (predictor.labels(batch, again=True) == rows.target[[place for place, _ in fooled]]).any():
            problems.append("some flips do not hold when they are asked again")
    else:
        wide = Limits(4 * limits.queries, 1.0, KINDS, limits.synonyms)
        probe = [
            change_words(predictor, str(rows.features[p, 0]), int(rows.target[p]), wide, seed)
            for p in places[:PROBE_ROWS]
        ]
        if not any(change.fooled for change in probe):
            problems.append("changing every word flips no text: words may not decide at all")
    return problems


def _measured(
    rows: EvaluationRows, right: Flags, changes: list[Change], limits: Limits, valid: bool, context: Context
) -> Iterator[Outcome]:
    import numpy as np

    from assay.statistics.measurements import measured_share

    ok, queries = right.copy(), np.zeros(rows.n, np.int64)
    ok[right] = [not change.fooled for change in changes]
    queries[right] = [change.queries for change in changes]
    threat = f"words:{limits.max_share:g}, {'+'.join(limits.kinds)}, black-box"
    header = {"check": ID, "dataset": rows.dataset, "threat_model": threat, "seed": context.seed}
    table = outcome_table(rows.ids, {"ok": ok, "label": rows.target, "flag": right, "queries": queries}, header)
    yield table
    yield measured_share(
        "text.robust_accuracy", int(ok.sum()), rows.n, table=sha256(table.data), threat_model=threat, valid=valid
    )
