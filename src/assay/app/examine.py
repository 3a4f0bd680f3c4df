"""`assay check`: runs the checks that fit an asset and signs one statement for each.

Bytes are hashed before the checks and the files' identity is compared after each: what was looked at is what is named.
Each result is signed as soon as its check ends, so a killed run loses only what was still running; the next run takes
what stands in the ledger and is current (see `recorded`) and runs the rest.
Checks that run the model start only when every file of it scanned clean under a statement that counts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import timedelta

from assay.app.dependencies import asset_dependencies, look_up
from assay.app.examined import Examination, eval_predicate, scan_predicate
from assay.app.project import Project
from assay.app.recorded import Record
from assay.app.register import subject_of
from assay.app.rematch import log_match, workspace_claims
from assay.app.runner.discovery import discover, select
from assay.app.runner.engine import run
from assay.app.runner.jobs import Event, Finished, Job, JobResult, Limits, Located
from assay.app.workspace import Workspace
from assay.checks.dependency import advisories as dependency_advisories
from assay.checks.model_file.lists import AddedList
from assay.core.assets import Asset, Kind, Reference, differences
from assay.core.canonical import Json
from assay.core.checks import Check, Family
from assay.core.digests import Digest
from assay.core.errors import ChangedMeanwhile, UsageError
from assay.core.outcomes import FileVerdict, Finding, Measurement, Skipped
from assay.core.statements import Statement
from assay.core.times import stamp
from assay.evidence.files import find_files, manifest_of
from assay.evidence.hash_cache import HashCache
from assay.evidence.ledger import Receipt
from assay.evidence.predicates import Predicate
from assay.registry.queries import Version

ADVISORIES = "advisories"
_ROLES = {"trained_on": "trainedOn", "tested_on": "testedOn", "built_by": "builtBy"}


@dataclass(frozen=True)
class Plan:
    """How to examine: patterns of checks, the seed of every random choice, limits, parallel workers.

    `tested_on` are test data to use instead of those that the asset declares; `lists` are allow-lists beside the project's.
    `again` runs also what stands recorded.
    """

    only: Sequence[str] = ()
    seed: int = 0
    limits: Limits = field(default_factory=Limits)
    workers: int | None = None
    tested_on: Sequence[Version] = ()
    again: bool = False
    lists: Sequence[AddedList] = ()


def examine(workspace: Workspace, version: Version, project: Project, plan: Plan, *,
            on_event: Callable[[Event], None] = lambda _: None) -> Iterator[Examination]:  # fmt: skip
    """Runs every check that fits and does not stand recorded, scans first; each statement is durable before its
    examination is yielded.

    Raises:
        UsageError: no check fits, the bytes are not on this machine or not those registered, an unknown option.
        ChangedMeanwhile: a file changed while the checks ran; what had ended before stands, nothing later was signed.
    """
    chosen = select(discover(), version.kind, plan.only or project.checks, version.declared)
    if not chosen:
        raise UsageError(f"no check fits {version}", f"it is a {version.kind}", "see `assay checks`")
    located = {version.digest: _located(workspace, version)}
    related = _related(workspace, version, plan.tested_on, located)
    scans = [check for check in chosen if not check.runs_model]
    others = [check for check in chosen if check.runs_model]
    yield from _phase(workspace, version, scans, located, related, project, plan, on_event)
    if not others:
        return
    if version.kind is Kind.MODEL and not _is_clear(workspace, version):
        reason = "not run: the model's files are not all scanned clean, and model code runs only then"
        yield from (
            Examination(check, version, "skipped", skipped=(Skipped(str(version), reason),)) for check in others
        )
        return
    yield from _phase(workspace, version, others, located, related, project, plan, on_event)


def _phase(workspace: Workspace, version: Version, checks: Sequence[Check], located: Mapping[Digest, Located],
           related: Mapping[str, tuple[Located, ...]], project: Project, plan: Plan,
           on_event: Callable[[Event], None]) -> Iterator[Examination]:  # fmt: skip
    lists = (*project.read_lists(), *plan.lists) if any("lists" in check.defaults for check in checks) else ()
    jobs = [
        Job(check, located[version.digest], related, _options(workspace, project, check, lists), plan.seed, plan.limits)
        for check in checks
    ]
    record = None if plan.again else Record.of(workspace, version, project)
    done = {job.check.id: found for job in jobs if record and (found := record.current(job))}
    before = {digest: _identity(place) for digest, place in located.items()}
    waiting = [job for job in jobs if job.check.id not in done]
    for event in run(waiting, now=workspace.clock, workers=plan.workers, hidden=[workspace.folder / "keys"]):
        on_event(event)
        if isinstance(event, Finished):
            if any(_identity(place) != before[digest] for digest, place in located.items()):
                raise ChangedMeanwhile(
                    "a file changed while the checks ran", "what they saw has no name", "run `assay check` again"
                )
            done[event.result.check_id] = _signed(workspace, version, event.result)
    yield from (done[check_id] for check_id in sorted(done))


def _signed(workspace: Workspace, version: Version, result: JobResult) -> Examination:
    check = result.job.check
    outcomes = result.outcomes
    made = Examination(
        check,
        version,
        str(result.state),
        tuple(o for o in outcomes if isinstance(o, Finding)),
        tuple(o for o in outcomes if isinstance(o, FileVerdict)),
        tuple(o for o in outcomes if isinstance(o, Measurement)),
        tuple(o for o in outcomes if isinstance(o, Skipped)),
        str(result.failure or ""),
    )
    is_scan = check.family is Family.SCAN
    predicate = scan_predicate(made, result) if is_scan else eval_predicate(made, result)
    statement = Statement(
        (subject_of(version),), Predicate.SCAN_RESULT if is_scan else Predicate.EVAL_RESULT, predicate
    )
    named = [table.data for table in result.tables.values()] + ([result.facts.data] if result.facts else [])
    receipt = workspace.sign_and_log(statement, "scanner" if is_scan else "evaluator", named)
    state = (
        "skipped" if made.state == "done" and made.skipped and not (made.verdicts or made.measurements) else made.state
    )
    match = _match(workspace, version, result) if check.id == dependency_advisories.ID else None
    return replace(made, state=state, receipt=receipt, match=match)


def _match(workspace: Workspace, version: Version, result: JobResult) -> Receipt | None:
    """The match of dependencies as a vulns statement, which gates and later imports read; made as `assay deps --asset` does."""
    days = int(result.job.merged_options["max_age_days"])
    answer = look_up(
        asset_dependencies(workspace, version), workspace.folder / dependency_advisories.FILE, workspace.clock(), max_age=timedelta(days=days),
        claims=workspace_claims(workspace), subject=version.digest,
    )  # fmt: skip
    return log_match(workspace, version.digest, answer)


def _is_clear(workspace: Workspace, version: Version) -> bool:
    """Whether every trusted scan of the model says that every file is clean, and there is at least one."""
    with workspace.store.reading() as db:
        scans = [clean for (clean,) in db.execute("SELECT is_clean FROM scan WHERE digest=?", (version.digest,))]
    return bool(scans) and all(scans)


def _located(workspace: Workspace, version: Version) -> Located:
    """The asset's bytes on this machine, hashed just now and equal to what was registered.

    Raises:
        UsageError: they are not here, or are other bytes.
    """
    place = workspace.location(version.digest)
    if place is None or not place.exists():
        raise UsageError(f"the bytes of {version} are not on this machine", f"last seen at {place}" if place else "",
                         f"fetch them and run `assay register PATH --name {version.name}`")  # fmt: skip
    expected = workspace.manifest(version.digest)
    memory = HashCache(workspace.folder / "hashes.sqlite", place)
    try:
        found = manifest_of(place, expected.kind, ignored=expected.ignored, symlinks=version.symlinks, memory=memory)
    finally:
        memory.close()
    if found.digest != expected.digest:
        raise UsageError(
            f"{place} no longer holds {version}", str(differences(expected, found)), "register what lies there now"
        )
    return Located(
        Asset(version.name, version.n, expected, version.declared), place if place.is_dir() else place.parent
    )


def _options(workspace: Workspace, project: Project, check: Check, lists: Sequence[AddedList]) -> Mapping[str, Json]:
    """What the project says. A check has no clock and reads no files of the project, so it is told the time and the lists.

    Raises:
        UsageError: lists among the options of a check, where no digest holds them.
    """
    options = dict(project.check_options(check.id))
    if "now" in check.defaults:
        options = {"now": stamp(workspace.clock()), **options}
    if "lists" in check.defaults:
        if "lists" in options:
            raise UsageError(f"`lists` is no option of {check.id}", "allow-lists are named with their digest",
                             "put `lists: [{file: ..., sha256: ...}]` at the top of the project file")  # fmt: skip
        options["lists"] = [{"name": one.name, "text": one.data.decode()} for one in lists]
    return options


def _related(workspace: Workspace, version: Version, tested_on: Sequence[Version],
             located: dict[Digest, Located]) -> Mapping[str, tuple[Located, ...]]:  # fmt: skip
    related = {}
    for role, key in _ROLES.items():
        stated = version.declared.get(key, [])
        digests = [str(item).rpartition("sha256:")[2] for item in ([stated] if isinstance(stated, str) else stated)]
        if role == "tested_on" and tested_on:
            digests = [other.digest for other in tested_on]
        for digest in digests:
            if digest not in located:
                located[digest] = _located(workspace, workspace.registry.with_digest(digest)[0])
        related[role] = tuple(located[digest] for digest in digests)
    if (database := workspace.registry.find(Reference(ADVISORIES))) is not None:
        with suppress(UsageError):  # not on this machine; the check says so
            related[ADVISORIES] = (located.setdefault(database.digest, _located(workspace, database)),)
    return {role: places for role, places in related.items() if places}


def _identity(place: Located) -> tuple[tuple[str, int, int, int, int], ...]:
    """Path, inode, size and times of every file of an asset; a write moves the change time."""
    found = []
    for entry in place.asset.manifest.entries:
        try:
            info = (place.root / entry.path).stat()
        except OSError:
            return ()
        found.append((entry.path, info.st_ino, info.st_size, info.st_mtime_ns, info.st_ctime_ns))
    names = {file.path for file in find_files(place.root)} if len(found) > 1 else set()
    return (*found, *((name, 0, 0, 0, 0) for name in sorted(names - {f[0] for f in found})))
