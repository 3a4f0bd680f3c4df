"""What stands in the ledger already: results of checks that need not run again, because nothing would come out otherwise.

A result is current if a trusted signer said it about exactly these bytes with the same code, version, options, seed, inputs and
libraries, if the check ran to its end and looked at something, if its outcome tables are here, and if it is young: at most
a day, and at most half of the shortest age that a policy of the project accepts, or one could never refresh what grows stale.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from assay import __version__
from assay.app.examined import MAX_FINDINGS, MAX_SKIPS, Examination, code_digest, environment, inputs_digest
from assay.app.project import Project
from assay.app.reader import Reader
from assay.app.runner.jobs import Job
from assay.app.sound import SoundLedger
from assay.app.workspace import Workspace
from assay.core.canonical import Json
from assay.core.checks import Family
from assay.core.digests import digest_of
from assay.core.errors import UsageError
from assay.core.outcomes import FileVerdict, Finding, Severity, Skipped, Verdict
from assay.core.times import instant
from assay.evidence.ledger import Receipt
from assay.evidence.predicates import Predicate
from assay.policy.grammar import Policy
from assay.policy.measured import measurement_of
from assay.policy.view import Evidence
from assay.registry.queries import Version

LONGEST_S = 24 * 3600
_ROLES = {Family.SCAN: ("scanner", Predicate.SCAN_RESULT), Family.EVALUATION: ("evaluator", Predicate.EVAL_RESULT)}


@dataclass(frozen=True)
class Record:
    """The statements about one asset, newest first, and what decides whether they are young enough."""

    workspace: Workspace
    version: Version
    evidence: tuple[Evidence, ...]
    policies: Sequence[Policy]

    @classmethod
    def of(cls, workspace: Workspace, version: Version, project: Project) -> Record:
        """Reads what trusted signers said about `version`; nothing is current while a policy of the project cannot be read.

        Raises:
            LedgerDamaged: the ledger cannot be relied on.
        """
        try:
            policies = project.read_policies()
        except UsageError:  # a check does not need the policies; the gate says what is wrong with them
            return cls(workspace, version, (), ())
        sound = SoundLedger.of(workspace)
        evidence = Reader(sound, sound.chain).about(version.digest)
        return cls(workspace, version, evidence[::-1], policies)

    def current(self, job: Job) -> Examination | None:
        """The newest result of this check, if running the job again would say nothing else; None if it must run."""
        role, of_type = _ROLES[job.check.family]
        mine = (
            e for e in self.evidence if e.type == of_type and role in e.roles and _check(e).get("id") == job.check.id
        )
        newest = next(mine, None)
        if newest is None or not self._is_current(newest, job):
            return None
        return _examination(newest, job, self.version)

    def _is_current(self, evidence: Evidence, job: Job) -> bool:
        said = evidence.predicate
        if said["state"] != "done" or _said_of(said["head"]) != _asked_of(job):
            return False
        if not (said.get("measurements") or said.get("lookedAt", {}).get("files")):  # perhaps now it can be looked at
            return False
        if len(said["findings"]) >= MAX_FINDINGS or len(said["skipped"]) >= MAX_SKIPS - 2:  # it was cut short
            return False
        age_s = (self.workspace.clock() - instant(evidence.signed_at)).total_seconds()
        tables = (item["sha256"] for item in said.get("outcomes", []))
        return 0 <= age_s < self._longest_s(job, evidence) and all(map(self.workspace.blobs.get, tables))

    def _longest_s(self, job: Job, evidence: Evidence) -> float:
        specs = [s for p in self.policies for s in p.evidence.values() if s.max_age_s and s.type == evidence.type]
        ages = [s.max_age_s or 0 for s in specs if not s.checks or any(fnmatchcase(job.check.id, c) for c in s.checks)]
        return min([LONGEST_S, *(age / 2 for age in ages)])


def _check(evidence: Evidence) -> dict[str, Json]:
    head = evidence.predicate.get("head")
    check = head.get("check") if isinstance(head, dict) else None
    return check if isinstance(check, dict) else {}


def _asked_of(job: Job) -> Json:
    check = job.check
    return [check.id, check.version, code_digest(check), digest_of(dict(job.merged_options)), inputs_digest(job), job.seed,
            environment(), __version__]  # fmt: skip


def _said_of(head: dict[str, Json]) -> Json:
    check = head["check"]
    return [check["id"], check["version"], check.get("codeSha256"), head.get("optionsSha256"), head.get("inputsSha256"),
            head.get("seed"), head.get("environment"), head["producer"]["version"]]  # fmt: skip


def _examination(evidence: Evidence, job: Job, version: Version) -> Examination:
    said = evidence.predicate
    return Examination(
        job.check,
        version,
        "done",
        tuple(_finding(item) for item in said["findings"]),
        tuple(_verdicts(said)),
        tuple(measurement_of(item) for item in said.get("measurements", [])),
        tuple(Skipped(item["what"], item["reason"]) for item in said["skipped"]),
        receipt=Receipt(evidence.index, evidence.digest, evidence.logged_at, is_new=False),
        is_recorded=True,
    )


def _finding(item: dict[str, Json]) -> Finding:
    return Finding(item["rule"], Severity(item["severity"]), item["location"], item["summary"], item.get("remedy", ""),
                   tuple(item.get("refs", ())))  # fmt: skip


def _verdicts(said: Mapping[str, Json]) -> Iterator[FileVerdict]:
    """The verdicts that the check gave, without those that the statement added for files that it did not look at."""
    files = [FileVerdict(f["path"], f["sha256"], f["format"], Verdict(f["verdict"])) for f in said.get("files", [])]
    looked = [file for file in files if (file.format, file.verdict) != ("unknown", Verdict.INCONCLUSIVE)]
    yield from looked if len(looked) == said.get("lookedAt", {}).get("files") else files
