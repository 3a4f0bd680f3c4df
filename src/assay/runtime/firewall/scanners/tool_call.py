"""Calls of tools: allow-list, JSON Schema, and taint.

    name allowed? ─► arguments are one JSON object? ─► they fit the schema? ─► nothing in them comes only from untrusted text?

Tainted is an address, e-mail, IBAN, path or long run of characters in an argument that stands in a document or tool result of
the conversation; it counts for tools with a side effect, since an order hidden in a document shows itself this way.
Source: the idea of taint for agents is that of Debenedetti et al., CaMeL, 2025.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from assay.core.canonical import Json, parse
from assay.core.errors import MalformedInput
from assay.formats.text.fold import folded
from assay.formats.text.patterns import Pattern, utf8
from assay.runtime.firewall.policy import Tool
from assay.runtime.firewall.scanner import Mark, NotRun, Subject
from assay.runtime.firewall.tool_schema import fault_of

REFS = ("owasp-llm:LLM03:2026", "mitre-atlas:AML.T0053")
MAX_ARGUMENTS_BYTES = 64 << 10
_TELLING = Pattern(
    r"((?:[a-z][a-z0-9+.-]{1,20}://|www\.)[^\s\"'<>]+|[a-z0-9._%+-]{1,64}@[a-z0-9.-]{1,190}\.[a-z]{2,24}"
    r"|\b[a-z]{2}\d{2}[a-z0-9]{10,30}\b|(?:[a-z]:\\|[~.]{0,2}/)[^\s\"'<>]+|[^\s\"'<>]{20,})"
)


def tool_call(subject: Subject) -> Sequence[Mark]:
    """What is wrong with the call of the subject; nothing where the subject is no call.

    Raises:
        NotRun: there is a schema that cannot be applied here.
    """
    call = subject.call
    if call is None:
        return ()
    whole = (0, len(call.arguments))
    allowed = subject.policy.tools.allowed
    if allowed is not None and call.name not in allowed:
        return [Mark("tool-call.not-allowed", *whole, refs=REFS)]
    tool = allowed[call.name] if allowed is not None else Tool(call.name)
    try:
        value = parse(utf8(call.arguments), what="arguments", max_bytes=MAX_ARGUMENTS_BYTES, max_depth=32)
    except MalformedInput:
        return [Mark("tool-call.malformed", *whole, refs=REFS)]
    if not isinstance(value, dict):
        return [Mark("tool-call.malformed", *whole, refs=REFS)]
    marks = [Mark("tool-call.schema", *whole, refs=REFS)] if _misfits(value, tool, subject) else []
    if tool.has_side_effect and _is_tainted(value, subject):
        marks.append(Mark("tool-call.tainted", *whole, refs=REFS))
    return marks


def strings_in(arguments: str) -> list[str]:
    """Every string in the arguments, keys too, without escapes; none where they are no JSON."""
    try:
        return list(_strings(parse(utf8(arguments), what="arguments", max_bytes=MAX_ARGUMENTS_BYTES, max_depth=32)))
    except MalformedInput:
        return []


def _misfits(value: Json, tool: Tool, subject: Subject) -> bool:
    schemas = [schema for schema in (tool.schema, subject.context.tools.get(tool.name)) if schema is not None]
    try:
        return any(fault_of(value, schema) for schema in schemas)
    except MalformedInput as error:
        raise NotRun(f"the schema of the tool cannot be applied: {error.what}") from error


def _is_tainted(value: Json, subject: Subject) -> bool:
    untrusted = [folded(text) for text in subject.context.untrusted]
    trusted = [folded(text) for text in subject.context.trusted]
    for text in _strings(value):
        for span in _TELLING.spans(folded(text)):
            telling = span.text.rstrip(".,;:!?)")
            if any(telling in other for other in untrusted) and not any(telling in other for other in trusted):
                return True
    return False


def _strings(value: Json) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, item in value.items():
            yield key
            yield from _strings(item)
    elif isinstance(value, list):
        for item in value:
            yield from _strings(item)
