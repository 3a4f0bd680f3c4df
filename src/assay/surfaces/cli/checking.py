"""`assay check` and `assay checks`."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence

from assay.app.examine import Plan, examine
from assay.app.examined import Examination
from assay.app.rejudge import rejudge
from assay.app.runner.discovery import discover, select
from assay.app.runner.jobs import Event, Finished, Limits, Progressed, Started
from assay.app.workspace import Workspace
from assay.checks.model_file.lists import AddedList, read_list
from assay.core.assets import Kind, Reference
from assay.core.canonical import Json
from assay.core.decisions import as_json
from assay.core.errors import UsageError
from assay.core.outcomes import Skipped, Verdict
from assay.registry.queries import Version
from assay.surfaces.cli.output import write_reports
from assay.surfaces.cli.progress import bars
from assay.surfaces.cli.session import Session, count, resolve, table
from assay.surfaces.reports import FORMATS, CheckRun, Found, ScanReport

ABOUT = {
    "check": "Runs the checks that fit an asset in worker processes and logs one signed statement for each.",
    "checks": "Lists every check: what it looks at, what it needs, what it maps to.",
}


def add_arguments(command: str, parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of `check`."""
    if command == "check":
        parser.add_argument(
            "assets", nargs="*", metavar="ASSET", help="NAME, NAME@2, NAME@production; default all of assay.yaml"
        )
        parser.add_argument(
            "--only", metavar="GLOB", action="append", default=[], help="only checks whose id matches; may be repeated"
        )
        parser.add_argument(
            "--lists", metavar="FILE", action="append", default=[],
            help="one more allow-list for model files, FILE or FILE@sha256:HEX; may be repeated",
        )  # fmt: skip
        parser.add_argument(
            "--rejudge",
            action="store_true",
            help="judge the facts of the newest scan again with the lists of today; opens no file",
        )
        parser.add_argument("--seed", type=int, default=0, help="seed of every random choice")
        parser.add_argument(
            "--tested-on",
            metavar="ASSET",
            action="append",
            default=[],
            help="test data to use instead of those declared",
        )
        parser.add_argument("--again", action="store_true", help="run also what stands recorded and is current")
        parser.add_argument("--engine", default="local", choices=("local",), help="where checks run")
        parser.add_argument("--workers", type=count, help="checks at once; default the number of cores")
        parser.add_argument("--timeout", type=count, default=600, metavar="S", help="seconds for one check")
        parser.add_argument("--memory", type=count, default=2048, metavar="MIB", help="memory for one check")


def run(command: str, options: argparse.Namespace) -> int:
    """Runs one of the commands."""
    return _list(Session(options)) if command == "checks" else _check(Session(options, tuple(FORMATS)))


def _check(session: Session) -> int:
    options = session.options
    limits = Limits(wall_s=options.timeout, cpu_s=options.timeout, memory_bytes=options.memory << 20)
    lists = tuple(map(read_list, options.lists))
    done: list[Examination] = []
    with session.open() as workspace, bars(session) as update:
        if options.rejudge:
            return _finish(session, _rejudged(session, workspace, lists))
        tested_on = [resolve(workspace, session.project, name) for name in options.tested_on]
        plan = Plan(options.only, options.seed, limits, options.workers, tested_on, options.again, lists)
        for version in _wanted(session, workspace, plan):
            if options.dry_run:
                done += _unrun(session, version, plan)
            else:
                done += examine(workspace, version, session.project, plan, on_event=lambda event: draw(event, update))
    return _finish(session, done)


def _finish(session: Session, done: Sequence[Examination]) -> int:
    """Prints what was found; the exit code is the worst of it and of checks that could not be imported."""
    was_nothing_run = session.options.dry_run and not session.options.rejudge
    report = _report(done, 0 if was_nothing_run else _exit_code(done))
    write_reports(session, report)
    return max(report.exit_code, _unusable(session), key=(0, 3, 1).index)


