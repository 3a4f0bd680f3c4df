"""Laws of whole decisions: what must hold whatever the rows are."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.policy.good_model import decided, rule, small_policy
from tests.unit.policy.made_evidence import BASELINE, CANDIDATE, Ledger, evaluation, rows, share

from assay.core.decisions import Answer, Decision, RuleOutcome
from assay.evidence.predicates import Predicate
from assay.statistics.tables import write_table

cases = st.tuples(st.integers(40, 400), st.integers(0, 2**32 - 1), st.floats(0.0, 0.3), st.floats(0.0, 0.3))


def ledger_of(case: tuple[int, int, float, float], order: np.ndarray | None = None, swapped: bool = False) -> Ledger:
    """Both models on `n` rows, with what each gets wrong; the rows of the candidate's table handed over in any order."""
    n, seed, lost, gained = case
    rng = np.random.default_rng(seed)
    sides = [rng.random(n) >= lost, rng.random(n) >= gained]
    ledger = Ledger()
    for about, ok in zip((BASELINE, CANDIDATE), sides[::-1] if swapped else sides, strict=True):
        placed = np.arange(n) if order is None or about == BASELINE else order
        table = ledger.keep(write_table(rows(n)[placed], {"ok": ok[placed]}, {}))
        found = share("x", int(ok.sum()), n, outcomes=table)
        ledger.add(Predicate.EVAL_RESULT, evaluation("q.one", [found]), "evaluator", about)
    return ledger


def asked(ledger: Ledger, margin: float = 0.05) -> Decision:
    test = f"{{metric: ev.x, better: higher, margin: {margin}}}"
    return decided(ledger.view(), small_policy(f"  - {{id: a, severity: high, compare: {test}}}"))


@settings(deadline=None, max_examples=25)
@given(cases, st.randoms(use_true_random=False))
def test_the_order_of_rows_changes_no_byte_of_a_decision(case: tuple[int, int, float, float], luck: object) -> None:
    order = np.array(sorted(range(case[0]), key=lambda _: luck.random()))  # type: ignore[attr-defined]  # a Random
    assert asked(ledger_of(case)).body == asked(ledger_of(case, order)).body


@settings(deadline=None, max_examples=25)
@given(cases)
def test_swapping_the_models_flips_the_sign_of_the_change(case: tuple[int, int, float, float]) -> None:
    there, back = (rule(asked(ledger_of(case, swapped=swapped)), "a").observed for swapped in (False, True))
    assert there.estimate is not None and back.estimate is not None and there.low is not None and back.high is not None
    assert abs(there.estimate + back.estimate) < 1e-9 and abs(there.low + back.high) < 1e-9


@settings(deadline=None, max_examples=25)
@given(cases, st.floats(0.01, 0.2), st.floats(1.0, 3.0))
def test_a_wider_margin_never_turns_a_pass_into_anything_else(
    case: tuple[int, int, float, float], margin: float, wider: float
) -> None:
    ledger = ledger_of(case)
    narrow, wide = (rule(asked(ledger, at), "a").outcome for at in (margin, margin * wider))
    assert narrow is not RuleOutcome.PASS or wide is RuleOutcome.PASS
    assert wide is not RuleOutcome.FAIL or narrow is RuleOutcome.FAIL


@settings(deadline=None, max_examples=25)
@given(cases, st.sampled_from([0.001, 0.05, 0.3]))
def test_only_an_allow_ends_with_zero(case: tuple[int, int, float, float], margin: float) -> None:
    decision = asked(ledger_of(case), margin)
    assert decision.answer.exit_code == {Answer.ALLOW: 0, Answer.DENY: 1, Answer.UNDECIDED: 3}[decision.answer]
    assert (decision.answer is Answer.ALLOW) == all(r.outcome is RuleOutcome.PASS for r in decision.rules)
