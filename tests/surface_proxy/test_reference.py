"""The reference names every setting, error code and metric of the proxy, and no other."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

from assay.surfaces.proxy import metrics
from assay.surfaces.proxy.settings import CLOSED_PARTS, Settings

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "reference" / "firewall-proxy.md").read_text("utf-8")
SOURCE = "\n".join(
    path.read_text("utf-8") for path in sorted((ROOT / "src" / "assay" / "surfaces" / "proxy").glob("*.py"))
)


def names(heading: str) -> set[str]:
    """The names in the first column of the table under a heading."""
    table = PAGE.partition(f"## {heading}\n")[2].partition("\n## ")[0]
    return {
        name
        for row in table.splitlines()
        if row.startswith("| `")
        for name in re.findall(r"`([\w]+)`", row.split("|")[1])
    }


def test_every_setting_is_documented() -> None:
    assert names("Settings") == {"proxy", *(item.name for item in fields(Settings))}
    assert all(f"`{part}`" in PAGE for part in CLOSED_PARTS if part != "annotations")


def test_every_error_code_is_documented() -> None:
    assert names("Errors") == set(re.findall(r'Refusal\(\s*(?:\d+|status),\s*"(\w+)"', SOURCE))


def test_every_metric_is_documented() -> None:
    assert names("Metrics") == set(re.findall(r"^\| (assay_\w+)", metrics.__doc__ or "", re.MULTILINE))
