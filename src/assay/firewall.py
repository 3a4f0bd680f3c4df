"""The door for serving code: check prompts, documents and answers inside your own process.

    from assay.firewall import Firewall, Role, Segment, Source, ready_policy

    firewall = Firewall(ready_policy())
    verdict = firewall.check(Segment(prompt, Role.USER, Source.USER))
    if verdict.action is Action.BLOCK: ...

    app = FirewallMiddleware(app)        # an ASGI application that answers as a model

Importing it brings no numpy and opens nothing; the optional ML tier loads when a policy first uses it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from assay.runtime.firewall.firewall import SCANNERS, Firewall
from assay.runtime.firewall.packs import ready_policy
from assay.runtime.firewall.policy import FirewallPolicy
from assay.runtime.firewall.values import (
    Action,
    Context,
    Hit,
    Role,
    ScannerRecord,
    Segment,
    Source,
    State,
    ToolCall,
    Verdict,
)

if TYPE_CHECKING:
    from assay.surfaces.proxy.middleware import FirewallMiddleware

__all__ = [
    "SCANNERS", "Action", "Context", "Firewall", "FirewallMiddleware", "FirewallPolicy", "Hit", "Role", "ScannerRecord",
    "Segment", "Source", "State", "ToolCall", "Verdict", "ready_policy",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    """The middleware is imported when it is first asked for: whoever only checks texts need not wait for it."""
    if name != "FirewallMiddleware":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from assay.surfaces.proxy.middleware import FirewallMiddleware

    return FirewallMiddleware
