"""Which statements an alias of a policy stands for, and why they may not be used.

Per asset, type and check the newest statement by a trusted signer counts, by ledger index, even if it failed or is
unfavourable; older ones are never picked instead. Every check of the alias must stand: an alias with one stale check is
stale, or whoever waits long enough would lose the findings that he does not like.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase

from assay.core.canonical import Json
from assay.core.decisions import Cited
from assay.core.digests import Digest, short, shown
from assay.core.errors import MalformedInput
from assay.core.statements import Statement, Subject
from assay.core.times import age_text, instant
from assay.evidence.predicates import problem_of, short_type
from assay.policy.case import Case
from assay.policy.grammar import EvidenceSpec
from assay.policy.view import Evidence

_VERSIONED = ("https://cyclonedx.org/bom", "https://spdx.dev/Document")  # their types may carry /vN at the end


@dataclass(frozen=True)
class Chosen:
    """The newest trusted statement of one check about one asset; `problem` says why it cannot be used, "" if it can."""

    evidence: Evidence
    check: str
    role: str
    age_s: int
    attempts: int
    problem: str = ""

    @property
    def predicate(self) -> Mapping[str, Json]:
        """What it says."""
        return self.evidence.predicate


@dataclass(frozen=True)
class Selection:
    """What an alias stands for; `problem` is "" only if every asset meant has evidence and all of it can be used."""

    spec: EvidenceSpec
    targets: tuple[Digest, ...]
    chosen: tuple[Chosen, ...]
    problem: str
    text: str
    is_baseline: bool = False

    @property
    def cited(self) -> tuple[Cited, ...]:
        """The statements as a decision cites them, by index."""
        return tuple(self.cite(chosen) for chosen in sorted(self.chosen, key=lambda c: c.evidence.index))

    def cite(self, chosen: Chosen) -> Cited:
        """One statement as a decision cites it."""
        e = chosen.evidence
        alias = f"{self.spec.alias}@baseline" if self.is_baseline else self.spec.alias
        limit = None if self.is_baseline else self.spec.max_age_s
        return Cited(alias, e.digest, e.type, e.index, chosen.role, e.key_id, e.owner, e.signed_at, chosen.age_s, limit,
                     chosen.attempts)  # fmt: skip


def select(case: Case, spec: EvidenceSpec) -> Selection:
    """The statements of an alias about the candidate, or about the assets that it names."""
    subject = case.view.subject
    targets = (subject.digest,) if spec.about == "asset" else tuple(sorted(set(subject.related.get(spec.about, ()))))
    if not targets:
        return Selection(spec, (), (), "missing", f"the asset names nothing as {spec.about}")
    return _select(case, spec, targets, is_baseline=False)


def select_baseline(case: Case, spec: EvidenceSpec, baseline: Digest) -> Selection:
    """The statements of an alias about the baseline or anchor. Its outcomes do not age: bytes and rows are the same."""
    return _select(case, spec, (baseline,), is_baseline=True)


def check_of(evidence: Evidence) -> str:
    """The id of the check behind a statement; "" where there is none."""
    head = evidence.predicate.get("head")
    check = head.get("check") if isinstance(head, dict) else None
    found = check.get("id") if isinstance(check, dict) else None
    return found if isinstance(found, str) else ""


def type_name(uri: str) -> str:
    """The short name of a statement type, where it has one."""
    return short_type(uri) if uri.startswith("urn:assay:") or uri.count("/") > 1 else uri


def _select(case: Case, spec: EvidenceSpec, targets: tuple[Digest, ...], is_baseline: bool) -> Selection:
    chosen: list[Chosen] = []
    problems: list[tuple[str, str]] = []
    for target in targets:
        found = _newest(case, spec, target, is_baseline)
        chosen += found
        problems += [(c.problem, _spoken(c)) for c in found if c.problem]
        if not found:
            problems.append(_why_nothing(case, spec, target))
    problem, text = problems[0] if problems else ("", "; ".join(_spoken(c) for c in chosen))
    return Selection(spec, targets, tuple(chosen), problem, text, is_baseline)


def _newest(case: Case, spec: EvidenceSpec, target: Digest, is_baseline: bool) -> list[Chosen]:
    runs: dict[str, list[tuple[Evidence, str]]] = {}
    for evidence in case.by_subject.get(target, ()):
        # A malformed statement counts as a run only where the view could still say that its signer is trusted.
        if _is_meant(spec, evidence) and evidence.problem in ("", "malformed"):
            role = case.role_of(evidence, spec.signed_by)
            if role:
                runs.setdefault(check_of(evidence), []).append((evidence, role))
    return [_chosen(case, spec, check, runs[check], is_baseline) for check in sorted(runs)]


def _is_meant(spec: EvidenceSpec, evidence: Evidence) -> bool:
    versioned = spec.type in _VERSIONED and evidence.type.startswith(f"{spec.type}/v")
    if evidence.type != spec.type and not versioned:
        return False
    check = check_of(evidence)
    return not spec.checks or any(fnmatchcase(check, pattern) for pattern in spec.checks)


def _chosen(case: Case, spec: EvidenceSpec, check: str, runs: list[tuple[Evidence, str]], ageless: bool) -> Chosen:
    evidence, role = runs[-1]
    attempts = len({run.digest for run, _ in runs})
    try:
        age_s = case.age_s(evidence)
        return Chosen(evidence, check, role, age_s, attempts, _problem(case, spec, evidence, age_s, ageless))
    except MalformedInput:
        return Chosen(evidence, check, role, 0, attempts, "malformed")


def _problem(case: Case, spec: EvidenceSpec, evidence: Evidence, age_s: int, ageless: bool) -> str:
    statement = Statement((Subject("", evidence.subjects[0]),), evidence.type, evidence.predicate)
    if evidence.problem or problem_of(statement):
        return "malformed"
    if case.is_ahead(evidence):
        return "future"
    if evidence.predicate.get("state", "done") != "done":
        return "failed-run"
    if spec.max_age_s is not None and age_s > spec.max_age_s and not ageless:
        return "stale"
    if spec.database_max_age_s is not None and not ageless:
        return _database_problem(case, spec.database_max_age_s, evidence)
    return ""


def _database_problem(case: Case, max_age_s: int, evidence: Evidence) -> str:
    scanner = evidence.predicate.get("scanner")
    database = scanner.get("db") if isinstance(scanner, dict) else None
    for name in ("newestRecord", "newest_record", "lastUpdate"):
        if isinstance(database, dict) and isinstance(database.get(name), str):
            age_s = (case.now - instant(database[name])).total_seconds()
            return "" if -300 <= age_s <= max_age_s else "stale-database"
    return "stale-database"


def _why_nothing(case: Case, spec: EvidenceSpec, target: Digest) -> tuple[str, str]:
    """The most telling reason among statements that do not count."""
    name = f"{type_name(spec.type)} about {shown(short(target))}"
    for evidence in reversed(case.by_subject.get(target, ())):
        unreadable = evidence.problem == "malformed" and evidence.type == spec.type
        if _is_meant(spec, evidence) or unreadable:
            known = ("unsigned", "malformed", "revoked")
            reason = evidence.problem if evidence.problem in known else "wrong-signer"
            return reason, f"the newest {name} is by {evidence.owner or evidence.key_id or 'nobody'}: {reason}"
    for evidence in reversed(case.statements):
        if target in evidence.subjects[1:] and _is_meant(spec, evidence) and case.is_trusted(evidence):
            return "wrong-subject", f"the newest {name} is about {shown(short(evidence.subjects[0]))}"
    return "missing", f"there is no {name}"


def _spoken(chosen: Chosen) -> str:
    about = chosen.check or type_name(chosen.evidence.type)
    said = f"{about}, {age_text(chosen.age_s)} old, by {chosen.evidence.owner or chosen.evidence.key_id}"
    return f"{said}: {chosen.problem}" if chosen.problem else said
