"""Holds the candidate against the baseline on the same rows: not worse by the margin, shown worse, or not yet known.

Candidate minus baseline is signed so that larger is better. Rows are matched by id and never silently intersected; check,
version, options, seed, dataset and threat model must be equal, and whatever the policy lists in `same`. Where the policy
pins an anchor, the loss since that asset must also stay within the ratchet's total margin.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from assay.core.canonical import Json
from assay.core.decisions import Cited, Observed, RuleOutcome
from assay.core.digests import Digest, short, shown
from assay.core.outcomes import Measurement
from assay.policy.case import Case
from assay.policy.drafts import INSTALL_ML, Draft, FailClaim, family_size, undecided
from assay.policy.grammar import Compare
from assay.policy.looks import alpha_of, held_to_looks
from assay.policy.measured import Found, NotFound, find, observed, rounded
from assay.policy.paired_claims import Asked, Compared, compare_rows, compare_seeds
from assay.policy.selection import Selection
from assay.policy.tables import Tables, seed_of

if TYPE_CHECKING:
    from assay.statistics.results import PairedClaim

Fields = Callable[[Found], Json]


def _part(*path: str) -> Fields:
    def read(found: Found) -> Json:
        value: Json = found.chosen.predicate
        for step in path:
            value = value.get(step) if isinstance(value, Mapping) else None
        return value

    return read


_FIELDS: Final[Mapping[str, Fields]] = {
    "suite": _part("suite", "sha256"),
    "suite_digest": _part("suite", "sha256"),
    "dataset": _part("dataset", "sha256"),
    "threat_model": lambda found: found.measurement.threat_model or found.chosen.predicate.get("threatModel"),
    "check_version": _part("head", "check", "version"),
    "options": _part("head", "optionsSha256"),
    "seed": _part("head", "seed"),
}
_ALWAYS_SAME = ("check_version", "options", "seed", "dataset", "threat_model")


@dataclass(frozen=True)
class _Against:
    """What a change was found against another asset: the claim, both numbers and the statements; or why there is none."""

    new: Measurement
    old: Measurement
    compared: Compared
    cited: tuple[Cited, ...]

    @property
    def claim(self) -> PairedClaim:
        """What the rows say."""
        return self.compared.claim


def needed_words(test: Compare) -> str:
    """The demand in words."""
    unit = " of the baseline's value" if test.scale == "relative" else ""
    same = f", same {', '.join(test.same)}" if test.same else ""
    recipe = ", as a recipe over seeds" if test.claim == "recipe" else ""
    looks = f" in {test.looks} looks" if test.looks > 1 else ""
    return f"{test.metric} not worse than the baseline by {test.margin:.12g}{unit} at {test.level:.12g}{looks}{same}{recipe}"


def judge_comparison(
    case: Case, test: Compare, ours: Selection, theirs: Selection | None, anchored: Selection | None, tables: Tables
) -> Draft:
    """What the rows say about candidate minus baseline, and candidate minus anchor.

    `theirs` None means that there is no baseline, `anchored` None that the policy pins no anchor.
    """
    draft = _judge_baseline(case, test, ours, theirs, tables)
    if anchored is not None and draft.reason != "equal-candidate-and-baseline":
        draft = _with_anchor(case, test, ours, anchored, draft, tables)
    new = find(ours, test.path)
    return draft if isinstance(new, NotFound) else held_to_looks(case, test, ours, new, draft)


def _judge_baseline(case: Case, test: Compare, ours: Selection, theirs: Selection | None, tables: Tables) -> Draft:
    needed, baseline = needed_words(test), case.view.baseline
    if baseline is None or theirs is None:
        absolute = case.policy.baseline is not None and case.policy.baseline.if_absent == "absolute-only"
        outcome = RuleOutcome.NOT_APPLICABLE if absolute else RuleOutcome.UNDECIDED
        return Draft(outcome, "no-baseline", Observed(text="there is no baseline yet"), needed, evidence=ours.cited)
    if baseline.digest == case.view.subject.digest:
        return undecided("equal-candidate-and-baseline", "candidate and baseline are the same bytes", needed)
    found = _against(case, test, ours, theirs, test.margin, needed, tables)
    if isinstance(found, Draft):
        return found
    claim, alpha = found.claim, alpha_of(test)
    is_shown = claim.p_not_worse <= alpha
    return Draft(
        outcome=RuleOutcome.PASS if is_shown else RuleOutcome.UNDECIDED,
        reason="ok" if is_shown else "not-shown",
        observed=_change(found),
        needed=needed,
        baseline=observed(found.old),
        rows_needed=None if is_shown else _rows(claim),
        evidence=found.cited,
        claims=(FailClaim(claim.p_regression / alpha, "shown-worse"),),
    )


def _with_anchor(
    case: Case, test: Compare, ours: Selection, anchored: Selection, draft: Draft, tables: Tables
) -> Draft:
    """The draft with the ratchet added: passing needs both, and a loss beyond the ratchet fails whatever the last release was."""
    anchor, limit = _name(case.policy.anchor), test.ratchet
    needed = f"{draft.needed}; since the anchor {anchor} by {limit:.12g} at most"
    if case.policy.anchor == case.view.subject.digest:
        return replace(_noted(draft, "it is the anchor itself"), needed=needed)
    found = _against(case, test, ours, anchored, limit, needed, tables)
    if isinstance(found, Draft):
        if draft.outcome is RuleOutcome.UNDECIDED:
            return replace(_noted(draft, f"anchor: {found.observed.text}"), needed=needed)
        reason = "anchor-missing" if found.reason == "baseline-missing" else found.reason
        return replace(_noted(draft, f"anchor: {found.observed.text}"), outcome=RuleOutcome.UNDECIDED, reason=reason,
                       needed=needed, rows_needed=found.rows_needed, fix=found.fix, evidence=_joined(draft, found.evidence))  # fmt: skip
    claim, alpha = found.claim, alpha_of(test)
    is_kept = claim.p_not_worse <= alpha
    said = _change(found)
    noted = _noted(draft, f"since the anchor {_signed(claim.estimate)} [{_signed(claim.low)}, {_signed(claim.high)}]")
    if draft.outcome is RuleOutcome.NOT_APPLICABLE:  # nothing in production yet, but the anchor can be held against
        noted = replace(noted, outcome=RuleOutcome.PASS, reason="ok", observed=replace(said, text=noted.observed.text))
    outcome = noted.outcome if is_kept else RuleOutcome.UNDECIDED
    reason = noted.reason if is_kept or noted.outcome is RuleOutcome.UNDECIDED else "drift-not-shown"
    rows = [rows for rows in (noted.rows_needed, None if is_kept else _rows(claim)) if rows is not None]
    return replace(
        noted,
        outcome=outcome,
        reason=reason,
        needed=needed,
        rows_needed=max(rows, default=None),
        trace=(*noted.trace, ("anchor", _as_json(case.policy.anchor, found, limit))),
        evidence=_joined(draft, found.cited),
        claims=(*noted.claims, FailClaim(claim.p_beyond / alpha, "drifted", is_final=True)),
    )


def _against(
    case: Case, test: Compare, ours: Selection, theirs: Selection, margin: float, needed: str, tables: Tables
) -> _Against | Draft:
    """The change against what `theirs` is about, or the undecided draft that says why there is none."""
    new, old = find(ours, test.path), find(theirs, test.path)
    if isinstance(new, NotFound):
        return undecided(new.reason, new.text, needed, ours.cited)
    if isinstance(old, NotFound):
        reason = "baseline-missing" if old.reason == "missing" else old.reason
        return undecided(reason, f"baseline: {old.text}", needed, (*ours.cited, *theirs.cited))
    cited = (ours.cite(new.chosen), theirs.cite(old.chosen))
    problem = _not_comparable(new, old, test)
    if problem is not None:
        return replace(undecided(problem.reason, problem.text, needed, cited), rows_needed=problem.rows_needed)
    try:
        from assay.statistics import claims  # noqa: F401 - asks whether its libraries are there
    except ImportError as error:
        return undecided("missing-extra", f"{error.name} is not installed", needed, cited, INSTALL_ML)
    a, b = new.measurement, old.measurement
    scaled = margin * abs(b.value) if test.scale == "relative" else margin
    asked = Asked(scaled, test.better, alpha_of(test), family_size(case.policy), seed_of(case, test.metric))
    compared = compare_seeds(a, b, asked) if test.claim == "recipe" else compare_rows(a, b, asked, tables)
    if isinstance(compared, NotFound):
        return replace(undecided(compared.reason, compared.text, needed, cited), rows_needed=compared.rows_needed)
    return _Against(a, b, compared, cited)


def _not_comparable(new: Found, old: Found, test: Compare) -> NotFound | None:
    a, b = new.measurement, old.measurement
    if a.better != test.better or b.better != test.better:
        return NotFound("direction", f"the check says that {a.better} is better")
    if new.chosen.check != old.chosen.check or (a.kind, a.unit) != (b.kind, b.unit):
        return NotFound("not-same", f"{new.chosen.check} {a.kind} against {old.chosen.check} {b.kind}")
    for name in (*_ALWAYS_SAME, *test.same):
        ours, theirs = _FIELDS[name](new), _FIELDS[name](old)
        if ours != theirs:
            return NotFound("not-same", f"{name}: {_brief(ours)} against {_brief(theirs)}")
        if ours is None and name in test.same:
            return NotFound("not-same", f"{name} was not recorded")
    if min(a.n, b.n) < test.min_n:
        return NotFound("too-few-rows", f"{min(a.n, b.n)} rows", test.min_n)
    return None


def _change(found: _Against) -> Observed:
    claim, m = found.claim, found.new
    counted = f"; lost {claim.lost}, gained {claim.gained}" if claim.lost is not None else ""
    pairing = "" if found.compared.pairing == "rows" else f"; pairing: {found.compared.pairing}"
    text = f"candidate {m.value:.6g}; change signed so that more is better{counted}{pairing}"
    return Observed(rounded(claim.estimate), rounded(claim.low), rounded(claim.high), claim.n, m.unit, text)


def _as_json(anchor: Digest | None, found: _Against, limit: float) -> Json:
    claim = found.claim
    return {"digest": shown(anchor or ""), "estimate": rounded(claim.estimate), "high": rounded(claim.high),
            "low": rounded(claim.low), "n": claim.n, "total_margin": rounded(limit)}  # fmt: skip


def _noted(draft: Draft, text: str) -> Draft:
    seen = draft.observed
    return replace(draft, observed=replace(seen, text=f"{seen.text}; {text}" if seen.text else text))


def _joined(draft: Draft, cited: tuple[Cited, ...]) -> tuple[Cited, ...]:
    return (*draft.evidence, *(item for item in cited if item not in draft.evidence))


def _name(digest: Digest | None) -> str:
    return short(digest or "")


def _signed(number: float) -> str:
    return f"{number:+.4g}"


def _rows(claim: PairedClaim) -> int | None:
    return None if claim.rows_needed is None else max(claim.rows_needed, claim.n + 1)


def _brief(value: Json) -> str:
    return "nothing" if value is None else str(value)[:16]
