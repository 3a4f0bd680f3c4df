"""One decision in which every outcome occurs, a scan, and the same with hostile text everywhere."""

from __future__ import annotations

from dataclasses import replace

from assay.core.decisions import Answer, Cited, Decision, Observed, RuleOutcome, RuleResult
from assay.core.digests import sha256
from assay.core.outcomes import FileVerdict, Finding, Measurement, Severity, Skipped, Verdict
from assay.surfaces.reports import CheckRun, DecisionContext, DecisionReport, Found, ScanReport

DAY_S = 86400


def cited(alias: str, index: int, *, age_s: int = 3 * DAY_S, attempts: int = 1, owner: str = "alice") -> Cited:
    """One statement as evidence."""
    return Cited(
        alias=alias,
        digest=sha256(alias.encode()),
        type="urn:assay:eval-result:v1",
        index=index,
        role="ci",
        key_id="5ab1c2d3e4f50617",
        owner=owner,
        signed_at="2026-11-19T18:00:00Z",
        age_s=age_s,
        max_age_s=30 * DAY_S,
        attempts=attempts,
    )


def rules() -> tuple[RuleResult, ...]:
    """Seven rules, at least one of each outcome."""
    return (
        rule("evidence.scan", RuleOutcome.PASS, Observed(text="present"), "a valid statement", evidence=(SCAN,)),
        rule(
            "files-clean",
            RuleOutcome.PASS,
            Observed(0.0, 0.0, 0.0, text="files not clean"),
            "== 0",
            severity=Severity.CRITICAL,
            refs=("owasp-ml:ML06:2023", "mitre-atlas:AML.T0011.000"),
            evidence=(SCAN,),
        ),
        rule(
            "accuracy-kept",
            RuleOutcome.UNDECIDED,
            Observed(-0.8, -3.9, 2.3, 180, "pt"),
            "> -3.0 pt vs scorer@1",
            reason="straddles",
            title="Accuracy is not lost against production",
            baseline=Observed(81.4, n=180, unit="%"),
            rows_needed=1300,
            evidence=(cited("quality", 41),),
        ),
        rule(
            "group-gap",
            RuleOutcome.FAIL,
            Observed(0.131, 0.0941, 0.171, 1204, "share"),
            "<= 0.08",
            severity=Severity.MEDIUM,
            reason="bound-misses",
            title="Approval rates of groups lie close together",
            fix="balance the training data by group, or ask a risk owner for a waiver of group-gap",
            refs=("nist-ai-rmf:MEASURE 2.11",),
            evidence=(cited("fairness", 44, attempts=3),),
        ),
        rule(
            "members-hidden",
            RuleOutcome.WAIVED,
            Observed(0.012, 0.008, 0.017, 5000, "share"),
            "< 0.005",
            raw=RuleOutcome.FAIL,
            reason="bound-misses",
            waiver=sha256(b"waiver"),
            refs=("owasp-ml:ML04:2023",),
            evidence=(cited("privacy", 45, owner="bob"),),
        ),
        rule("evidence.redteam", RuleOutcome.UNDECIDED, Observed(), "a valid statement of 60 d or less",
             reason="missing", fix="run `assay redteam run --target URL`"),
        rule("robust-kept", RuleOutcome.NOT_APPLICABLE, Observed(), "> -0.02", reason="no-baseline"),
    )  # fmt: skip


def rule(
    id: str,
    outcome: RuleOutcome,
    observed: Observed,
    needed: str,
    *,
    raw: RuleOutcome | None = None,
    severity: Severity = Severity.HIGH,
    reason: str = "ok",
    title: str = "",
    fix: str = "",
    refs: tuple[str, ...] = (),
    baseline: Observed | None = None,
    rows_needed: int | None = None,
    waiver: str | None = None,
    evidence: tuple[Cited, ...] = (),
) -> RuleResult:
    """A rule with the defaults that most have."""
    return RuleResult(
        id=id,
        severity=severity,
        outcome=outcome,
        raw_outcome=raw or outcome,
        reason=reason,
        observed=observed,
        needed=needed,
        title=title,
        fix=fix,
        refs=refs,
        baseline=baseline,
        rows_needed=rows_needed,
        waiver=waiver,
        evidence=evidence,
    )


