"""`assay init`: keys, the first trust policy and an empty ledger for one person and this machine."""

from __future__ import annotations

import getpass
import platform
from pathlib import Path

from assay.app.trust_setup import Member, first_policy
from assay.app.workspace import Passphrase, Workspace, new_origin, no_passphrase, save_key, utc_now
from assay.core.digests import sha256
from assay.core.errors import UsageError
from assay.evidence.keys import PrivateKey
from assay.evidence.ledger import Clock
from assay.evidence.trust import sign_trust

PERSON_ROLES = ("root", "registrar", "data-owner", "trainer", "releaser", "incident")
MACHINE_ROLES = ("ledger", "scanner", "evaluator", "gate", "observer")


def create_workspace(folder: Path, *, owner: str | None = None, secret: bytes | None = None, clock: Clock = utc_now,
                     passphrase: Passphrase = no_passphrase, state: Path | None = None) -> Workspace:  # fmt: skip
    """A workspace with two keys: `person` (encrypted if `secret` is given) and `runner`, this machine's.

    Raises:
        UsageError: there is a workspace already.
    """
    if (folder / "trust.pin").exists():
        raise UsageError(f"there is a workspace at {folder} already", fix="remove the folder to begin anew")
    person, runner = PrivateKey.generate(), PrivateKey.generate()
    members = [
        Member(person.public, owner or getpass.getuser(), PERSON_ROLES),
        Member(runner.public, f"runner@{platform.node() or 'here'}", MACHINE_ROLES),
    ]
    policy = first_policy(new_origin(), members, clock())
    save_key(folder, "person", person, secret)
    save_key(folder, "runner", runner, None)
    return Workspace.create(
        folder, sign_trust(policy, [person]), sha256(policy), clock=clock, passphrase=passphrase, state=state
    )
