"""`assay check --rejudge`: the facts of an earlier scan, judged again with the allow-lists of today. No file is opened.

1. The newest scan of the asset that counts is read from the ledger, whose every leaf is hashed again.
2. The facts that it names are fetched by their digest, and must be about exactly the files of the asset.
3. Each file is judged. A file whose facts were left out, or make no sense, is inconclusive.
4. A new statement is signed, which names the one that it stands on; gates then use it, because it is the newest.

Where there are no facts, or those of another schema, nothing was learned: the asset is skipped with a reason, nothing is logged,
and what was said before stands.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from assay.app.examined import Examination, facts_json, files_predicate, head
from assay.app.reader import Reader
from assay.app.register import subject_of
from assay.app.sound import SoundLedger
from assay.app.workspace import Workspace
from assay.checks.model_file.format import ID, findings_of
from assay.checks.model_file.format import format as CHECK
from assay.checks.model_file.judge import judge
from assay.checks.model_file.judgement import Judgement
from assay.checks.model_file.lists import AddedList, Lists
from assay.checks.model_file.stored import StoredFile, read_stored
from assay.core.assets import Entry
from assay.core.canonical import Json
from assay.core.errors import MalformedInput
from assay.core.outcomes import FileVerdict, Skipped, Verdict
from assay.core.statements import Statement
from assay.evidence.predicates import Predicate
from assay.formats.facts import SCHEMA
from assay.policy.selection import check_of
from assay.policy.view import Evidence
from assay.registry.queries import Version

MAX_WORSE = 1_000
_BETTER_FIRST = (Verdict.CLEAN, Verdict.INCONCLUSIVE, Verdict.UNKNOWN, Verdict.MALICIOUS)
_LOOK = "run `assay check` where the files are"


@dataclass(frozen=True)
class _Earlier:
    """The scan that is judged again: its statement and the facts that it names."""

    evidence: Evidence
    blob: bytes
    files: Mapping[str, StoredFile]


@dataclass(frozen=True)
class _Worse:
    """A file whose verdict got worse."""

    path: str
    before: str
    after: str

    def __str__(self) -> str:
        return f"{self.path} was {self.before}, is {self.after}"


def rejudge(workspace: Workspace, version: Version, added: Sequence[AddedList], *, log: bool = True) -> Examination:
    """Judges the stored facts of `version` with the lists that ship with Assay and those that are added.

    Raises:
        EvidenceError: no key here has the role `scanner`.
        LedgerDamaged: the ledger, or the blob of the facts, is not what it was.
    """
    started = workspace.clock()
    earlier = _earlier(workspace, version)
    if isinstance(earlier, str):
        return Examination(CHECK, version, "skipped", skipped=(Skipped(str(version), f"{earlier}; {_LOOK}"),))
    lists = Lists(added)
    made = _examined(workspace, version, earlier, lists)
    worse = tuple(_worse(earlier.evidence.predicate, made.verdicts))
    made = replace(made, note=_note(earlier.evidence, worse))
    if not log:
        return made
    options: Json = {"lists": [{"name": one.name, "text": one.data.decode()} for one in added]}
    said = _predicate(made, workspace, earlier, lists, worse, head(CHECK, options, 0, started, workspace.clock()))
    statement = Statement((subject_of(version),), Predicate.SCAN_RESULT, said)
    return replace(made, receipt=workspace.sign_and_log(statement, "scanner", [earlier.blob]))


def _earlier(workspace: Workspace, version: Version) -> _Earlier | str:
    """The newest scan that counts, with its facts; or why there is nothing to judge."""
    sound = SoundLedger.of(workspace)
    about = Reader(sound, sound.chain).about(version.digest)
    scans = [e for e in about if e.type == Predicate.SCAN_RESULT and e.subjects[0] == version.digest]
    counting = [e for e in scans if check_of(e) == ID and "scanner" in e.roles and not e.problem]
    if not counting:
        return "no trusted scanner has scanned it"
    newest = counting[-1]
    named = newest.predicate.get("facts")
    if named is None:
        return f"its newest scan, of {_day(newest)}, stored no facts"
    if named["schema"] != SCHEMA:
        return f"the facts of {_day(newest)} are of the schema {named['schema'][:80]}, and this version reads {SCHEMA}"
    if (blob := workspace.blobs.get(named["sha256"])) is None:
        return f"the facts of {_day(newest)} are gone from this workspace"
    try:
        return _Earlier(newest, blob, read_stored(blob))
    except MalformedInput as error:
        return f"the facts of {_day(newest)} cannot be read: {error.what}: {error.why}"


def _examined(workspace: Workspace, version: Version, earlier: _Earlier, lists: Lists) -> Examination:
    entries = workspace.manifest(version.digest).entries
    judged = {entry.path: _judged(entry, earlier.files.get(entry.path), lists) for entry in entries}
    known = {path: found for path, found in judged.items() if isinstance(found, Judgement)}
    return Examination(
        CHECK,
        version,
        "done",
        findings=tuple(finding for path, found in known.items() for finding in findings_of(path, found)),
        verdicts=tuple(FileVerdict(e.path, e.sha256, known[e.path].format, known[e.path].verdict) for e in entries if e.path in known),
        skipped=tuple(Skipped(path, f"{why}; {_LOOK}") for path, why in judged.items() if isinstance(why, str)),
    )  # fmt: skip


def _judged(entry: Entry, stored: StoredFile | None, lists: Lists) -> Judgement | str:
    """The judgement of one file, or why there is none."""
    if stored is None or stored.sha256 != entry.sha256:
        return "no facts of it were stored"
    if stored.facts is None:
        return f"its facts were left out: {stored.why}"
    try:
        return judge(stored.facts, lists)
    except (
        TypeError,
        ValueError,
        LookupError,
        AttributeError,
    ) as error:  # whoever signed them wrote other shapes than we do
        return f"its facts make no sense: {type(error).__name__}"


def _worse(before: Mapping[str, Json], now: Sequence[FileVerdict]) -> Iterator[_Worse]:
    """Files whose verdict is worse than the earlier statement said; what is not judged now is no worse by that."""
    said = {file["path"]: Verdict(file["verdict"]) for file in before["files"]}
    for file in now:
        was = said.get(file.path, Verdict.INCONCLUSIVE)
        if _BETTER_FIRST.index(file.verdict) > _BETTER_FIRST.index(was):
            yield _Worse(file.path, str(was), str(file.verdict))


def _predicate(made: Examination, workspace: Workspace, earlier: _Earlier, lists: Lists, worse: Sequence[_Worse],
               by: Json) -> Json:  # fmt: skip
    """As a scan says it, and that no file was read for it."""
    predicate = files_predicate(made, workspace.manifest(made.version.digest), by)
    predicate |= facts_json(SCHEMA, earlier.blob, lists.digests())
    changed: list[Json] = [{"after": w.after, "before": w.before, "path": w.path} for w in worse[:MAX_WORSE]]
    predicate["rejudged"] = {
        "readOn": _read_on(earlier.evidence),
        "statement": earlier.evidence.digest,
        "worse": changed,
    }
    return predicate


def _note(earlier: Evidence, worse: Sequence[_Worse]) -> str:
    shown = "; ".join(map(str, worse[:3])) + (f"; and {len(worse) - 3} more" if len(worse) > 3 else "")
    found = f"{len(worse)} got worse: {shown}" if worse else "none got worse"
    return f"judged again from what was read on {_read_on(earlier)[:10]}; {found}"


def _read_on(earlier: Evidence) -> str:
    """When the files themselves were read, however often their facts were judged since."""
    before = earlier.predicate.get("rejudged")
    return str(before["readOn"] if before else earlier.predicate["head"]["finishedOn"])


def _day(evidence: Evidence) -> str:
    return evidence.signed_at[:10]
