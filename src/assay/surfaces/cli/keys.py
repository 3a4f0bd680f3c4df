"""`assay key new|list|trust|policy`."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from assay.app.sign import save_p256
from assay.app.trust_setup import extended, next_policy, sign_with
from assay.app.workspace import Workspace, save_key
from assay.core.canonical import Json
from assay.core.digests import shown
from assay.core.errors import UsageError
from assay.evidence.keys import P256Key, PrivateKey, PublicKey, check_key_name
from assay.evidence.trust import ROLES, sign_trust
from assay.formats.yaml_strict import load_yaml
from assay.surfaces.cli.session import Session, count, new_passphrase, receipt_text, table

ABOUT = {
    "key": "Makes keys; shows who may say what; signs the next version of the trust policy: a key more, a key revoked, or a whole document."
}


def add_arguments(command: str, parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of `key`."""
    parser.add_argument("action", choices=("new", "list", "trust", "revoke", "policy", "apply"))
    parser.add_argument(
        "name",
        nargs="?",
        metavar="NAME|KEY",
        help="a key of this machine, or the public key `ed25519:HEX` of somebody else",
    )
    parser.add_argument("--owner", help="trust: the person or machine that the key belongs to")
    parser.add_argument("--role", action="append", default=[], choices=(*ROLES, "root"), help="trust: may be repeated")
    parser.add_argument(
        "--type", choices=("ed25519", "p256"), default="ed25519", help="new: p256 is for `assay sign`, for other tools"
    )
    parser.add_argument("--no-passphrase", action="store_true", help="new: keep the key unencrypted on disk")
    parser.add_argument(
        "--sign-with",
        metavar="NAME",
        action="append",
        default=[],
        help="trust, revoke: root keys; default every one here",
    )
    parser.add_argument("--days", type=count, default=365, help="trust, revoke: the new version's life")
    parser.add_argument("--compromised", action="store_true", help="revoke: what the key ever said counts no more")


def run(command: str, options: argparse.Namespace) -> int:
    """Runs one action."""
    session = Session(options)
    actions = {"new": _new, "list": _list, "trust": _trust, "revoke": _revoke, "policy": _policy, "apply": _apply}
    return actions[options.action](session)


def _new(session: Session) -> int:
    name = check_key_name(_named(session))
    session.open().close()  # a key belongs to a workspace; where there is none, this says so
    if session.options.dry_run:
        session.show("key", {"name": name, "key_id": None, "public": None}, f"would make key {name}")
        return 0
    if session.options.type == "p256":
        return _new_p256(session, name)
    key = PrivateKey.generate()
    save_key(session.folder, name, key, None if session.options.no_passphrase else new_passphrase(name))
    public = f"{key.public.keytype}:{key.public.public}"
    session.show("key", {"name": name, "key_id": key.public.key_id, "public": public},
                 f"key {name}\n  id      {key.public.key_id}\n  public  {public}\n  next    assay key trust {name} --owner PERSON --role ROLE")  # fmt: skip
    return 0


def _new_p256(session: Session, name: str) -> int:
    key = P256Key.generate()
    path = save_p256(session.folder, name, key, None if session.options.no_passphrase else new_passphrase(name))
    session.show("key", {"name": name, "key_id": key.public.key_id, "public": key.public.public, "file": str(path)},
                 f"key {name}\n  id      {key.public.key_id}\n  public  {path}\n  next    assay sign PATH --key {name}")  # fmt: skip
    return 0


