"""Writes docs/reference/rules-code.md and rules-infrastructure.md from the rule tables.

How to run: .venv/bin/python tools/make_rules_reference.py [--check]     --check writes nothing and exits 1 where a page is old
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

from assay.formats.code.facts import Rule
from assay.formats.code.rules import ALL as CODE
from assay.formats.configuration.rules import ALL as INFRASTRUCTURE
from assay.formats.secrets.facts import REFS, REMEDY
from assay.formats.secrets.rules import ALL as SECRETS

ROOT = Path(__file__).resolve().parents[1]
SEEN = {"pypa": "PyPA advisory database", "advisory": "GitHub or vendor advisory", "pages": "pages about it"}
MADE = "Made by `tools/make_rules_reference.py` from the rule tables; do not edit.\n"


def pages() -> dict[Path, str]:
    """Every page with its text."""
    folder = ROOT / "docs/reference"
    code = [
        "# Rules for code\n",
        MADE,
        "## Python source and notebooks: `code.source`\n",
        table(CODE),
        "## Credentials: `code.secrets`\n",
    ]
    code += [f"Remedy for all: {REMEDY}. References: {', '.join(REFS)}.\n", secrets_table()]
    infrastructure = [
        "# Rules for infrastructure\n",
        MADE,
        "## Serving configuration: `infrastructure.settings`\n",
        table(INFRASTRUCTURE),
    ]
    infrastructure += ["## Versions known to be vulnerable\n", versions_table()]
    return {folder / "rules-code.md": "\n".join(code), folder / "rules-infrastructure.md": "\n".join(infrastructure)}


def table(rules: Sequence[Rule]) -> str:
    rows = ["| rule | says | severity | remedy | references |", "|---|---|---|---|---|"]
    rows += [
        f"| {r.id} | {r.title} | {r.severity} | {r.remedy.replace('|', chr(92) + '|')} | {', '.join(r.refs)} |"
        for r in rules
    ]
    return "\n".join(rows) + "\n\nA place may be less severe than its rule, for example where a command is constant.\n"


def secrets_table() -> str:
    proofs = {
        "crc_token": "CRC-32 checksum",
        "pypi_macaroon": "macaroon structure",
        "jwt": "header and claims decode",
        "pem_key": "PEM and DER decode",
        "basic_credentials": "user and password decode",
        "random_token": "shape and entropy",
    }
    rows = ["| rule | finds | severity | proof |", "|---|---|---|---|"]
    rows += [f"| {r.id} | {r.name} | {r.severity} | {proofs[r.proof.__name__]} |" for r in SECRETS]
    return "\n".join(rows) + "\n"


def versions_table() -> str:
    known = json.loads((ROOT / "src/assay/formats/configuration/known_vulnerable.json").read_text())
    rows = [
        f"As of {known['dated']}. A version that is not understood makes the file inconclusive.\n",
        "| product | advisory | affected from | fixed in | severity | versions read in |",
        "|---|---|---|---|---|---|",
    ]
    for product, facts in known["products"].items():
        for one in facts["advisories"]:
            rows.append(
                f"| {product} | {one['id']} | {one.get('introduced', 'the first')} | {one['fixed'] or 'no release'} | {one['severity']} | "
                f"{SEEN[one['seen']]} |"
            )
    return "\n".join(rows) + "\n"


def main() -> int:
    old = [path for path, text in pages().items() if not path.exists() or path.read_text() != text]
    if "--check" in sys.argv[1:]:
        return bool(old)
    for path in old:
        path.write_text(pages()[path])
    return 0


if __name__ == "__main__":
    sys.exit(main())
