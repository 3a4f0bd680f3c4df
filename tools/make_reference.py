"""Writes docs/reference/{commands,errors,checks}.md from the code, so that they cannot say something else.

python tools/make_reference.py            writes them
python tools/make_reference.py --check    says which are not up to date, and ends with 1 if any is
"""

from __future__ import annotations

import argparse
import importlib
import inspect
import json
import pkgutil
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

import assay
from assay.app.runner.discovery import discover
from assay.app.runner.extras import install_line
from assay.core.checks import Check
from assay.core.errors import AssayError
from assay.policy.reasons import REASONS
from assay.surfaces.cli.main import COMMANDS, parser_for

FOLDER = Path(__file__).parents[1] / "docs" / "reference"
NOTE = "<!-- Made by tools/make_reference.py; edit the code instead. -->"
_GLOBALS = "global"
_CODES = (
    ("0", "pass"),
    ("1", "denied, or findings"),
    ("2", "wrong use or configuration"),
    ("3", "undecided, or it could not finish"),
    ("4", "internal error, or a report that could not be written"),
)
_OF_MODELS = (
    "Checks that run a model load it in a worker process and ask it about the rows of the datasets that it names: `tested_on`, and `trained_on` where",
    "the question is about training. Seeds are those of `--seed`; intervals are two-sided at 95 % unless something else is said, and `n` counts what they",
    "rest on. What a check could not look at is a skip with its reason. A number is not valid, and every rule about it undecided, where an attack did",
    "not prove itself, or where the model changes its answers: up to 100 test rows are asked twice, the second time in reverse order. A skip",
    "`validity of …` says which.",
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Writes or checks the pages."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else "")
    parser.add_argument("--check", action="store_true", help="write nothing; end with 1 if a page is not up to date")
    is_check = parser.parse_args(arguments).check
    old = [name for name, text in pages().items() if _read(FOLDER / name) != text]
    if is_check:
        for name in old:
            print(f"docs/reference/{name} is not up to date; run `python tools/make_reference.py`", file=sys.stderr)
        return 1 if old else 0
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name in old:
        (FOLDER / name).write_text(pages()[name], "utf-8")
        print(f"wrote docs/reference/{name}")
    return 0


def pages() -> dict[str, str]:
    """The pages by file name."""
    made = {"commands.md": _commands(), "errors.md": _errors(), "checks.md": _checks()}
    return {name: "\n".join(lines).rstrip() + "\n" for name, lines in made.items()}


def _commands() -> list[str]:
    lines = ["# Commands", "", NOTE, "", "`assay COMMAND --help` says the same. Exit codes, in every format:", ""]
    lines += ["| code | meaning |", "|---|---|", *(f"| {code} | {meaning} |" for code, meaning in _CODES)]
    lines += ["", "`NAME` is the bytes that `assay.yaml` points to now, `NAME@2` a version, `NAME@production` a stage,",
              "`NAME@sha256:HEX` exact bytes.", "", "## Every command", "", *_options(parser_for("log"), is_global=True), ""]  # fmt: skip
    for command, (module, about) in COMMANDS.items():
        said = importlib.import_module(f"assay.surfaces.cli.{module}").ABOUT[command]
        lines += [f"## assay {command}", "", f"{said}" if said else about, "", *_options(parser_for(command)), ""]
    return lines


def _options(parser: argparse.ArgumentParser, *, is_global: bool = False) -> list[str]:
    """A table of the arguments; argparse offers no public list of them."""
    groups = [group for group in parser._action_groups if (group.title == _GLOBALS) is is_global]
    actions = [action for group in groups for action in group._group_actions if "--help" not in action.option_strings]
    if not actions:
        return ["It has no arguments of its own."]
    return [
        "| argument | meaning |",
        "|---|---|",
        *(f"| {_named(action)} | {_meaning(action)} |" for action in actions),
    ]


def _named(action: argparse.Action) -> str:
    value = str(action.metavar or "|".join(map(str, action.choices or ())) or action.dest.upper())
    if not action.option_strings:
        shown = f"[{value}]" if action.nargs == "?" else f"[{value}]…" if action.nargs in ("*", "...") else value
    else:
        shown = ", ".join(action.option_strings) + ("" if action.nargs == 0 else f" {value}")
    return f"`{shown}`".replace("|", "\\|")


def _meaning(action: argparse.Action) -> str:
    parts = [str(action.help or "")]
    if action.choices and action.metavar:
        parts.append("one of " + ", ".join(map(str, action.choices)))
    if action.option_strings and action.required:
        parts.append("required")
    if action.default not in (None, False, [], "", argparse.SUPPRESS) and "default" not in parts[0]:
        parts.append(f"default {action.default}")
    return "; ".join(part for part in parts if part).replace("|", "\\|")


def _errors() -> list[str]:
    lines = [
        "# Errors",
        "",
        NOTE,
        "",
        "Every error says what happened, why, and what to do next. Its code stays the same across releases.",
        "",
    ]
    lines += ["| code | exit | what it means |", "|---|---|---|"]
    lines += [f"| {code} | {exit_code} | {meaning} |" for code, exit_code, meaning in _codes()]
    lines += ["", "## Reasons", "", "Why a rule of a policy came out as it did, in `rules[].reason` of a decision.", ""]
    lines += ["| reason | what it means | what to do |", "|---|---|---|"]
    return [*lines, *(f"| {word} | {reason.means} | {reason.fix} |" for word, reason in REASONS.items())]


def _codes() -> list[tuple[str, int, str]]:
    """Code, exit code and first sentence of every error, by code; an error without a code of its own has its parent's."""
    for found in pkgutil.walk_packages(assay.__path__, "assay."):
        if ".demo.files" not in found.name:
            importlib.import_module(found.name)
    own = [kind for kind in _subclasses(AssayError) if "code" in vars(kind)]
    rows = [(kind.code, kind.exit_code, _sentence(kind.__doc__)) for kind in own]
    return sorted([*rows, ("A-INTERNAL", 4, "A bug in Assay; `ASSAY_DEBUG=1` shows the place.")])


def _subclasses(kind: type[AssayError]) -> Iterable[type[AssayError]]:
    for child in kind.__subclasses__():
        yield child
        yield from _subclasses(child)


def _sentence(text: str | None) -> str:
    return " ".join(inspect.cleandoc(text or "").split("\n\n")[0].split())


def _checks() -> list[str]:
    lines = [
        "# Checks",
        "",
        NOTE,
        "",
        "`assay checks` lists them; a check that another package brings is listed there too.",
        "",
        *_OF_MODELS,
        "",
    ]
    found = [check for check in discover().checks.values() if check.body.__module__.startswith("assay.")]
    lines += ["| check | looks at | asks |", "|---|---|---|"]
    lines += [f"| [{c.id}](#{_anchor(c.id)}) | {', '.join(sorted(map(str, c.kinds)))} | {c.title} |" for c in found]
    return [*lines, "", *(line for check in found for line in _check(check))]


def _anchor(text: str) -> str:
    return "".join(c for c in text.lower() if c.isalnum() or c in "-_")


def _check(check: Check) -> list[str]:
    facts = [
        ("version", str(check.version)),
        ("statement", str(check.family)),
        ("maps to", ", ".join(check.maps_to)),
        ("needs", ", ".join(f"`{install_line(need)}`" for need in check.needs)),
        ("runs the model", "yes, only after every file of it scanned clean" if check.runs_model else "no"),
        ("options", ", ".join(f"`{name}: {json.dumps(value)}`" for name, value in sorted(check.defaults.items()))),
    ]
    said = inspect.cleandoc(inspect.getmodule(check.body).__doc__ or "")  # type: ignore[union-attr]
    body = inspect.cleandoc(check.body.__doc__ or "")
    return [f"## {check.id}", "", said, "", body, "", "| | |", "|---|---|",
            *(f"| {name} | {value} |" for name, value in facts if value), ""]  # fmt: skip


def _read(path: Path) -> str | None:
    try:
        return path.read_text("utf-8")
    except FileNotFoundError:
        return None


if __name__ == "__main__":
    sys.exit(main())