def _list(session: Session) -> int:
    with session.open() as workspace:
        trust = workspace.trust()
        here = {path.with_suffix(".pub").read_text("ascii").split()[-1]: path.stem for path in workspace.key_files()}
    keys: list[Json] = [
        {"key_id": key_id, "owner": entry.owner, "on_this_machine": here.get(key_id), "revoked": entry.revoked_at is not None,
         "roles": [role for role, r in trust.roles.items() if key_id in r.members]
         + ["root"] * (key_id in trust.root_keys) + ["ledger"] * (key_id in trust.log.keys)}
        for key_id, entry in trust.keys.items()
    ]  # fmt: skip
    rows = [
        (
            k["on_this_machine"] or "-",
            k["owner"],
            ", ".join(k["roles"]) + (" REVOKED" if k["revoked"] else ""),
            k["key_id"][:12] + "…",
        )
        for k in keys
    ]
    value: Json = {"version": trust.version, "expires": f"{trust.expires:%Y-%m-%dT%H:%M:%SZ}", "keys": keys}
    head = f"trust policy version {trust.version}, expires {trust.expires:%Y-%m-%d}, digest {shown(trust.digest)}\n\n"
    session.show("keys", value, lambda: head + table(rows, ("here", "owner", "roles", "key")))
    return 0


def _trust(session: Session) -> int:
    options = session.options
    if not options.role or not options.owner:
        raise UsageError(
            "trust needs --owner and at least one --role", fix="assay key trust NAME --owner ada --role evaluator"
        )
    with session.open() as workspace:
        public = _public(workspace, _named(session))
        payload = extended(
            workspace.trust(), workspace.clock(), add=(public, options.owner, tuple(options.role)), days=options.days
        )
        return _adopt(session, workspace, payload)


def _revoke(session: Session) -> int:
    with session.open() as workspace:
        known = workspace.trust().keys
        wanted = _named(session)
        match = [key_id for key_id in known if key_id.startswith(wanted)] or [
            path.with_suffix(".pub").read_text("ascii").split()[-1]
            for path in workspace.key_files()
            if path.stem == wanted
        ]
        if len(match) != 1:
            raise UsageError(f"{len(match)} keys of the trust policy match {wanted[:40]!r}", fix="see `assay key list`")
        revoked = (match[0], workspace.ledger.size(), session.options.compromised)
        return _adopt(
            session,
            workspace,
            extended(workspace.trust(), workspace.clock(), revoke=revoked, days=session.options.days),
        )


def _policy(session: Session) -> int:
    with session.open() as workspace:
        print(json.dumps(json.loads(workspace.trust().payload), indent=None if session.is_json else 2))
    return 0


def _apply(session: Session) -> int:
    """A whole trust document: thresholds, names, kinds, checks, ends of keys, witnesses, the age of checkpoints."""
    try:
        data = Path(_named(session)).read_bytes()
    except OSError as error:
        raise UsageError(f"cannot read {_named(session)}", str(error), "write one from `assay key policy`") from error
    with session.open() as workspace:
        return _adopt(session, workspace, next_policy(workspace.trust(), load_yaml(data, _named(session))))


def _adopt(session: Session, workspace: Workspace, payload: bytes) -> int:
    if session.options.dry_run:
        print(json.dumps(json.loads(payload), indent=2))
        return 0
    receipt = workspace.append_trust(sign_trust(payload, sign_with(workspace, session.options.sign_with)))
    trust = workspace.trust()
    session.show("trust", {"version": trust.version, "digest": shown(trust.digest), "statement": shown(receipt.digest)},
                 f"trust policy version {trust.version} is in force; {receipt_text(receipt)}")  # fmt: skip
    return 0


def _public(workspace: Workspace, text: str) -> PublicKey:
    if text.startswith("ed25519:"):
        return PublicKey("ed25519", text.removeprefix("ed25519:"))
    path = workspace.folder / "keys" / f"{text}.pub"
    if path.is_file() and path.read_bytes().startswith(b"-----BEGIN"):
        raise UsageError(f"key {text[:80]} is for `assay sign` only", "P-256 keys sign models, Ed25519 keys sign statements",
                         "make one with `assay key new NAME`")  # fmt: skip
    try:
        keytype, public, _ = Path(path).read_text("ascii").split()
    except (OSError, ValueError) as error:
        raise UsageError(
            f"there is no key {text[:80]!r} here",
            "expected a key of this machine or ed25519:HEX",
            f"assay key new {text[:40]}",
        ) from error
    return PublicKey(keytype, public)


def _named(session: Session) -> str:
    if not session.options.name:
        raise UsageError("which key?", fix=f"assay key {session.options.action} NAME")
    return str(session.options.name)
