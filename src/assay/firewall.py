"""The door for serving code: check prompts, documents and answers inside your own process.

    from assay.firewall import Firewall, Role, Segment, Source, ready_policy

    firewall = Firewall(ready_policy())
    verdict = firewall.check(Segment(prompt, Role.USER, Source.USER))
    if verdict.action is Action.BLOCK: ...

Importing it brings no numpy and opens nothing; the optional ML tier loads when a policy first uses it.
"""

from __future__ import annotations

from assay.runtime.firewall.firewall import SCANNERS, Firewall
from assay.runtime.firewall.packs import ready_policy
from assay.runtime.firewall.policy import FirewallPolicy
from assay.runtime.firewall.values import Action, Context, Hit, Role, ScannerRecord, Segment, Source, State, Verdict

__all__ = [
    "SCANNERS", "Action", "Context", "Firewall", "FirewallPolicy", "Hit", "Role", "ScannerRecord", "Segment", "Source",
    "State", "Verdict", "ready_policy",
]  # fmt: skip
