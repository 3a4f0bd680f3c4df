"""No testing until it passes: how often an asset was tried on the same rows, and what is left of its alpha.

A look is a different result, not a repetition: statements whose outcomes are the same bytes are one look, however often
they were made. Looks are counted in the ledger by asset, metric, dataset and version of the check, whatever options or seed
they used. A rule plans K of them and tests each at alpha / K, so that all together err no more often than one would.
Source: Bonferroni; Dmitrienko et al., Multiple Testing Problems in Pharmaceutical Statistics, 2009, chapter 6.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from assay.core.canonical import Json
from assay.core.decisions import RuleOutcome
from assay.core.digests import short, shown
from assay.evidence.predicates import Predicate
from assay.policy.case import Case
from assay.policy.drafts import Draft
from assay.policy.grammar import Compare, Threshold
from assay.policy.measured import Found, measurements_of
from assay.policy.selection import Selection, check_of

WORN_AFTER = 100
"""Assets judged on one dataset before a decision warns of it."""


def alpha_of(test: Threshold | Compare) -> float:
    """The error that one look may use."""
    return (1 - test.level) / test.looks


def held_to_looks(case: Case, test: Threshold | Compare, selection: Selection, found: Found, draft: Draft) -> Draft:
    """The draft, unless more looks were taken than planned: then it can no longer pass, and says so; it can still fail.

    Observations of what runs are no looks: every window is new data.
    """
    if found.chosen.evidence.type != Predicate.EVAL_RESULT:
        return draft
    used = looks_at(case, selection, found)
    if used <= test.looks:
        return draft
    text = f"{used} different results of {found.chosen.check} on the same data, {test.looks} planned"
    noted = replace(draft, observed=replace(draft.observed, text="; ".join(filter(None, (draft.observed.text, text)))))
    if draft.outcome is not RuleOutcome.PASS:
        return noted
    final = tuple(claim for claim in draft.claims if claim.is_final)
    return replace(noted, outcome=RuleOutcome.UNDECIDED, reason="looks-spent", claims=final)


def looks_at(case: Case, selection: Selection, found: Found) -> int:
    """How many different results there are up to the one that counts, itself included."""
    chosen = found.chosen
    key = _place(chosen.predicate)
    seen = set()
    for evidence in case.by_subject.get(chosen.evidence.subjects[0], ()):
        is_run = evidence.type == chosen.evidence.type and check_of(evidence) == chosen.check
        if not is_run or evidence.index > chosen.evidence.index or _place(evidence.predicate) != key:
            continue
        if case.role_of(evidence, selection.spec.signed_by):
            seen |= {_result(item) for item in measurements_of(evidence.predicate, found.measurement.metric)}
    return len(seen)


def worn(case: Case, selections: Iterable[Selection]) -> tuple[str, ...]:
    """A warning for each dataset on which so many assets were judged that they may have been chosen to fit it."""
    used = {_place(chosen.predicate)[1] for selection in selections for chosen in selection.chosen}
    counted = {name: case.view.wear[name] for name in sorted(map(str, used)) if name in case.view.wear}
    return tuple(
        f"dataset {shown(short(name))} has judged {assets} assets and wears out: fresh rows would tell more"
        for name, assets in counted.items()
        if assets > WORN_AFTER
    )


def _place(predicate: Json) -> tuple[Json, Json]:
    """Version of the check, and dataset."""
    head, dataset = predicate.get("head"), predicate.get("dataset")
    check = head.get("check") if isinstance(head, dict) else None
    version = check.get("version") if isinstance(check, dict) else None
    return version, dataset.get("sha256") if isinstance(dataset, dict) else None


def _result(item: dict[str, Json]) -> str:
    return str(item.get("outcomes") or (item.get("value"), item.get("n")))
