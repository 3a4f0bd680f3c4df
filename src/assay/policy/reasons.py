"""Why a rule came out as it did: the stable words of `RuleResult.reason`, what each means, and what to do about it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final


@dataclass(frozen=True)
class Reason:
    """What a reason word means and what its reader should do next."""

    means: str
    fix: str = ""
    is_waivable: bool = True


_RERUN = "run the check again with `assay check`"

REASONS: Final[Mapping[str, Reason]] = MappingProxyType({
    # passed, or did not apply
    "ok": Reason("the rule is met"),
    "ok-estimate": Reason("met by the estimate alone; its bound was not asked for, which is weak"),
    "ok-but-worse": Reason("not worse by the margin, yet shown worse: watch this drift"),
    "not-meant": Reason("the rule's `when` does not cover this asset"),
    # evidence
    "missing": Reason("there is no such evidence about this asset", _RERUN),
    "stale": Reason("the newest evidence is older than the policy accepts", _RERUN),
    "stale-database": Reason("the advisory database was too old, or has no date", "import newer advisories and rerun"),
    "unsigned": Reason("the statement has no valid signature", "sign it with a trusted key", False),
    "wrong-signer": Reason("the signer may not say this here", "have it signed in a role that the policy names", False),
    "wrong-subject": Reason("the evidence is about other bytes", "run the check on exactly this asset", False),
    "malformed": Reason("the statement does not follow its schema", _RERUN, False),
    "revoked": Reason("the key that signed it was revoked", "have a trusted key sign a new run", False),
    "failed-run": Reason("the newest run of the check failed", _RERUN),
    "future": Reason("the statement is dated in the future", "set the clock of the signer and rerun"),
    # the number itself
    "nan": Reason("the number is not finite", _RERUN),
    "empty": Reason("nothing was looked at", "give the check something to look at"),
    "invalid": Reason("the check marked its own number as invalid", "see what that check skipped: `validity of …` says why"),
    "inconsistent": Reason("the parts of the measurement contradict each other", _RERUN),
    "ambiguous": Reason("several statements hold this number", "narrow `checks` in the policy's evidence"),
    "no-bounds": Reason("the measurement has no bound at this level", "rerun with a check that records intervals"),
    "not-a-count": Reason("`==` was asked of an estimate", "use >= or <= in the policy"),
    "too-few-rows": Reason("fewer rows than the policy asks for", "test on more rows"),
    "small-group": Reason("a group has too few rows to say anything", "test on more rows of that group"),
    "bound-misses": Reason("the limit is missed, and its other bound misses it too", "improve the asset"),
    "estimate-misses": Reason("the estimate misses the limit", "improve the asset"),
    "count-misses": Reason("the count misses the limit", "see the findings of that check"),
    "may-be-chance": Reason("the limit is missed, but among so many rules that may be chance", "test on more rows"),
    "no-power": Reason("what was not found is not absent: the detector's recall is unknown", "run it with canaries"),
    "straddles": Reason("the interval lies on both sides of the limit", "test on more rows"),
    # comparison with the baseline
    "no-baseline": Reason("there is nothing to compare with", "promote a first version, or name a baseline"),
    "equal-candidate-and-baseline": Reason("an asset cannot be compared with itself", "gate another version", False),
    "baseline-missing": Reason("the baseline has no usable evidence", "run the same check on the baseline"),
    "no-table": Reason("the per-row outcomes are not there", _RERUN),
    "malformed-table": Reason("the per-row outcomes cannot be read", _RERUN, False),
    "not-same": Reason("the two were not measured the same way", "rerun one of them with the options of the other"),
    "direction": Reason("check and policy disagree whether more is better", "correct `better` in the policy"),
    "unmatched-rows": Reason("the two were measured on different rows", "rerun one of them on the rows of the other"),
    "anchor-missing": Reason("the pinned anchor has no usable evidence", "run the same check on the anchor"),
    "drifted": Reason("together with the releases before it, it lost more than the ratchet allows", "improve the candidate"),
    "drift-not-shown": Reason("it is not shown that the loss since the anchor stays within the ratchet", "test on more rows"),
    "looks-spent": Reason("more different results were tried on the same data than the rule planned", "test on fresh rows"),
    "no-seeds": Reason("too few training seeds to speak of a recipe", "train and check five seeds or more"),
    "clustered-rows": Reason("the rows come in clusters, and there are too few of them, or no test for this kind", "test on more clusters"),
    "not-computable": Reason("no test fits these numbers", "see what was observed"),
    "shown-worse": Reason("the candidate is shown to be worse", "improve the candidate"),
    "not-shown": Reason("it is not shown that the candidate is no worse", "test on more rows"),
    # expressions
    "not-true": Reason("the expression is false", "see the values in the trace"),
    "absent-field": Reason("a field that the expression reads is not there", "have the check record it"),
    "wrong-type": Reason("a field has another type than the expression expects", "correct the expression"),
    "too-large": Reason("the evidence is larger than expressions may read", "ask for a count instead"),
    "expr-error": Reason("the expression could not be evaluated", "correct the expression"),
    # this installation
    "missing-extra": Reason("an optional library is not installed"),
})  # fmt: skip


def fix_of(reason: str) -> str:
    """What to do about a reason."""
    return REASONS[reason].fix


def can_be_waived(reason: str) -> bool:
    """Whether a person may accept it; what was forged, replayed or misconfigured cannot be."""
    return REASONS[reason].is_waivable
