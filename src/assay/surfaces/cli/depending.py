"""`assay deps` and `assay advisories`: dependencies against imported advisories, with or without a workspace."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from assay.app.advisories import Imported, import_advisories
from assay.app.dependencies import Answer, asset_dependencies, collect, look_up
from assay.checks.dependency.advisories import FILE
from assay.checks.dependency.matching import DEFAULT_MAX_AGE, Advisory, Match, State
from assay.core.canonical import Json
from assay.core.digests import shown
from assay.core.errors import UsageError
from assay.core.times import duration
from assay.formats.dependencies.database import Facts
from assay.formats.dependencies.vex import Claim
from assay.surfaces.cli.progress import bars
from assay.surfaces.cli.session import Session, receipt_json, receipt_text, resolve, table

ABOUT = {
    "deps": "Matches lock files, environments and bills of materials against imported advisories; offline.",
    "advisories": "Imports OSV records (folder, zip, tar, git checkout; JSON or YAML) and matches stored bills again.",
}
_MAX_ROWS = 200


def add_arguments(command: str, parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of one of the commands."""
    if command == "advisories":
        parser.add_argument("action", choices=("import",))
        parser.add_argument("paths", nargs="+", type=Path, metavar="PATH", help="folder, zip, tar or one record")
        parser.add_argument(
            "--leave-unreadable",
            action="store_true",
            help="let packages be clean although some records were unreadable",
        )
    else:
        parser.add_argument("paths", nargs="*", type=Path, metavar="PATH", help="file, project folder or environment")
        parser.add_argument("--asset", metavar="ASSET", help="match a registered asset instead, and sign the match")
    parser.add_argument("--database", type=Path, metavar="FILE", help=f"default {FILE} in the workspace")
    parser.add_argument(
        "--max-age",
        metavar="DURATION",
        help="older advisories clear nothing; default ASSAY_ADVISORIES_MAX_AGE, then 7d",
    )


def run(command: str, options: argparse.Namespace) -> int:
    """Runs one of the commands."""
    session = Session(options)
    if options.max_age is None:
        options.max_age = os.environ.get("ASSAY_ADVISORIES_MAX_AGE") or f"{DEFAULT_MAX_AGE.days}d"
    options.max_age = duration(options.max_age)
    return _import(session) if command == "advisories" else _deps(session)


def _deps(session: Session) -> int:
    options = session.options
    if bool(options.paths) == bool(options.asset):
        raise UsageError("which dependencies?", "name files or folders, or one asset with --asset", "`assay deps .`")
    if options.asset:
        return _asset(session)
    collected = collect(options.paths)
    claims: tuple[Claim, ...] = ()
    if (session.folder / "trust.pin").exists():
        from assay.app.rematch import workspace_claims

        with session.open() as workspace:
            claims = workspace_claims(workspace)
    answer = look_up(collected, _database(session), datetime.now(UTC), max_age=options.max_age, claims=claims)
    session.show("deps", _answer_json(answer), lambda: _answer_text(answer))
    return answer.exit_code


def _asset(session: Session) -> int:
    """Matches a registered asset and logs the match as evidence for gates."""
    from assay.app.rematch import log_match, workspace_claims

    options = session.options
    with session.open() as workspace:
        version = resolve(workspace, session.project, options.asset)
        answer = look_up(
            asset_dependencies(workspace, version), _database(session), workspace.clock(), max_age=options.max_age,
            claims=workspace_claims(workspace), subject=version.digest,
        )  # fmt: skip
        receipt = None if options.dry_run else log_match(workspace, version.digest, answer)
    said = _answer_json(answer) | {"asset": str(version), "statement": receipt_json(receipt)}
    session.show("deps", said, lambda: f"{_answer_text(answer)}\n{receipt_text(receipt)}")
    return answer.exit_code


def _database(session: Session) -> Path:
    named: Path | None = session.options.database
    return named or session.folder / FILE


def _import(session: Session) -> int:
    options = session.options
    has_workspace = (session.folder / "trust.pin").exists()
    target = options.database or session.folder / FILE
    if options.database is None and not has_workspace:
        raise UsageError("there is no workspace to import into", f"none at {session.folder}",
                         "run `assay init`, or name a file with --database FILE")  # fmt: skip
    if options.dry_run:
        session.show("advisories", {"would_write": str(target)}, f"would write {target}")
        return 0
    if options.database is not None:
        return _imported(session, target)
    return _imported_into_workspace(session, target)


def _imported(session: Session, target: Path) -> int:
    with bars(session) as update:
        made = import_advisories(
            session.options.paths, target, datetime.now(UTC), leave_unreadable=session.options.leave_unreadable,
            progress=lambda count: update("records", count, 0),
        )  # fmt: skip
    session.show("advisories", _imported_json(made), lambda: _imported_text(made))
    return 3 if made.facts.unreadable else 0


def _imported_into_workspace(session: Session, target: Path) -> int:
    from assay.app.rematch import rematch

    options = session.options
    with session.open() as workspace:
        with bars(session) as update:
            made = import_advisories(
                options.paths, target, workspace.clock(), workspace=workspace, leave_unreadable=options.leave_unreadable,
                progress=lambda count: update("records", count, 0),
            )  # fmt: skip
        again = rematch(workspace, target, max_age=options.max_age)
    more: dict[str, Json] = {
        "rematched": again.assets,
        "statements": [receipt_json(receipt) for receipt in again.statements],
        "incidents": [
            {"id": one.id, "asset": one.asset, "events": list(one.events), "statement": receipt_json(one.receipt)}
            for one in again.incidents
        ],
        "problems": list(again.problems),
    }
    lines = [f"incident {one.id} on {one.asset}: {'; '.join(one.events[:3])}" for one in again.incidents]
    lines += [f"not done: {problem}" for problem in again.problems]
    text = f"{again.assets} assets matched again, {len(again.incidents)} incidents opened"
    session.show("advisories", _imported_json(made) | more, lambda: "\n".join([_imported_text(made), text, *lines]))
    return 3 if made.facts.unreadable or again.problems else 0