SCAN = cited("scan", 38, age_s=5 * 3600)

DECISION = Decision(
    answer=Answer.DENY,
    raw_answer=Answer.DENY,
    mode="enforce",
    subject=sha256(b"scorer 3"),
    stage="production",
    policy_name="production-tabular-classifier",
    policy_digest=sha256(b"policy"),
    baseline=sha256(b"scorer 1"),
    ledger_origin="assay.example/acme",
    ledger_size=46,
    ledger_root="c29tZSByb290",
    now="2026-11-22T18:00:00Z",
    rules=rules(),
    approvals_needed=2,
    approvals_given=("carol",),
)

CONTEXT = DecisionContext(
    asset="scorer@3",
    policy_source="policies/production.yaml",
    rule_lines={"files-clean": 21, "accuracy-kept": 24, "group-gap": 31, "members-hidden": 36, "robust-kept": 40},
    statement=sha256(b"statement"),
    exit_code=1,
    baseline_name="scorer@1",
    editions={"owasp-ml": "2023", "nist-ai-rmf": "1.0"},
)

GATE = DecisionReport(DECISION, CONTEXT, tool_version="1.2.3")
ALLOWED = replace(
    GATE,
    decision=replace(
        DECISION, answer=Answer.ALLOW, raw_answer=Answer.ALLOW, rules=rules()[:2], approvals_given=("carol", "dan")
    ),
    context=replace(CONTEXT, exit_code=0),
)
NO_RULES = replace(
    GATE,
    decision=replace(
        DECISION,
        answer=Answer.UNDECIDED,
        raw_answer=Answer.UNDECIDED,
        rules=(),
        reasons=("no policy applies to this asset",),
    ),
    context=replace(CONTEXT, policy_source=None, rule_lines={}, statement=None, exit_code=3),
)

SCANNED = ScanReport(
    files=(
        FileVerdict("models/old.pkl", sha256(b"old"), "pickle", Verdict.MALICIOUS),
        FileVerdict("models/new.safetensors", sha256(b"new"), "safetensors", Verdict.CLEAN),
        FileVerdict("models/odd.bin", sha256(b"odd"), "", Verdict.INCONCLUSIVE),
    ),
    findings=(
        Found("models/old.pkl", "model-file.pickle-globals", Finding(
            "ASY-PKL-001", Severity.CRITICAL, "models/old.pkl@120", "names os.system, which starts a process",
            "load the weights from safetensors instead", ("mitre-atlas:AML.T0011.000",))),
        Found("models/old.pkl", "model-file.pickle-globals", Finding(
            "ASY-PKL-001", Severity.HIGH, "models/old.pkl@310", "names builtins.eval")),
        Found("train.py", "code.secrets", Finding(
            "ASY-SEC-003", Severity.MEDIUM, "train.py:17", "holds an access key (AKIA…)")),
    ),
    skipped=(Skipped("models/huge.onnx", "larger than 4 GiB; raise `scan.max_bytes`"),),
    exit_code=1,
    tool_version="1.2.3",
)  # fmt: skip

CHECKED = ScanReport(
    findings=(
        Found("data.csv", "data.leakage", Finding("exact-duplicate", Severity.LOW, "data.csv:9", "stands in the test rows"),
              asset="loans@2"),
    ),
    runs=(
        CheckRun("data.leakage", "loans@2", "done", measurements=(
            Measurement("leaked_rows", 1.0, "count", "lower", 2000, 1.0, 1.0),), statement=sha256(b"leak")),
        CheckRun("privacy.membership", "scorer@3", "failed", "ran longer than 600 s"),
        CheckRun("robustness.pgd", "scorer@3", "skipped", "needs torch: pip install torch"),
    ),
    exit_code=3,
    tool_version="1.2.3",
)  # fmt: skip

REPORTS = {
    "gate": GATE,
    "allowed": ALLOWED,
    "no-rules": NO_RULES,
    "scan": SCANNED,
    "check": CHECKED,
    "empty": ScanReport(),
}
