"""Judges text: clean if it is data, whatever may be code or a template is not."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

from assay.checks.model_file.judgement import Judgement, Problem, cannot_look, unknown
from assay.core.canonical import Json, parse
from assay.core.errors import MalformedInput
from assay.core.outcomes import Severity, Verdict

MAX_TEXT_BYTES = 64 << 20
MAX_JSON_BYTES = 16 << 20
DATA_SUFFIXES = (".jsonl", ".ndjson", ".txt", ".csv", ".tsv", ".cff", ".gitattributes", ".gitignore")
PROSE_SUFFIXES = (".md", ".rst")
PROSE_NAMES = ("license", "licence", "readme", "notice", "copying", "authors", "changelog")
CODE_KEYS = frozenset(
    {"auto_map", "_target_", "chat_template", "custom_pipelines", "__reduce__", "py/object", "py/reduce"}
)
_YAML_TAG = re.compile(r"!!?python/|!<tag:yaml.org,2002:python/")


def judged_text(data: bytes, path: str) -> Judgement:
    """Plain text is clean if it is data; code, templates and anything binary are not."""
    if len(data) > MAX_TEXT_BYTES:
        return cannot_look("binary", f"larger than {MAX_TEXT_BYTES} bytes and of no known format")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        return cannot_look("binary", "of no format that this version knows")
    name = path.lower().rpartition("/")[2]
    if any(ord(sign) < 32 and sign not in "\t\n\r\f" for sign in text):
        return cannot_look("binary", "text with control characters, of no known format")
    if text.startswith("#!"):
        return unknown("script", "a script, which this version does not examine")
    if name.endswith(".json"):
        return _json(data)
    if name.endswith(PROSE_SUFFIXES) or name.partition(".")[0] in PROSE_NAMES:
        return Judgement("text", Verdict.CLEAN)
    if name.endswith(DATA_SUFFIXES):
        return _plain(text)
    if _YAML_TAG.search(text):
        problem = Problem("python-tag", Severity.CRITICAL, "a YAML tag that makes a loader build Python objects")
        return Judgement("text", Verdict.MALICIOUS, (problem,))
    return unknown("text", "text of a kind that may be code; this version examines only data")


def _plain(text: str) -> Judgement:
    """Data that no loader runs; but a `.txt` may be a prompt or template, and those are not examined yet."""
    if "{%" in text or "{{" in text:
        return unknown("text", "it holds template marks, and templates are not examined by this version")
    return Judgement("text", Verdict.CLEAN)


def _json(data: bytes) -> Judgement:
    try:
        value = parse(data, max_bytes=MAX_JSON_BYTES)
    except MalformedInput as error:
        return cannot_look("json", f"{error.what}: {error.why}"[:300])
    keys = sorted(CODE_KEYS & set(_keys(value)))
    if keys:
        return unknown("json", f"it has {', '.join(keys)}, which may name code or a template")
    if "{%" in json.dumps(value):
        return unknown("json", "it holds a template, which this version does not examine")
    return Judgement("json", Verdict.CLEAN)


def _keys(value: Json) -> Iterator[str]:
    waiting = [value]
    while waiting:
        item = waiting.pop()
        if isinstance(item, dict):
            yield from item
            waiting += item.values()
        elif isinstance(item, list):
            waiting += item
