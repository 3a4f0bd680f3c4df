"""`assay demo`: prints the story step by step, with the rules that decided."""

from __future__ import annotations

import argparse
import json
import os
import textwrap
from pathlib import Path

from assay.app.demo.story import Ending, Step, play
from assay.core.canonical import Json
from assay.core.decisions import Answer, Decision, RuleOutcome, RuleResult
from assay.core.errors import UsageError
from assay.surfaces.cli.checking import draw
from assay.surfaces.cli.progress import bars
from assay.surfaces.cli.session import Session
from assay.surfaces.reports.terminal import BOLD, CYAN, GREEN, RED, YELLOW, Terminal
from assay.surfaces.reports.wording import observed

ABOUT = {
    "demo": "Plays the whole loop on 1,989 real mortgage applications, in the current folder, in about half a minute."
}
_STYLES = {Answer.ALLOW: GREEN, Answer.DENY: RED, Answer.UNDECIDED: YELLOW}
_NEXT = """
What to look at next, in {folder}
  assay log loan-scorer@1                        the evidence behind version 1, newest first
  assay gate loan-scorer@2 --to approved         why the tampered candidate was denied, rule by rule
  assay verify models/better --stage production  what a deployment is told now
  assay ledger verify                            rebuild the whole ledger from its leaves
  policies/production.yaml                       the policy that decided; change a limit and gate again
"""


def add_arguments(command: str, parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of `demo`."""
    parser.add_argument("--folder", type=Path, default=None, help="where to play; default the current folder")


def run(command: str, options: argparse.Namespace) -> int:
    """Runs `demo`."""
    session = Session(options)
    if options.dry_run:
        raise UsageError("the demo has no dry run", "it plays in a folder of its own", "assay demo --folder DIR")
    folder = (options.folder or Path.cwd()).absolute()
    folder.mkdir(parents=True, exist_ok=True)
    os.chdir(folder)
    steps: list[Step] = []
    ending: Ending | None = None
    terminal = Terminal(session.use_color, 100)
    with bars(session) as update:
        for part in play(folder, lambda event: draw(event, update)):
            if isinstance(part, Ending):
                ending = part
                continue
            steps.append(part)
            if not session.is_json:
                print(_step_text(len(steps), part, terminal), flush=True)
    assert ending is not None  # play ends with it or raises
    if session.is_json:
        print(json.dumps(_json(steps, ending)))
    else:
        print(_ending_text(ending, terminal))
        print(_NEXT.format(folder=folder), end="")
    return _exit_code(steps, ending)


def _exit_code(steps: list[Step], ending: Ending) -> int:
    """0 if the story went as it should: every kind of decision occurred, the guard refused, the ledger is sound."""
    answers = {step.decision.answer for step in steps if step.decision}
    told = answers == set(Answer) and all(step.exit_code != 4 for step in steps)
    return 0 if told and ending.is_sound else 1


def _step_text(number: int, step: Step, terminal: Terminal) -> str:
    lines = [terminal.paint(BOLD, f"{number:2d}  {step.title}")]
    if step.decision is not None:
        lines += _decision_lines(step, step.decision, terminal)
    lines += [f"    {line}" for line in step.lines]
    return "\n".join([*lines, ""])


def _decision_lines(step: Step, decision: Decision, terminal: Terminal) -> list[str]:
    passed = sum(rule.outcome is RuleOutcome.PASS for rule in decision.rules)
    asked = sum(rule.outcome is not RuleOutcome.NOT_APPLICABLE for rule in decision.rules)
    answer = terminal.paint(_STYLES[decision.answer], decision.answer.upper())
    lines = [f"    {answer}  {step.asset} to {decision.stage}: {passed} of {asked} rules pass"]
    blocking = [r for r in decision.rules if r.outcome in (RuleOutcome.FAIL, RuleOutcome.UNDECIDED)]
    lines += [line for rule in blocking for line in _rule_lines(rule, terminal)]
    return lines + [f"      {reason}" for reason in decision.reasons]


def _rule_lines(rule: RuleResult, terminal: Terminal) -> list[str]:
    mark = terminal.paint(RED, "FAIL") if rule.outcome is RuleOutcome.FAIL else terminal.paint(YELLOW, "?   ")
    lines = [
        f"      {mark}  {terminal.paint(BOLD, rule.id)}  {rule.title}",
        f"            saw     {observed(rule.observed)}",
    ]
    lines += textwrap.wrap(rule.needed, 88, initial_indent="            needed  ", subsequent_indent=" " * 20)
    if rule.rows_needed:
        lines.append(f"            rows    {terminal.paint(CYAN, f'{rule.rows_needed:,}')} would decide it")
    return lines


def _ending_text(ending: Ending, terminal: Terminal) -> str:
    word = terminal.paint(GREEN, "sound") if ending.is_sound else terminal.paint(RED, "NOT SOUND")
    return (f"The ledger is {word}: {ending.entries} entries, {ending.signatures} signatures verified, "
            f"every projection rebuilt from the leaves\n  root {ending.root}")  # fmt: skip


def _json(steps: list[Step], ending: Ending) -> Json:
    told = [
        {
            "name": s.name,
            "title": s.title,
            "exit": s.exit_code,
            **({"decision": str(s.decision.answer), "asset": s.asset} if s.decision else {}),
        }
        for s in steps
    ]
    return {
        "schema": "assay/demo/v1",
        "steps": told,
        "ledger": {"ok": ending.is_sound, "size": ending.entries, "root": ending.root},
    }
