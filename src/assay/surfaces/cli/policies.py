"""`assay policy lint|test|explain`."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from assay.app.project import read_policy_file
from assay.core.canonical import Json
from assay.core.digests import shown
from assay.core.errors import PolicyError, UsageError
from assay.policy.explain import explain
from assay.policy.grammar import Policy
from assay.policy.lint import lint
from assay.policy.trial import run_policy_tests
from assay.surfaces.cli.session import Session

ABOUT = {
    "policy": "Tooling for policies: lint finds mistakes, test runs the cases beside a policy, explain says in words what it demands."
}


def add_arguments(command: str, parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of `policy`."""
    parser.add_argument("action", choices=("lint", "test", "explain"))
    parser.add_argument("files", nargs="*", type=Path, metavar="FILE", help="default the policies of assay.yaml")


def run(command: str, options: argparse.Namespace) -> int:
    """Runs one action."""
    session = Session(options)
    files: Sequence[Path] = options.files or session.project.policies
    if not files:
        raise UsageError(
            "which policy?", "none is named and assay.yaml lists none", "assay policy lint policies/production.yaml"
        )
    return {"lint": _lint, "test": _test, "explain": _explain}[options.action](session, files)


def _lint(session: Session, files: Sequence[Path]) -> int:
    problems: list[Json] = []
    for path in files:
        try:
            problems += [
                {
                    "file": str(path),
                    "line": p.line,
                    "rule": p.rule,
                    "text": p.what,
                    "fix": p.fix,
                    "is_error": p.is_error,
                }
                for p in lint(read_policy_file(path))
            ]
        except PolicyError as error:
            problems.append(
                {
                    "file": str(path),
                    "line": None,
                    "rule": "",
                    "text": f"{error.what}: {error.why}",
                    "fix": error.fix,
                    "is_error": True,
                }
            )
    lines = [_line(p) for p in problems]
    session.show("policy-lint", {"problems": problems}, lambda: "\n".join(lines) or f"{len(files)} policies, no remark")
    return 1 if any(p["is_error"] for p in problems) else 0


def _line(problem: Json) -> str:
    place = f"{problem['file']}:{problem['line']}" if problem["line"] else problem["file"]
    rule = f" {problem['rule']}:" if problem["rule"] else ""
    return f"{place}: {'error' if problem['is_error'] else 'note'}:{rule} {problem['text']}{' (' + problem['fix'] + ')' if problem['fix'] else ''}"


def _test(session: Session, files: Sequence[Path]) -> int:
    results: list[Json] = []
    for path in files:
        beside = path.with_name(f"{path.stem}.test.yaml")
        if not beside.is_file():
            raise UsageError(
                f"{path} has no tests",
                f"there is no {beside.name} beside it",
                "see docs/reference/policies.md for the form",
            )
        results += [
            {"file": str(beside), "line": r.line, "case": r.name, "ok": r.is_passed, "differences": list(r.differences)}
            for r in run_policy_tests(read_policy_file(path), beside.read_bytes(), beside.name)
        ]
    lines = [
        f"{'ok  ' if r['ok'] else 'FAIL'}  {r['file']}:{r['line']}: {r['case']}  {'; '.join(r['differences'])}".rstrip()
        for r in results
    ]
    session.show("policy-test", {"results": results}, lambda: "\n".join(lines))
    return 0 if results and all(r["ok"] for r in results) else 1 if results else 3


def _explain(session: Session, files: Sequence[Path]) -> int:
    policies: list[Policy] = [read_policy_file(path) for path in files]
    value: Json = [{"name": p.name, "digest": shown(p.digest), "text": explain(p)} for p in policies]
    session.show("policy-explain", {"policies": value}, lambda: "\n\n".join(item["text"] for item in value))
    return 0
