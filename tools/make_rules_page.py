"""Writes `docs/reference/rules.md` from the table of rules: `python tools/make_rules_page.py [--check]`."""

from __future__ import annotations

import sys
from pathlib import Path

from assay.checks.model_file.rules import RULES

PAGE = Path(__file__).resolve().parent.parent / "docs/reference/rules.md"
HEAD = """# Rules of the model-file scan

Made by `python tools/make_rules_page.py` from `assay.checks.model_file.rules`; do not edit. A file's verdict is the worst that a
rule found in it decides; ids are stable and never reused.

| rule | means | decides | severity | what to do | refs |
|---|---|---|---|---|---|
"""


def page() -> str:
    """The whole page."""
    rows = (
        f"| `{r.id}` | {r.title} | {r.decides or 'nothing (a note)'} | {r.severity} | {r.remedy.replace('|', '/')} | {', '.join(r.refs) or '-'} |\n"
        for r in RULES.values()
    )
    return HEAD + "".join(rows)


if __name__ == "__main__":
    if "--check" in sys.argv[1:]:
        sys.exit(
            0
            if PAGE.exists() and PAGE.read_text("utf-8") == page()
            else "docs/reference/rules.md is stale; run tools/make_rules_page.py"
        )
    PAGE.parent.mkdir(parents=True, exist_ok=True)
    PAGE.write_text(page(), "utf-8")
