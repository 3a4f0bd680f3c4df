"""The documents keep their word: links lead somewhere, commands parse, policies lint, and the first hour runs as it is written."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from assay.app.project import read_project
from assay.policy.documents import read_policy
from assay.policy.lint import lint
from assay.policy.reasons import REASONS
from assay.policy.trial import run_policy_tests
from assay.surfaces.cli.main import COMMANDS, parser_for

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "SECURITY.md", *sorted((ROOT / "docs").rglob("*.md"))]
TUTORIAL = ROOT / "docs" / "tutorial" / "first-hour.md"

_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\[[^\]]+\]\(([^)\s]+)\)")
_COMMAND = re.compile(r"^\s*(?:\$ |- run: )?assay (?!:)(.*)$", re.MULTILINE)
_ENDS_COMMAND = re.compile(r"^(?:\||&&|;|\d?[<>].*)$")


@dataclass(frozen=True)
class Block:
    """A fenced block: the page and line where it begins, its language and its text."""

    page: Path
    line: int
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def blocks(pages: list[Path] = PAGES) -> list[Block]:
    found = []
    for page in pages:
        text = page.read_text("utf-8")
        found += [
            Block(page, text.count("\n", 0, m.start()) + 1, m[1], m[2].replace("\\\n", " "))
            for m in _FENCE.finditer(text)
        ]
    return found


def commands(block: Block) -> Iterator[list[str]]:
    """The words of each `assay` command of a block, without prompt, comment, pipe and redirection; `…` made whole."""
    for line in _COMMAND.findall(block.text) if block.language in ("", "sh", "console", "yaml") else ():
        words = shlex.split(re.sub(r"sha256:[0-9a-f]*…", "sha256:" + "0" * 64, line), comments=True)
        end = next((place for place, word in enumerate(words) if _ENDS_COMMAND.match(word)), len(words))
        yield words[:end]


def slug(heading: str) -> str:
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


def yaml_blocks(first_key: str) -> list[Block]:
    return [block for block in blocks() if block.language == "yaml" and block.text.startswith(f"{first_key}:")]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_somewhere(page: Path) -> None:
    for link in _LINK.findall(_FENCE.sub("", page.read_text("utf-8"))):
        target, _, anchor = link.partition("#")
        if target.startswith(("https://", "http://", "mailto:")):
            continue
        place = (page.parent / target).resolve() if target else page
        assert place.exists(), f"{page.name} links to {link}"
        if anchor:
            headings = re.findall(r"^#+ (.+)$", place.read_text("utf-8"), re.MULTILINE)
            assert anchor in map(slug, headings), f"{page.name} links to {link}"


@pytest.mark.parametrize("block", [block for block in blocks() if any(commands(block))], ids=str)
def test_every_command_in_the_documents_exists_with_its_options(block: Block) -> None:
    for words in commands(block):
        if words[0].startswith("-"):
            continue
        assert words[0] in COMMANDS, f"{block}: assay {words[0]}"
        try:
            parser_for(words[0]).parse_args(words[1:])
        except SystemExit as end:
            assert end.code == 0, f"{block}: assay {' '.join(words)}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_command_named_in_a_sentence_exists(page: Path) -> None:
    sentences = _FENCE.sub("", page.read_text("utf-8"))
    named = set(re.findall(r"`assay ([a-z]+)", sentences))
    assert named <= set(COMMANDS), named - set(COMMANDS)


@pytest.mark.parametrize("block", yaml_blocks("policy"), ids=str)
def test_every_policy_in_the_documents_lints(block: Block) -> None:
    assert [problem for problem in lint(read_policy(block.text.encode(), str(block))) if problem.is_error] == []


@pytest.mark.parametrize("block", yaml_blocks("tests"), ids=str)
def test_every_policy_test_in_the_documents_holds_for_the_policy_of_its_page(block: Block) -> None:
    page = next(other for other in yaml_blocks("policy") if other.page == block.page)
    for result in run_policy_tests(read_policy(page.text.encode(), str(page)), block.text.encode(), str(block)):
        assert result.is_passed, (result.name, result.differences)


@pytest.mark.parametrize("block", [*yaml_blocks("project"), *yaml_blocks("assets"), *yaml_blocks("checks")], ids=str)
def test_every_project_file_in_the_documents_can_be_read(block: Block, tmp_path: Path) -> None:
    (tmp_path / "assay.yaml").write_text(block.text, "utf-8")
    assert read_project(tmp_path / "assay.yaml")


@pytest.mark.parametrize("block", [block for block in blocks() if block.language == "python"], ids=str)
def test_every_python_example_compiles(block: Block) -> None:
    compile(block.text, str(block), "exec")


def test_the_reference_of_policies_names_every_reason_and_no_other() -> None:
    page = (ROOT / "docs" / "reference" / "policies.md").read_text("utf-8")
    table = page.partition("## Reason codes")[2].partition("\n## ")[0]
    cells = [row.split(" | ")[0] for row in table.splitlines() if row.startswith("| `")]
    assert {word for cell in cells for word in re.findall(r"`([a-z-]+)`", cell)} == set(REASONS)


@pytest.mark.timeout(900)  # it runs every command of a page, on whatever machine
def test_the_first_hour_runs_as_it_is_written(tmp_path: Path) -> None:
    """Every file of the tutorial is saved and every command is run, in order; each ends as its output says."""
    page = TUTORIAL.read_text("utf-8")
    for folder in ("data", "policies"):
        (tmp_path / folder).mkdir()
    bin_folder = str(Path(sys.executable).parent)
    environment = os.environ | {"ASSAY_STATE": str(tmp_path / "state"), "PATH": f"{bin_folder}:{os.environ['PATH']}"}

    def run(words: list[str]) -> subprocess.CompletedProcess[str]:
        return subprocess.run(words, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)

    saved = _saved_files(page)
    (tmp_path / "prepare.py").write_text(saved.pop("prepare.py"), "utf-8")
    assert run([sys.executable, "prepare.py"]).returncode == 0
    for words, shown in _told_commands(page):
        quiet = ["--no-passphrase"] if words[0] == "init" or words[:2] == ["key", "new"] else []
        done = run(["assay", *words, *quiet])
        expected = 3 if "UNDECIDED" in shown else 1 if re.search(r"^DENY|REFUSED", shown, re.MULTILINE) else 0
        assert done.returncode == expected, (words, done.stdout, done.stderr)
        if words[0] == "init":
            for name, text in saved.items():
                (tmp_path / name).write_text(text, "utf-8")
        if words[0] == "verify" and expected == 0:
            assert run([sys.executable, "serve.py"]).stdout == "[1]\n"


def _saved_files(page: str) -> dict[str, str]:
    """What the tutorial says to save, by file name: the first block after each mention."""
    mentions = ("prepare.py", "train.py", "serve.py", "assay.yaml", "policies/release.yaml")
    said = {"assay.yaml": "Replace `assay.yaml`"}
    return {name: _first_block(page[page.index(said.get(name, f"Save this as `{name}`")) :]) for name in mentions}


def _first_block(text: str) -> str:
    found = _FENCE.search(text)
    assert found is not None
    return found[2]


def _told_commands(page: str) -> Iterator[tuple[list[str], str]]:
    """Each command behind a prompt with the output shown below it."""
    for block in _FENCE.findall(page):
        for part in re.split(r"^\$ ", block[1], flags=re.MULTILINE)[1:]:
            line, _, shown = part.partition("\n")
            yield shlex.split(line)[1:], shown
