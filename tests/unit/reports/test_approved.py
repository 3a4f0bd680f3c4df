"""What each form says of one decision and one scan, word for word. `APPROVE=1 pytest` writes the files anew."""

from __future__ import annotations

import os
import re
from functools import partial
from pathlib import Path

import pytest
from tests.unit.reports.samples import CHECKED, GATE, NO_RULES, REPORTS, SCANNED

from assay.surfaces.reports import FORMATS, human

APPROVED = Path(__file__).parent / "approved"
SUFFIXES = {"human": "txt", "json": "json", "sarif": "sarif", "junit": "xml", "github": "github.txt",
            "gitlab": "gitlab.json", "markdown": "md", "html": "html"}  # fmt: skip
CASES = {f"gate.{SUFFIXES[name]}": (render, GATE) for name, render in FORMATS.items()}
CASES |= {f"scan.{SUFFIXES[name]}": (render, SCANNED) for name, render in FORMATS.items()}
CASES |= {
    "gate-color.txt": (partial(human.render, color=True), GATE),
    "gate-narrow.txt": (partial(human.render, width=60), GATE),
    "no-rules.txt": (human.render, NO_RULES),
    "check.txt": (human.render, CHECKED),
    "check.json": (FORMATS["json"], CHECKED),
}


@pytest.mark.parametrize("name", CASES)
def test_a_report_reads_as_approved(name: str) -> None:
    render, report = CASES[name]
    text = render(report)
    if os.environ.get("APPROVE"):
        (APPROVED / name).write_text(text, encoding="utf-8")
    assert text == (APPROVED / name).read_text(encoding="utf-8")


def test_no_approved_file_is_left_over() -> None:
    assert {path.name for path in APPROVED.iterdir()} == set(CASES)


def test_color_repeats_what_the_words_say() -> None:
    for report in REPORTS.values():
        assert re.sub(r"\x1b\[[0-9;]*m", "", human.render(report, color=True)) == human.render(report)


@pytest.mark.parametrize("width", [0, 50, 72, 100, 200])
def test_lines_of_a_decision_keep_to_the_width(width: int) -> None:
    longest = max(map(len, human.render(GATE, width=width).splitlines()))
    assert longest <= max(width, 91)  # a digest with its label is never broken


@pytest.mark.parametrize("form", FORMATS)
def test_what_blocks_is_visible_in_every_form(form: str) -> None:
    text = FORMATS[form](GATE)
    for word in ("group-gap", "accuracy-kept", "evidence.redteam", "members-hidden"):
        assert word in text
    for report in (NO_RULES, REPORTS["empty"]):
        assert re.search("undecided|INCONCLUSIVE", FORMATS[form](report), re.IGNORECASE if report is NO_RULES else 0)
    assert "privacy.membership" in FORMATS[form](CHECKED)
    assert "models/odd.bin" in FORMATS[form](SCANNED).replace("&#47;", "/")


@pytest.mark.parametrize("form", FORMATS)
def test_every_open_rule_names_its_evidence_signer_and_age(form: str) -> None:
    text = FORMATS[form](GATE)
    assert "f12fd56ea99e" in text
    assert "alice" in text
    assert "3 d old" in text or '"age_s": 259200' in text