def _rejudged(session: Session, workspace: Workspace, added: Sequence[AddedList]) -> list[Examination]:
    """The models that are named, or all of assay.yaml that are registered; whether their files are here does not matter.

    Raises:
        UsageError: there is none, or other checks are asked for.
    """
    options = session.options
    if options.only or options.tested_on:
        raise UsageError(
            "--rejudge reads facts of model files", "it runs no other check", "leave out --only and --tested-on"
        )
    names = options.assets or [name for name, asset in session.project.assets.items() if asset.about.kind is Kind.MODEL]
    found = [
        workspace.registry.resolve(Reference.parse(name))
        for name in names
        if options.assets or workspace.registry.versions(name)
    ]
    if not found:
        raise UsageError("nothing to judge", "no model is named or registered", "name it as NAME@VERSION")
    lists = (*session.project.read_lists(), *added)
    return [rejudge(workspace, version, lists, log=not options.dry_run) for version in found]


def _wanted(session: Session, workspace: Workspace, plan: Plan) -> list[Version]:
    """The assets that are named, or all of assay.yaml that are registered and of a kind that some check looks at."""
    if session.options.assets:
        return [resolve(workspace, session.project, name) for name in session.options.assets]
    registered = [name for name in session.project.assets if workspace.registry.versions(name)]
    found = [resolve(workspace, session.project, name) for name in registered]
    wanted = [
        version
        for version in found
        if select(discover(), version.kind, plan.only or session.project.checks, version.declared)
    ]
    if not wanted:
        why = "no check looks at what is registered" if registered else "none of assay.yaml is registered"
        raise UsageError(
            "nothing to check", f"no asset is named, and {why}", "run `assay register`, see `assay checks`"
        )
    return wanted


def _unrun(session: Session, version: Version, plan: Plan) -> list[Examination]:
    chosen = select(discover(), version.kind, plan.only or session.project.checks)
    skipped = (Skipped(str(version), "not run: --dry-run"),)
    return [Examination(check, version, "skipped", skipped=skipped) for check in chosen]


def draw(event: Event, show: Callable[[str, float, float], None]) -> None:
    """Moves the bar of the check that an event is about."""
    if isinstance(event, Started):
        show(event.job.check.id, 0, 0)
    elif isinstance(event, Progressed):
        show(event.job.check.id, event.progress.done, event.progress.total)
    elif isinstance(event, Finished):
        show(event.result.check_id, 1, 1)


def _report(done: Sequence[Examination], exit_code: int) -> ScanReport:
    files = tuple(verdict for e in done for verdict in e.verdicts)
    findings = tuple(
        Found(f.location.split("@")[0].split(":")[0], e.check.id, f, str(e.version)) for e in done for f in e.findings
    )
    runs = tuple(
        CheckRun(e.check.id, str(e.version), e.state, e.failure or "; ".join(filter(None, (e.note, *(s.reason for s in e.skipped)))), e.measurements,
                 e.receipt.digest if e.receipt else None, e.is_recorded,
                 e.match.digest if e.match else None)
        for e in done
    )  # fmt: skip
    skipped = tuple(s for e in done if e.state != "skipped" for s in e.skipped)
    return ScanReport(files, findings, skipped, runs, exit_code)


def _exit_code(done: Sequence[Examination]) -> int:
    """1 if something was found, 3 if something could not be looked at, else 0."""
    if any(e.findings for e in done) or any(
        v.verdict in (Verdict.MALICIOUS, Verdict.UNKNOWN) for e in done for v in e.verdicts
    ):
        return 1
    unclear = any(v.verdict is not Verdict.CLEAN for e in done for v in e.verdicts)
    return 3 if unclear or any(e.state != "done" for e in done) else 0


def _list(session: Session) -> int:
    catalogue = discover()
    checks: list[Json] = [
        {"id": c.id, "version": c.version, "kinds": sorted(map(str, c.kinds)), "family": str(c.family), "needs": list(c.needs),
         "maps_to": list(c.maps_to), "runs_model": c.runs_model, "options": as_json(c.defaults), "title": c.title}
        for c in catalogue.checks.values()
    ]  # fmt: skip
    problems: Json = [{"source": p.source, "error": p.error} for p in catalogue.problems]
    rows = [(c["id"], ", ".join(c["kinds"]), ", ".join(c["needs"]) or "-", c["title"]) for c in checks]
    session.show(
        "checks", {"checks": checks, "problems": problems}, lambda: table(rows, ("check", "looks at", "needs", "asks"))
    )
    return _unusable(session)


def _unusable(session: Session) -> int:
    """Says which sources of checks could not be imported; that is never silent and never a pass."""
    problems = discover().problems
    for problem in problems:
        session.note(f"assay: checks of {problem.source} cannot be used: {problem.error}")
    return 3 if problems else 0
