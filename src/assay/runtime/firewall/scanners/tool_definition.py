"""Definitions of tools that are not those which the policy was written for.

What a model reads about a tool comes from whoever serves the tool and may change after it was approved. A policy can name the
digest of a definition: the sha256 of the RFC 8785 form of the object with its name, description and parameters.
Source: Invariant Labs, "MCP security notification: tool poisoning attacks" (rug pulls), 2025.
"""

from __future__ import annotations

from collections.abc import Sequence

from assay.core.canonical import Json
from assay.core.digests import Digest, digest_of
from assay.core.errors import MalformedInput
from assay.runtime.firewall.scanner import Mark, Subject

REFS = ("owasp-llm:LLM03:2026", "mitre-atlas:AML.T0053")


def tool_definition(subject: Subject) -> Sequence[Mark]:
    """A mark over the text where a declared tool has another definition than the policy names."""
    declared = subject.context.declared
    if not declared or not subject.policy.tools.allowed:
        return ()
    pinned = {name: tool.definition for name, tool in subject.policy.tools.allowed.items() if tool.definition}
    if all(_digest(declared[name]) == digest for name, digest in pinned.items() if name in declared):
        return ()
    return [Mark("tool-definition.changed", 0, len(subject.segment.text), refs=REFS)]


def _digest(definition: Json) -> Digest:
    try:
        return digest_of(definition)
    except MalformedInput:
        return ""  # it has no canonical form, so it is none that was pinned
