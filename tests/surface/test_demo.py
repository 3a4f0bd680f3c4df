"""Does `assay demo` tell the story that it promises, on real data, and leave what it says behind?"""

from __future__ import annotations

import contextlib
import re
from pathlib import Path
from unittest import mock

import pytest
from tests.surface.conftest import Played
from tests.surface.shop import Shop

from assay.app.demo import story as story_of_the_demo
from assay.app.demo.story import Ending, Step, play
from assay.core.errors import UsageError
from assay.surfaces.cli import demonstration


def part(text: str, title: str) -> str:
    """One numbered step of the story."""
    found = re.search(rf"^ *\d+  [^\n]*{re.escape(title)}.*?(?=^ *\d+  |^The ledger)", text, re.MULTILINE | re.DOTALL)
    assert found, title
    return found[0]


def test_the_story_ends_well(played: Played) -> None:
    assert played.code == 0
    assert "The ledger is sound" in played.text
    assert "\x1b" not in played.text


def test_every_kind_of_decision_occurs(played: Played) -> None:
    assert set(re.findall(r"^    (ALLOW|DENY|UNDECIDED)  ", played.text, re.MULTILINE)) == {
        "ALLOW",
        "DENY",
        "UNDECIDED",
    }


def test_the_unapproved_version_is_undecided_though_every_rule_passes(played: Played) -> None:
    step = part(played.text, "nobody approved it yet")
    assert "14 of 14 rules pass" in step and "approvals missing: 1 of 1" in step


def test_the_tampered_candidate_is_denied_for_its_data_and_its_answers(played: Played) -> None:
    step = part(played.text, "flipped labels")
    assert "DENY" in step
    assert re.search(r"FAIL +trained-on-registered-data .*saw +false", step, re.DOTALL)
    assert "FAIL  accuracy-kept" in step


def test_the_biased_candidate_is_denied_for_its_gap(played: Played) -> None:
    step = part(played.text, "qualified minority applicants")
    assert "DENY" in step and "FAIL  group-gap " in step and "FAIL  group-gap-kept" in step


def test_too_few_rows_are_undecided_and_say_how_many_are_needed(played: Played) -> None:
    step = part(played.text, "measured on 150 rows only")
    assert "UNDECIDED" in step and "FAIL" not in step
    needed = [int(n.replace(",", "")) for n in re.findall(r"rows +([\d,]+) would decide it", step)]
    assert needed and all(n > 150 for n in needed)


def test_the_guard_refuses_the_quarantined_version(played: Played) -> None:
    assert "quarantined: rejections spiked" in part(played.text, "The guard refuses to load loan-scorer@4")


def test_the_rollback_restores_version_1(played: Played) -> None:
    assert "loan-scorer@production is loan-scorer@1 now; the guard loads it" in part(played.text, "Rollback")


def test_what_the_story_left_is_what_the_commands_say(glass: Shop) -> None:
    assets = {f"{a['name']}@{a['version']}": a for a in glass.run("log", "--format", "json").json["assets"]}
    assert assets["loan-scorer@1"]["aliases"] == ["production"]
    assert assets["loan-scorer@4"]["state"] == "quarantined"
    assert glass.run("verify", "models/first", "--stage", "production").code == 0
    refused = glass.run("verify", "models/better", "--stage", "production")
    assert refused.code == 1 and "quarantined" in refused.out
    audit = glass.run("ledger", "verify", "--format", "json").json
    assert audit["ok"] and audit["size"] == glass.size() and audit["unverified"] == 0


def test_every_file_that_the_story_names_at_its_end_is_there(played: Played) -> None:
    assert (played.shop.folder / "policies" / "production.yaml").is_file()
    for line in re.findall(r"^  assay (.*?)   ", played.text, re.MULTILINE):
        assert played.shop.run(*line.split(), *(["--dry-run"] if line.startswith("gate") else [])).code in (0, 1)


def test_the_demo_is_safe_to_play_again(shop: Shop) -> None:
    story = play(shop.folder, lambda event: None, state=shop.state)
    with contextlib.closing(story):
        first = next(story)
    assert isinstance(first, Step) and first.name == "register"
    assert not (shop.folder / "models" / "first").exists()
    assert shop.size() < 10


@pytest.mark.parametrize("name", ["assay.yaml", "train.py", "data", "models", "policies", ".assay"])
def test_a_folder_of_somebody_else_is_refused_and_left_alone(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_text("mine") if "." in name[1:] else path.mkdir()
    with pytest.raises(UsageError) as refused:
        next(play(tmp_path, lambda event: None))
    assert "empty folder" in refused.value.fix
    assert [found.name for found in tmp_path.iterdir()] == [name]


def test_a_demo_that_was_killed_while_it_was_laid_out_can_be_played_again(tmp_path: Path) -> None:
    with (
        mock.patch.object(story_of_the_demo, "_workspace", side_effect=KeyboardInterrupt),
        pytest.raises(KeyboardInterrupt),
    ):
        next(play(tmp_path, lambda event: None))
    story = play(tmp_path, lambda event: None, state=tmp_path / "state")
    with contextlib.closing(story):
        assert isinstance(next(story), Step)


def test_json_tells_the_steps_and_the_ledger(shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told = [Step("register", "Things become assets", ()), Ending(True, 3, 2, "ab")]
    monkeypatch.setattr(demonstration, "play", lambda *_, **__: iter(told))
    ran = shop.run("demo", "--folder", tmp_path / "new", "--format", "json")
    assert ran.json["schema"] == "assay/demo/v1"
    assert ran.json["ledger"] == {"ok": True, "size": 3, "root": "ab"}
    assert ran.json["steps"] == [{"name": "register", "title": "Things become assets", "exit": 0}]
    assert ran.code == 1  # a story without its decisions is not the story


def test_a_dry_run_of_the_demo_is_refused(tmp_path: Path) -> None:
    empty = Shop(tmp_path, tmp_path / "state")
    assert empty.run("demo", "--dry-run").code == 2
    assert not list(tmp_path.iterdir())
