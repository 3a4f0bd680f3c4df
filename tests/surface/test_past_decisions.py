"""A decision is a function of ledger head, policy, subject, stage and time: any machine computes the same bytes again."""

from __future__ import annotations

import base64
import hashlib
import json
import subprocess
import sys
from dataclasses import dataclass
from typing import Any

import pytest
from tests.support import Team
from tests.surface.shop import Shop
from tests.surface.small import evaluation

from assay.app.gate import gate
from assay.app.history import at_head
from assay.app.project import read_policy_file
from assay.core.assets import Reference
from assay.core.digests import sha256
from assay.evidence.envelope import sign
from assay.evidence.ledger import Item
from assay.evidence.predicates import Predicate

PLACES = (
    {"TZ": "Pacific/Auckland", "LC_ALL": "C", "PYTHONHASHSEED": "1"},
    {"TZ": "America/St_Johns", "LC_ALL": "tr_TR.UTF-8", "PYTHONHASHSEED": "12345", "LANG": "de_DE.UTF-8"},
)


@dataclass(frozen=True)
class Logged:
    """A decision as the ledger has it: the version it is about, its stage, and its body."""

    asset: str
    digest: str
    body: dict[str, Any]


def decisions(shop: Shop) -> list[Logged]:
    """Every decision of the story, oldest first."""
    found = []
    with shop.open() as workspace:
        for version in workspace.registry.versions("loan-scorer"):
            for leaf in workspace.ledger.about(version.digest):
                if leaf.type == Predicate.DECISION:
                    bundle = json.loads(workspace.ledger.bundle(leaf))
                    said = json.loads(base64.b64decode(bundle["dsseEnvelope"]["payload"]))["predicate"]
                    data = workspace.blobs.get(said["assay_body"])
                    assert data is not None
                    found.append((leaf.index, Logged(str(version), said["assay_body"], json.loads(data))))
    return [logged for _, logged in sorted(found, key=lambda item: item[0])]


def test_every_decision_of_the_story_is_recomputed_byte_for_byte(shop: Shop) -> None:
    told = decisions(shop)
    assert len(told) >= 8 and {each.body["answer"] for each in told} == {"allow", "deny", "undecided"}
    policies = (shop.folder / "policies" / "production.yaml",)
    for logged in told:
        with shop.open() as live, at_head(live, logged.body["ledger_size"], logged.body["now"]) as past:
            version = past.registry.resolve(Reference.parse(logged.asset))
            again = gate(
                past, version, logged.body["stage"], [read_policy_file(path) for path in policies], is_dry=True
            )
        assert again.decision.digest == logged.digest == sha256(again.decision.body)


CHILD = """
import json, sys
from pathlib import Path
from assay.app.gate import gate
from assay.app.history import at_head
from assay.app.project import read_policy_file
from assay.app.workspace import Workspace
from assay.core.assets import Reference
wanted = json.load(sys.stdin)
policy = read_policy_file(Path("policies/production.yaml"))
for asset, stage, size, now in wanted:
    with Workspace(Path(".assay")) as live, at_head(live, size, now) as past:
        body = gate(past, past.registry.resolve(Reference.parse(asset)), stage, [policy], is_dry=True).decision.body
    print(body.hex())
"""


@pytest.mark.parametrize("place", PLACES, ids=lambda place: place["TZ"])
def test_other_time_zones_locales_and_hash_seeds_give_the_same_bytes(place: dict[str, str], shop: Shop) -> None:
    told = decisions(shop)
    wanted = [(d.asset, d.body["stage"], d.body["ledger_size"], d.body["now"]) for d in told]
    done = subprocess.run([sys.executable, "-c", CHILD], cwd=shop.folder, env=shop.child_environment(place), text=True,
                          input=json.dumps(wanted), capture_output=True, timeout=120, check=True)  # fmt: skip
    bodies = [bytes.fromhex(line) for line in done.stdout.split()]
    assert [hashlib.sha256(body).hexdigest() for body in bodies] == [each.digest for each in told]


def test_the_command_recomputes_without_logging(shop: Shop) -> None:
    logged = decisions(shop)[-1]
    size = shop.size()
    ran = shop.child("gate", logged.asset, "--to", logged.body["stage"], "--at", str(logged.body["ledger_size"]), "--now", logged.body["now"],
                     "--format", "json", environment=PLACES[0])  # fmt: skip
    assert ran.code == 0 and ran.json["statement"] is None
    assert ran.json["ledger"]["root"] == logged.body["ledger_root"] and ran.json["now"] == logged.body["now"]
    assert [rule["outcome"] for rule in ran.json["rules"]] == [rule["outcome"] for rule in logged.body["rules"]]
    assert shop.size() == size


def test_a_past_without_the_asset_is_wrong_use(glass: Shop) -> None:
    assert glass.run("gate", "loan-scorer@4", "--to", "approved", "--at", "10").code == 2


def test_statements_by_unknown_keys_do_not_bar_the_way_back(shop: Shop) -> None:
    """They are logged and count nothing; `--at` used to refuse a ledger that held one."""
    stranger = Team()["mallory"]
    with shop.open() as workspace:
        version = workspace.registry.resolve(Reference("loan-scorer", version=1))
        workspace.log([Item.of(sign(evaluation(version), stranger))])
    ran = shop.run("gate", "loan-scorer@1", "--to", "production", "--at", str(shop.size()))
    assert ran.code == 0, ran.said
