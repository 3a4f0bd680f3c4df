"""Does a verdict follow from what the scanners said, and from what they did not say?"""

from __future__ import annotations

import time
from dataclasses import replace

import pytest

from assay.firewall import Action, Firewall, Role, Segment, Source, State, ready_policy
from assay.runtime.firewall.document import read_firewall_policy
from assay.runtime.firewall.policy import FirewallPolicy
from assay.runtime.firewall.scanner import Mark, NotRun, Scan, Subject

KEY = "AKIA" + "Q7M2ZT5RKX3WLN6B"


def policy_of(scanners: str, **changes: object) -> FirewallPolicy:
    text = f"firewall: assay/firewall/v1\nname: t\nversion: 1\nroutes:\n  default:\n    - scanners: {scanners}\n"
    return replace(read_firewall_policy(text.encode(), "t.yaml", ["a", "b"]), **changes)  # type: ignore[arg-type]


def marks(*found: Mark) -> Scan:
    return lambda subject: found


def refuses(subject: Subject) -> list[Mark]:
    raise NotRun("too many marks")


def breaks(subject: Subject) -> list[Mark]:
    raise ZeroDivisionError("secret detail")


def test_a_secret_is_taken_out_and_the_rest_stays() -> None:
    verdict = Firewall(ready_policy()).check(Segment(f"use {KEY} please"))
    assert (verdict.action, verdict.text) == (Action.REDACT, "use [ASY-SEC-007] please")
    assert [(h.start, h.end) for h in verdict.hits if h.scanner == "secrets"] == [(4, 24)]


def test_the_strongest_action_wins() -> None:
    scans = {"a": marks(Mark("r", 0, 1)), "b": marks(Mark("s", 1, 2))}
    verdict = Firewall(policy_of("{a: {action: flag}, b: {action: block}}"), scans).check(Segment("xy"))
    assert verdict.action is Action.BLOCK and len(verdict.hits) == 2


@pytest.mark.parametrize("scan", [refuses, breaks])
def test_a_scanner_that_did_not_run_blocks_and_is_never_passed(scan: Scan) -> None:
    verdict = Firewall(policy_of("{a: {action: flag}}"), {"a": scan}).check(Segment("x"))
    assert verdict.action is Action.BLOCK and "a did not run" in verdict.reason
    assert [record.state for record in verdict.scanners] == [State.FAILED]
    assert "secret detail" not in verdict.reason


def test_a_declared_fail_open_goes_on_and_is_recorded() -> None:
    verdict = Firewall(policy_of("{a: {action: block, on_failure: open}}"), {"a": refuses}).check(Segment("x"))
    assert verdict.action is Action.ALLOW and [r.name for r in verdict.undecided] == ["a"]


def test_a_deadline_of_nothing_is_a_time_out() -> None:
    verdict = Firewall(policy_of("{a: {action: flag, deadline_ms: 0}}"), {"a": marks()}).check(Segment("x"))
    assert verdict.action is Action.BLOCK and verdict.scanners[0].state is State.TIMED_OUT


def test_what_a_scanner_of_this_process_answers_late_still_counts() -> None:
    """A starved machine refuses nothing that was looked at."""

    def slow(subject: Subject) -> list[Mark]:
        time.sleep(0.02)
        return [Mark("r", 0, 1)]

    verdict = Firewall(policy_of("{a: {action: redact, deadline_ms: 1}}"), {"a": slow}).check(Segment("x"))
    assert verdict.action is Action.REDACT and not verdict.undecided and verdict.scanners[0].took_us > 1000


def test_a_missing_scanner_an_unknown_route_and_a_strange_segment_are_undecided() -> None:
    missing = Firewall(policy_of("{a: {action: flag}}"), {}).check(Segment("x"))
    elsewhere = Firewall(policy_of("{a: {action: flag}}"), {"a": marks()}).check(Segment("x"), "admin")
    narrow = b"firewall: assay/firewall/v1\nname: t\nversion: 1\nroutes: {default: [{sources: [user], scanners: {a: {action: flag}}}]}"
    stranger = Firewall(read_firewall_policy(narrow, "n", ["a"]), {"a": marks()}).check(
        Segment("x", Role.TOOL, Source.TOOL)
    )
    for verdict in (missing, elsewhere, stranger):
        assert verdict.action is Action.BLOCK and verdict.undecided and verdict.reason


def test_a_text_beyond_the_limit_is_undecided_not_cut() -> None:
    policy = read_firewall_policy(
        b"firewall: assay/firewall/v1\nname: t\nversion: 1\nlimits: {max_chars: 5}\nroutes: {default: [{scanners: {a: {action: flag}}}]}",
        "t", ["a"])  # fmt: skip
    assert Firewall(policy, {"a": marks()}).check(Segment("x" * 6)).action is Action.BLOCK
    assert Firewall(policy, {"a": marks()}).check(Segment("x" * 5)).action is Action.ALLOW


def test_a_dry_run_records_and_does_nothing() -> None:
    scans = {"a": marks(Mark("r", 0, 1))}
    verdict = Firewall(policy_of("{a: {action: redact}}", is_dry_run=True), scans).check(Segment("xy"))
    assert (verdict.action, verdict.proposed, verdict.text) == (Action.ALLOW, Action.REDACT, "xy")


def test_scores_below_the_threshold_flag_or_are_nothing() -> None:
    policy = policy_of("{a: {action: block, threshold: 0.6, flag_at: 0.4}}")
    found = [
        Firewall(policy, {"a": marks(Mark("r", 0, 1, score))}).check(Segment("x")).action for score in (0.3, 0.5, 0.6)
    ]
    assert found == [Action.ALLOW, Action.FLAG, Action.BLOCK]


def test_a_rule_may_have_an_action_of_its_own() -> None:
    policy = policy_of("{a: {action: block, rules: {mild: flag}}}")
    assert Firewall(policy, {"a": marks(Mark("mild", 0, 1))}).check(Segment("x")).action is Action.FLAG


def test_the_digest_of_a_verdict_tells_verdicts_apart_and_repeats() -> None:
    firewall = Firewall(ready_policy())
    one, again, other = (firewall.check(Segment(t)) for t in ("hello", "hello", f"hello {KEY}"))
    assert one.digest == again.digest != other.digest


def test_lone_surrogates_are_checked_like_any_text() -> None:
    assert Firewall(ready_policy()).check(Segment("\ud800 hello")).reason == ""
