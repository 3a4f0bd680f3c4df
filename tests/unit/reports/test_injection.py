"""Hostile text in every field: each form stays well-formed for its reader, and nothing in it acts."""

from __future__ import annotations

import html
import json
import re
from dataclasses import fields, is_dataclass, replace
from enum import StrEnum
from typing import Any
from xml.etree import ElementTree

import pytest
from tests.unit.reports.samples import CHECKED, GATE, SCANNED

from assay.core.digests import is_digest
from assay.surfaces.reports import FORMATS, Report, human
from assay.surfaces.reports.inert import inert, json_text

HOSTILE = {
    "html": "<script>alert(1)</script><img src=x onerror=alert(1)>",
    "markdown": "![x](https://evil.example/a.png) [click](javascript:alert(1)) | cell | `code` **b** -->",
    "mention": "@everyone please see #1, !2, $x$, GH-3 and www.evil.example",
    "autolink": "https://evil.example/ <https://evil.example/>",
    "workflow": "::error::x\n::set-output name=a::b\r\n::add-mask::x",
    "old-workflow": "x ##[add-path]/evil ##vso[task.setvariable variable=a]b ##teamcity[message text='x']",
    "percent": "100%0A::error::x, a:b",
    "csv": '=cmd|"/C calc"!A0',
    "ansi": "\x1b[2J\x1b]8;;https://evil.example\x07link\x1b]8;;\x07\x9b31m",
    "cdata": "]]><failure/><!-- --> &xxe; <!DOCTYPE x>",
    "bidi": "safe\u202egnp.exe\u2066\u200b\u2028\U000e0041",
    "controls": "\x00\x01\x08\x0b\x0c\x0e\x7f\ufffe\uffff",
    "surrogate": "name\udc80\ud800.pkl",
    "long": "A" * 5000 + "|",
    "wrapped": "word " * 30 + "::error::x " * 30,
    "section": "section_start:1:x\r\x1b[0Kpassed",
}


def poisoned(value: Any, text: str) -> Any:  # any field of any report
    """The same value with `text` in every string, but for digests, times and words of a closed list."""
    if isinstance(value, StrEnum) or value is None or isinstance(value, (int, float)):
        return value
    if isinstance(value, str):
        is_fixed = is_digest(value) or re.fullmatch(r"\d{4}-\d\d-\d\dT.*Z|enforce|done|failed|skipped|1\.2\.3", value)
        return value if is_fixed else text + value
    if is_dataclass(value):
        return replace(value, **{f.name: poisoned(getattr(value, f.name), text) for f in fields(value)})  # type: ignore[type-var]
    if isinstance(value, tuple):
        return tuple(poisoned(item, text) for item in value)
    return {poisoned(key, text): poisoned(item, text) for key, item in value.items()}


CASES = {
    f"{name}-{kind}": poisoned(report, text)
    for name, text in HOSTILE.items()
    for kind, report in {"gate": GATE, "scan": SCANNED, "check": CHECKED}.items()
}
every_case = pytest.mark.parametrize("report", CASES.values(), ids=CASES.keys())


@every_case
@pytest.mark.parametrize("form", FORMATS)
def test_no_letter_of_any_form_steers_a_terminal_or_a_build_log(form: str, report: Report) -> None:
    text = FORMATS[form](report)
    assert not [letter for letter in text if letter != "\n" and inert(letter) != letter and not letter.isspace()]
    assert not re.search(r"##\w*\[", text)
    text.encode("utf-8")
    if form != "github":
        assert not [line for line in text.splitlines() if line.lstrip().startswith("::")]


@every_case
def test_color_codes_are_the_only_escapes_of_the_human_form(report: Report) -> None:
    text = human.render(report, color=True)
    assert "\x1b" not in re.sub(r"\x1b\[[0-9;]{1,4}m", "", text)


@every_case
def test_github_gets_one_known_command_a_line(report: Report) -> None:
    for line in FORMATS["github"](report).splitlines():
        match = re.fullmatch(r"::(error|warning|notice) (file=[^:,]*,line=\d+,)?title=[^:,]*::.*", line)
        assert match, line
        assert not re.search(r"%(?!25|0A|3A|2C)", line)


@every_case
def test_junit_is_one_document_with_our_elements_only(report: Report) -> None:
    root = ElementTree.fromstring(FORMATS["junit"](report))
    known = {"testsuites", "testsuite", "properties", "property", "testcase", "failure", "error", "skipped",
             "system-out"}  # fmt: skip
    assert {element.tag for element in root.iter()} <= known


@every_case
def test_json_gives_the_text_back_as_it_was(report: Report) -> None:
    found = json.loads(FORMATS["json"](report))
    if report is CASES["html-gate"]:
        assert found["asset"] == HOSTILE["html"] + "scorer@3"
    assert FORMATS["json"](report).isascii()


@every_case
@pytest.mark.parametrize("form", ["sarif", "gitlab"])
def test_decoded_messages_are_inert_too(form: str, report: Report) -> None:
    for text in strings(json.loads(FORMATS[form](report))):
        assert all(line == inert(line, 10**6) for line in text.split("\n")), text
    if form == "sarif":  # of its fields only messages may hold links
        assert not re.search(r'"text": ".*\]\(', FORMATS[form](report))


@every_case
def test_markdown_has_no_tag_link_or_mention_of_others(report: Report) -> None:
    text = FORMATS["markdown"](report)
    first, *lines = text.splitlines()
    assert re.fullmatch(r"<!-- assay:(gate:[0-9a-f]{12}|scan|check) -->", first)
    tags = set(re.findall(r"<[^>]*>", "\n".join(lines)))
    assert tags <= {"<code>", "</code>", "<details>", "</details>", "<summary>", "</summary>"}
    outside = re.sub(r"<code>.*?</code>", "", "\n".join(lines)).replace("### Assay", "")
    assert not re.search(r"[`\[\]!\\]", outside)  # Markdown reads the source, a forge the text that it means
    assert not re.search(r"[@#$]|://|www\.", html.unescape(outside))
    rows = [line for line in lines if line.startswith("| ")]
    assert {line.count("|") for line in rows} <= {5, 6}


def test_hash_signs_in_json_survive_their_escape() -> None:
    value = {"##[x]": "\\##vso[", "n": [float("nan"), float("inf"), 1.5]}
    assert json.loads(json_text(value)) == {"##[x]": "\\##vso[", "n": ["nan", "inf", 1.5]}


def test_inert_text_keeps_what_people_write() -> None:
    assert inert("  Größe ≥ 3 × 数据 ✓\n next ") == "Größe ≥ 3 × 数据 ✓ next"


def strings(value: Any) -> list[str]:  # decoded JSON
    """Every string in a JSON value, keys too."""
    if isinstance(value, str):
        return [value]
    if isinstance(value, dict):
        return [found for key, item in value.items() for found in [key, *strings(item)]]
    return [found for item in value for found in strings(item)] if isinstance(value, list) else []
