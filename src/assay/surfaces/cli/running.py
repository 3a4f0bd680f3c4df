"""`assay verify` and `assay bundle`."""

from __future__ import annotations

import argparse
from datetime import UTC, datetime
from pathlib import Path

from assay.app.offline import open_offline, pack, verify_offline
from assay.app.policies import digests_that_count
from assay.app.verify import DECISION_MAX_AGE, Demand, Verification, verify_digest, verify_path
from assay.app.workspace import Workspace
from assay.core.digests import read_digest, shown
from assay.core.errors import AssayError, UsageError
from assay.core.times import duration
from assay.evidence.blobs import write_whole
from assay.evidence.files import manifest_of
from assay.surfaces.cli.session import Session, resolve, typed
from assay.surfaces.cli.signing import add_verify_arguments, verify_oms

ABOUT = {
    "verify": "Recomputes the digest of a path and says whether exactly these bytes may run: signatures, trust, decision, age, quarantine.",
    "bundle": "Writes one file with everything needed to verify an asset offline.",
}


def add_arguments(command: str, parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of one of the commands."""
    if command == "bundle":
        parser.add_argument("asset", metavar="ASSET")
        parser.add_argument("-o", "--output", required=True, type=Path, metavar="FILE")
        return
    parser.add_argument(
        "target", metavar="PATH|ASSET", help="a file or folder, or NAME@VERSION to ask about the statements only"
    )
    parser.add_argument("--stage", help="where it is to run, such as production")
    parser.add_argument("--as", dest="asset", metavar="ASSET", help="the path must hold exactly this version")
    parser.add_argument("--bundle", type=Path, metavar="FILE", help="verify offline from this file")
    parser.add_argument(
        "--trust",
        metavar="DIGEST",
        type=typed(read_digest),
        help="digest of the first trust policy; needed with --bundle",
    )
    parser.add_argument(
        "--max-age", metavar="DURATION", type=typed(duration), help="oldest decision that counts; default 30d"
    )
    parser.add_argument("--policy", type=Path, metavar="FILE", help="the decision must be under this policy")
    add_verify_arguments(parser)


def run(command: str, options: argparse.Namespace) -> int:
    """Runs one of the commands."""
    return _bundle(Session(options)) if command == "bundle" else _verify(Session(options))


def _verify(session: Session) -> int:
    options = session.options
    if options.oms or options.public_key:
        return verify_oms(session)
    answer = _offline(session) if options.bundle else _online(session)
    reasons = [{"code": r.code, "text": r.text, "fix": r.fix, "undecided": r.is_undecided} for r in answer.reasons]
    session.show("verify", {
        "ok": answer.ok, "digest": shown(answer.digest) if answer.digest else None, "asset": answer.name, "stage": options.stage,
        "reasons": reasons, "decision": shown(answer.decision) if answer.decision else None,
    }, lambda: _text(answer))  # fmt: skip
    return answer.exit_code


def _online(session: Session) -> Verification:
    options = session.options
    with session.open() as workspace:
        path = Path(options.target)
        if path.exists() or path.is_symlink():
            version = resolve(workspace, session.project, options.asset) if options.asset else None
            return verify_path(workspace, path, _demand(session, workspace), version)
        if "@" not in options.target and not workspace.registry.versions(options.target):
            raise UsageError(f"there is no file and no asset {options.target!r}", fix="give a path, or NAME@VERSION")
        version = resolve(workspace, session.project, options.target)
        return verify_digest(workspace, version.digest, _demand(session, workspace), str(version))


def _offline(session: Session) -> Verification:
    options = session.options
    if not options.trust:
        raise UsageError(
            "which trust policy?", "an offline bundle brings its own, so it must be pinned", "add --trust sha256:HEX"
        )
    try:
        data = options.bundle.read_bytes()
    except OSError as error:
        raise UsageError(f"cannot read {options.bundle}", str(error)) from error
    pin, path, demand = options.trust, Path(options.target), _demand(session, None)
    try:
        about = open_offline(data, pin)
    except AssayError:  # verify_offline says why, as reasons
        return verify_offline(data, pin, demand, None)
    if path.exists() or path.is_symlink():
        found = manifest_of(path, about.manifest.kind, ignored=about.manifest.ignored, symlinks=about.symlinks)
        return verify_offline(data, pin, demand, found)
    if options.target not in (about.name, f"{about.name}@{about.version}"):
        raise UsageError(f"there is no file {options.target!r}", f"and the bundle is about {about.name}@{about.version}",
                         f"give a path, or {about.name}@{about.version} to ask about the statements only")  # fmt: skip
    return verify_offline(data, pin, demand, None)


def _demand(session: Session, workspace: Workspace | None) -> Demand:
    """Online, a decision counts only under the policies of today; a bundle's host may not know them."""
    options = session.options
    policies = (
        session.project.read_policies(options.policy)
        if workspace and (options.policy or session.project.policies)
        else ()
    )
    return Demand(
        datetime.now(UTC),
        options.stage,
        digests_that_count(workspace, options.stage, policies) if workspace else None,
        DECISION_MAX_AGE if options.max_age is None else options.max_age,
    )


def _bundle(session: Session) -> int:
    options = session.options
    with session.open() as workspace:
        version = resolve(workspace, session.project, options.asset)
        data = pack(workspace, version)
        pin = shown(workspace.pin)
    if not options.dry_run:
        write_whole(options.output, data)
    session.show("bundle", {"asset": str(version), "bundle": str(options.output), "size_bytes": len(data), "trust": pin},
                 f"{options.output}: {version}, {len(data)} bytes\n"
                 f"verify with: assay verify PATH --stage STAGE --bundle {options.output} --trust {pin}")  # fmt: skip
    return 0


def _text(answer: Verification) -> str:
    where = f" at {answer.stage}" if answer.stage else ""
    head = f"{answer.name or 'asset'}{where}: {'may run' if answer.ok else 'UNDECIDED' if answer.exit_code == 3 else 'REFUSED'}   {shown(answer.digest)[:25]}…"
    lines = [head]
    for reason in answer.reasons:
        said = reason.text if reason.text.startswith(reason.code) else f"{reason.code}: {reason.text}"
        lines.append(f"  {'?' if reason.is_undecided else 'no':4s}{said}")
        lines += [f"      fix  {reason.fix}"] if reason.fix else []
    if answer.decision and answer.ok:
        lines.append(f"  by  decision {answer.decision[:12]}…")
    return "\n".join(lines)