def _imported_json(made: Imported) -> dict[str, Json]:
    receipt = made.registered.receipt if made.registered else None
    return {
        "database": _facts_json(made.facts)
        | {"ecosystems": {name: {"records": e.records, "newest_record": e.newest} for name, e in made.facts.ecosystems.items()}},
        "unreadable": [{"path": u.path, "reason": u.reason, "packages": u.packages} for u in made.unreadable],
        "unreadable_count": made.unreadable_count,
        "other_files": made.others,
        "superseded": made.superseded,
        "asset": shown(made.registered.manifest.digest) if made.registered else None,
        "statement": receipt_json(receipt),
    }  # fmt: skip


def _imported_text(made: Imported) -> str:
    facts = made.facts
    lines = [f"{facts.records:,} records, newest {facts.newest or '-'}, digest {facts.digest[:12]}…"]
    lines += [f"  {name}: {e.records:,} records, newest {e.newest}" for name, e in facts.ecosystems.items()]
    lines += [f"  could not be read: {_plain(u.path)}: {_plain(u.reason)}" for u in made.unreadable[:20]]
    if made.unreadable_count:
        lines.append(f"{made.unreadable_count:,} records could not be read")
    if facts.unreadable:
        lines.append(f"{facts.unreadable:,} of them could be about any package, so no package is clean by this database;"
                     " --leave-unreadable accepts that")  # fmt: skip
    if made.registered:
        lines.append(f"{made.registered.version}; {receipt_text(made.registered.receipt)}")
    return "\n".join(lines)


def _answer_json(answer: Answer) -> dict[str, Json]:
    counts = {str(state): sum(match.state is state for match in answer.matches) for state in State}
    return {
        "dependencies": [_match_json(match) for match in answer.matches],
        "database": _facts_json(answer.facts) if answer.facts
        else {"digest": None, "newest_record": None, "records": 0, "problem": answer.problem},
        "summary": counts,
        "sources": list(answer.collected.sources),
        "left_out": list(answer.collected.left_out),
        "exit_code": answer.exit_code,
    }  # fmt: skip


def _facts_json(facts: Facts) -> dict[str, Json]:
    return {
        "digest": shown(facts.digest), "newest_record": facts.newest, "records": facts.records, "imported": facts.imported,
        "unreadable": facts.unreadable, "left_out": facts.left_out,
    }  # fmt: skip


def _match_json(match: Match) -> dict[str, Json]:
    dependency = match.dependency
    return {
        "name": dependency.name,
        "ecosystem": dependency.ecosystem,
        "version": dependency.version,
        "state": str(match.state),
        "advisories": [_advisory_json(one) for one in match.advisories],
        "settled": [
            _advisory_json(one.advisory) | {"status": one.status, "statement": shown(one.statement)}
            for one in match.settled
        ],
        "reasons": list(match.reasons),
        "purl": dependency.purl,
        "where": dependency.where,
    }


def _advisory_json(one: Advisory) -> dict[str, Json]:
    return {
        "id": one.id, "aliases": list(one.aliases), "severity": one.severity, "cvss": one.cvss, "summary": one.summary,
        "fixed": list(one.fixed), "published": one.published, "vectors": [list(pair) for pair in one.vectors],
    }  # fmt: skip


def _answer_text(answer: Answer) -> str:
    order = {State.VULNERABLE: 0, State.UNKNOWN: 1}
    loud = sorted((m for m in answer.matches if m.state in order), key=lambda m: order[m.state])
    rows = [_row(match) for match in loud[:_MAX_ROWS]]
    facts = answer.facts
    lines = [table(rows, ("state", "package", "version", "at", "why"))] if rows else []
    lines += [f"and {len(loud) - _MAX_ROWS} more; --format json lists all"] if len(loud) > _MAX_ROWS else []
    counts = [f"{sum(m.state is state for m in answer.matches)} {state}" for state in State]
    lines.append(f"{len(answer.matches)} dependencies: {', '.join(counts)}")
    lines += ["nothing was looked at: no lock file, environment or bill of materials was found"] * (not answer.matches)
    if answer.collected.left_out:
        lines.append(f"left out: {', '.join(map(_plain, answer.collected.left_out[:8]))}")
    if facts:
        lines.append(f"advisories {facts.digest[:12]}…: {facts.records:,} records, newest {facts.newest or '-'}")
    else:
        lines.append(_plain(answer.problem))
    return "\n".join(lines)


def _row(match: Match) -> Sequence[str]:
    dependency = match.dependency
    why = "; ".join(
        f"{one.id} {one.severity}{f' {one.cvss}' if one.cvss is not None else ''}"
        + (f", fixed in {one.fixed[0]}" if one.fixed else "")
        for one in match.advisories[:5]
    ) or "; ".join(match.reasons)
    more = f" and {len(match.advisories) - 5} more" if len(match.advisories) > 5 else ""
    return (
        str(match.state),
        dependency.name[:60],
        (dependency.version or "-")[:30],
        dependency.where[:60],
        f"{why}{more}"[:200],
    )


def _plain(text: str) -> str:
    return "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in text)
