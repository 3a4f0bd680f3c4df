"""Is every command, error and check documented, as it is now?"""

from __future__ import annotations

import ast
import importlib.util
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
from tests.surface.shop import REPO

from assay.app.runner.discovery import discover
from assay.core import errors
from assay.core.errors import AssayError
from assay.policy.reasons import REASONS
from assay.surfaces.cli.main import COMMANDS, parser_for

PENDING: set[str] = set()
REFERENCE = REPO / "docs" / "reference"
SOURCE = "\n".join(path.read_text("utf-8") for path in sorted((REPO / "src").rglob("*.py")))


@pytest.fixture(scope="module")
def maker() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_reference", REPO / "tools" / "make_reference.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def page(name: str) -> str:
    return (REFERENCE / name).read_text("utf-8")


def options_of(command: str) -> set[str]:
    return {name for action in parser_for(command)._actions for name in action.option_strings}


def test_the_pages_that_are_made_from_the_code_are_up_to_date(maker: ModuleType) -> None:
    assert maker.main(["--check"]) == 0


def test_making_them_twice_gives_the_same_bytes(maker: ModuleType) -> None:
    assert maker.pages() == maker.pages()


def test_a_page_that_was_edited_or_lost_is_noticed(
    maker: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(maker, "FOLDER", tmp_path)
    assert maker.main(["--check"]) == 1
    assert maker.main([]) == 0 and maker.main(["--check"]) == 0
    (tmp_path / "errors.md").write_text("edited")
    assert maker.main(["--check"]) == 1


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_and_option_is_documented(command: str) -> None:
    text = page("commands.md")
    assert f"\n## assay {command}\n" in text
    assert not {name for name in options_of(command) - {"-h", "--help"} if not re.search(rf"[` ]{name}[`, ]", text)}


def test_every_error_code_in_the_source_is_documented() -> None:
    used = set(re.findall(r'code(?:, exit_code)? = "(A-[A-Z-]+)"', SOURCE)) | set(
        re.findall(r"  \[(A-[A-Z]{2,})\]", SOURCE)
    )
    used -= {AssayError.code}
    assert len(used) > 15
    assert used <= set(re.findall(r"^\| (A-[A-Z-]+) \|", page("errors.md"), re.MULTILINE))


def test_the_tree_at_the_top_of_the_errors_names_every_one_of_them() -> None:
    kinds = [
        kind
        for kind in vars(errors).values()
        if isinstance(kind, type) and kind is not AssayError and issubclass(kind, AssayError)
    ]
    assert len(kinds) > 10
    for kind in kinds:
        assert re.search(
            rf"{kind.__name__} +{kind.code} .* exit {kind.exit_code}$", errors.__doc__ or "", re.MULTILINE
        ), kind


@pytest.mark.parametrize("check", discover().checks)
def test_every_check_is_documented(check: str) -> None:
    assert f"\n## {check}\n" in page("checks.md")


def test_every_reason_of_a_rule_is_documented() -> None:
    assert all(f"| {word} |" in page("errors.md") for word in REASONS)


def messages() -> Iterator[str]:
    """Every string of the source that is no docstring."""
    for path in sorted((REPO / "src").rglob("*.py")):
        tree = ast.parse(path.read_text("utf-8"))
        said = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in said:
                yield node.value


def test_every_command_that_a_message_recommends_exists() -> None:
    unknown = set()
    for words in [found for text in messages() for found in re.findall(r"`assay ([a-z]+[^`]*)", text)]:
        command, *rest = words.split()
        wanted = {word.partition("=")[0] for word in rest if word.startswith("--") and len(word) > 2}
        if command not in COMMANDS or wanted - options_of(command):
            unknown.add(words)
    assert not unknown - PENDING


def test_every_page_that_a_message_points_to_is_there() -> None:
    named = {page for text in messages() for page in re.findall(r"(?<![\w/])docs/[\w/.-]+\.md", text)}
    assert not {name for name in named if not (REPO / name).is_file()}
