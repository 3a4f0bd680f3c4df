"""Does a whole trust document become the next policy, and nothing but a well-formed one?"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.support import make_workspace

from assay.app.trust_setup import next_policy
from assay.core.errors import MalformedInput, UsageError


def test_a_document_becomes_the_next_version_whatever_it_leaves_out(tmp_path: Path) -> None:
    with make_workspace(tmp_path) as (workspace, team):
        document = json.loads(workspace.trust().payload)
        del document["version"]
        document["log"]["max_checkpoint_age"] = "12h"
        document["roles"]["evaluator"]["checks"] = ["privacy.*"]
        payload = next_policy(workspace.trust(), document)
        workspace.append_trust(team.envelope(payload))
        trust = workspace.trust()
    assert (trust.version, trust.log.max_checkpoint_age.total_seconds()) == (2, 12 * 3600)
    assert trust.roles["evaluator"].checks == ("privacy.*",)


@pytest.mark.parametrize("document", [[], "x", {"version": 9}])
def test_a_document_of_another_shape_or_version_is_wrong_use(tmp_path: Path, document: object) -> None:
    with make_workspace(tmp_path) as (workspace, _), pytest.raises(UsageError):
        next_policy(workspace.trust(), document)


def test_a_document_with_an_unknown_field_is_refused(tmp_path: Path) -> None:
    with make_workspace(tmp_path) as (workspace, _):
        document = json.loads(workspace.trust().payload) | {"thresholds": {}}
        with pytest.raises(MalformedInput):
            next_policy(workspace.trust(), document)
