"""Links that carry data out: what an answer, a document or an argument would make somebody fetch from a foreign host.

A picture is fetched when the text is shown, without a click, so any host that the policy does not allow is a hit; a link
that must be clicked is one only where it has room for data.
Source: Rehberger, on data exfiltration through rendered markdown images, 2023; CVE-2025-32711 (EchoLeak, reference links).
"""

from __future__ import annotations

from collections.abc import Sequence

from assay.formats.text.links import MAX_LINKS, Link, is_allowed, links_in
from assay.runtime.firewall.scanner import Mark, NotRun, Subject

REFS = ("owasp-llm:LLM10:2026", "mitre-atlas:AML.T0057")


def exfiltration(subject: Subject) -> Sequence[Mark]:
    """Links whose host the policy does not allow and that are loaded by themselves, run a script, or carry data."""
    marks: list[Mark] = []
    for view in subject.views.exact:
        links = links_in(view.text)
        if len(links) > MAX_LINKS:
            raise NotRun(f"more than {MAX_LINKS} links")
        for link in links:
            if told := _told(link, subject.policy.allowed_hosts):
                marks.append(Mark(told[0], *view.origin(link.start, link.end), told[1], REFS))
    return marks


def _told(link: Link, allowed: Sequence[str]) -> tuple[str, float] | None:
    if link.is_active:
        return "exfiltration.script-link", 1.0
    if not link.host or is_allowed(link.host, allowed):
        return None
    if link.is_loaded:
        return f"exfiltration.{link.kind}", 1.0 if link.carries_data or link.url.query else 0.7
    return (f"exfiltration.{link.kind}", 0.8) if link.carries_data else None
