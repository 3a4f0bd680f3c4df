"""Numbers and sentences that every form shares."""

from __future__ import annotations

import pytest
from tests.unit.reports.samples import rule

from assay.core.decisions import Observed, RuleOutcome
from assay.surfaces.reports import wording


@pytest.mark.parametrize(
    ("seen", "shown"),
    [
        (Observed(), ""),
        (Observed(text="safetensors"), "safetensors"),
        (Observed(0.0, 0.0, 0.0, unit="files"), "0 files"),
        (Observed(-0.8, -3.9, 2.3, 180, "pt"), "-0.8 pt [-3.9, +2.3] n=180"),
        (Observed(0.41234, 0.38961, 0.43587, 1204, "share"), "0.412 [0.390, 0.436] n=1,204"),
        (Observed(0.0796, high=0.0804), "0.0796 [-inf, 0.0804]"),
        (Observed(1234567.0, unit="rows"), "1,234,567 rows"),
        (Observed(0.00001), "0.00001"),
        (Observed(float("nan"), 0.0, float("inf")), "nan [0, inf]"),
        (Observed(-1.0, -1.0, 0.0), "-1 [-1, 0]"),
    ],
)
def test_observed_numbers_keep_their_unit_and_share_their_decimals(seen: Observed, shown: str) -> None:
    assert wording.observed(seen) == shown


def test_an_unknown_reason_is_shown_as_its_words() -> None:
    found = rule("r", RuleOutcome.FAIL, Observed(), "x", reason="moon-is-full")
    assert wording.why(found) == "moon is full"


def test_rows_needed_become_what_to_do_unless_the_policy_says_more() -> None:
    found = rule("r", RuleOutcome.UNDECIDED, Observed(0.1, 0.0, 0.2, 180), "x", rows_needed=1300)
    assert wording.why(found) == "180 rows cannot show it, about 1,120 more would decide (1,300 in all)"
    assert wording.fix(found) == "evaluate on 1,300 rows or more"


def test_a_waived_rule_says_what_it_would_be() -> None:
    found = rule("r", RuleOutcome.WAIVED, Observed(), "x", raw=RuleOutcome.UNDECIDED, reason="stale")
    assert wording.why(found) == "undecided without the waiver, the evidence is older than the policy accepts"
