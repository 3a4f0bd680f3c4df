"""Firewall policies that are ready to use."""

from __future__ import annotations

from importlib import resources

from assay.core.errors import UsageError
from assay.runtime.firewall.document import read_firewall_policy
from assay.runtime.firewall.firewall import SCANNERS
from assay.runtime.firewall.policy import FirewallPolicy


def ready_policy(name: str = "standard") -> FirewallPolicy:
    """One of the policies that come with Assay.

    Raises:
        UsageError: there is none of that name.
    """
    packs = {entry.name.removesuffix(".yaml"): entry for entry in resources.files(__package__).iterdir() if entry.name.endswith(".yaml")}  # fmt: skip
    if name not in packs:
        raise UsageError(f"there is no firewall policy {name[:60]!r}", f"ready ones: {', '.join(sorted(packs))}")
    return read_firewall_policy(packs[name].read_bytes(), f"{name}.yaml", SCANNERS)
