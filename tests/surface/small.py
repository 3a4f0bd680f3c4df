"""A small project whose model every door lets through, with everybody's keys at hand to break one thing at a time.

    with small(tmp_path) as project:
        project.log(scan_of(project.version), "runner")    # signed by a person of `tests.support.Team`
        project.gate().code

Persons and their roles are those of `tests.support`; the clock is the real one, because that is what commands look at.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from unittest import mock

from tests.support import ORIGIN, Clock, Team, decision_of, head_of, make_workspace, scan_of, statement_about
from tests.surface.shop import Ran, Shop

from assay import guard
from assay.app.project import read_policy_file
from assay.app.trust_setup import first_policy
from assay.app.workspace import Workspace
from assay.core.canonical import Json
from assay.core.digests import sha256
from assay.core.errors import AssayError
from assay.core.statements import Statement
from assay.evidence.envelope import BUNDLE_TYPE, STATEMENT_PAYLOAD, envelope_json, pae
from assay.evidence.ledger import Item, Ledger, Receipt, subjects_in_leaf
from assay.evidence.predicates import Predicate
from assay.registry.queries import Version

STAGE = "approved"
POLICY = """\
policy: assay/policy/v1
name: small
applies_to: {kind: model, stage: [approved]}
evidence:
  scan:    {type: scan-result, checks: ["model_file.*"], max_age: 30d, signed_by: [scanner]}
  quality: {type: eval-result, checks: ["quality.*"], max_age: 30d, signed_by: [evaluator]}
rules:
  - {id: files-clean, severity: critical, threshold: {metric: scan.files_not_clean, op: "==", value: 0}}
  - {id: accurate, severity: high, threshold: {metric: quality.accuracy, op: ">=", value: 0.8, min_n: 300}}
"""


@dataclass(frozen=True)
class Small:
    """The project, its model, and ways to say things about it."""

    shop: Shop
    workspace: Workspace
    team: Team
    version: Version

    @property
    def path(self) -> Path:
        """Where the model lies."""
        found = self.workspace.location(self.version.digest)
        assert found is not None
        return found

    @property
    def policy(self) -> str:
        """The digest of the policy."""
        return read_policy_file(self.shop.folder / "policy.yaml").digest

    def log(self, statement: Statement, signer: str) -> Receipt:
        """Logs what the registry accepts."""
        return self.team.log(self.workspace, statement, signer)[0]

    def force(self, payload: bytes, statement: Statement, signer: str, type_: str = "") -> None:
        """Logs signed bytes past the registry's refusals, as somebody who writes the ledger file himself would.

        `statement` says what the entry claims to hold.
        """
        key = self.team[signer]
        signed = [(key.public.key_id, key.sign(pae(STATEMENT_PAYLOAD, payload)))]
        bundle = json.dumps({
            "dsseEnvelope": envelope_json(STATEMENT_PAYLOAD, payload, signed), "mediaType": BUNDLE_TYPE,
            "verificationMaterial": {"publicKey": {"hint": key.public.key_id}, "tlogEntries": []},
        }).encode()  # fmt: skip
        item = Item(
            sha256(payload), key.public.key_id, type_ or statement.type, subjects_in_leaf(statement), bundle, None
        )
        workspace = self.workspace
        Ledger(workspace.store, workspace.blobs, workspace.clock, lambda *_: None).append([item])

    def evaluated(self, **changes: Any) -> Statement:
        """An evaluation of the model; `changes` replace fields of it."""
        return evaluation(self.version, **changes)

    def decided(self, **changes: Any) -> Statement:
        """An allow of the gate as it should be; `changes` replace fields of it."""
        made = decision_of(self.version, STAGE, datetime.now(UTC), policy=self.policy)
        return replace(made, predicate={**made.predicate, **changes})

    def gate(self) -> Ran:
        """`assay gate`, recorded."""
        return self.shop.run("gate", str(self.version), "--to", STAGE, "--format", "json")

    def verify(self, *more: str) -> Ran:
        """`assay verify` of the model's bytes."""
        return self.shop.run("verify", self.path, "--stage", STAGE, "--format", "json", *more)

    def load(self) -> AssayError | None:
        """`guard.load`; None if it hands the model over, else what it refused with."""
        return self.load_path(self.path)

    def load_path(self, path: Path) -> AssayError | None:
        """The same for another path."""
        try:
            with contextlib.chdir(self.shop.folder), mock.patch.dict(os.environ, self.shop.environment):
                guard.load(path, stage=STAGE).close()
        except AssayError as error:
            return error
        return None


def evaluation(version: Version, *, accuracy: Any = 0.95, n: int = 1000, at: datetime | None = None,
               measurements: Sequence[Json] | None = None, **changes: Json) -> Statement:  # fmt: skip
    """A finished evaluation of accuracy."""
    hits = round(0.95 * n)
    measured: Json = {"better": "higher", "kind": "share", "limit": {"hits": hits, "n": n}, "metric": "accuracy", "n": n,
                      "unit": "share", "value": accuracy}  # fmt: skip
    predicate = {
        "findings": [], "head": head_of("quality.accuracy", at or datetime.now(UTC)), "outcomes": [], "skipped": [],
        "measurements": [measured] if measurements is None else list(measurements), "state": "done",
        "suite": {"name": "quality.accuracy", "sha256": "0" * 64, "version": 1},
    }  # fmt: skip
    return statement_about(version, Predicate.EVAL_RESULT, predicate | changes)


def scanned(version: Version) -> Statement:
    """A clean scan of one file, made now."""
    made = scan_of(version, check="model_file.format")
    return replace(made, predicate={**made.predicate, "head": head_of("model_file.format", datetime.now(UTC))})


@contextlib.contextmanager
def small(folder: Path, evidence: Callable[[Small], None] | None = None) -> Iterator[Small]:
    """A project with a registered, scanned model; `evidence` says the rest, by default a good evaluation by eve."""
    team = Team()
    now = datetime.now(UTC) - timedelta(seconds=2)
    (folder / "policy.yaml").write_text(POLICY)
    (folder / "assay.yaml").write_text("project: small\nassets: {}\npolicies: [policy.yaml]\n")
    with make_workspace(folder, team=team, clock=Clock(now), policy=first_policy(ORIGIN, team.members(), now)) as (
        workspace,
        _,
    ):
        version = team.registered(workspace)
        made = Small(Shop(folder, folder / "state"), workspace, team, version)
        made.log(scanned(version), "runner")
        (evidence or (lambda project: project.log(project.evaluated(), "eve")))(made)
        yield made
