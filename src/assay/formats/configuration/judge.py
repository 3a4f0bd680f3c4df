"""Judges one file of serving infrastructure: which kind it is, by name and content, and what is wrong with it.

A configuration of no known kind is inconclusive, since a setting that nobody understood may be the open door; prose and pictures are data.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from assay.core.errors import MalformedInput
from assay.formats.code.facts import Judged, judged, problem
from assay.formats.code.invisible import hidden_characters
from assay.formats.code.judge import judged_code
from assay.formats.code.media import whole_picture
from assay.formats.code.texts import decoded_text, language_of
from assay.formats.configuration import rules
from assay.formats.configuration.containers import Found, judge_compose, judge_dockerfile, judge_manifests
from assay.formats.configuration.dockerfile import instructions_of
from assay.formats.configuration.json_nodes import read_json
from assay.formats.configuration.settings import (
    judge_jupyter,
    judge_jupyter_json,
    judge_properties,
    judge_script,
    judge_triton,
)
from assay.formats.configuration.tools import judge_tools, tool_servers
from assay.formats.configuration.yaml_events import Documents, read_yaml

_PROSE = (
    ".md",
    ".rst",
    ".txt",
    ".adoc",
    "license",
    "notice",
    "codeowners",
    ".gitignore",
    ".dockerignore",
    ".helmignore",
    ".csv",
    ".svg",
    ".gitattributes",
    ".editorconfig",
)


def judged_configuration(data: bytes, path: str) -> Judged:
    """What one file of serving infrastructure is, and what is wrong with it."""
    text = decoded_text(data)
    if text is None:
        if picture := whole_picture(data):
            return judged(picture, ())
        return judged("binary", (), "binary data of a kind that is not read in infrastructure")
    name = path.rpartition("/")[2].lower()
    for format, fits, judge in _KINDS:
        if fits(name, text):
            return _judged(format, judge, text)
    if name.endswith((".yaml", ".yml")):
        return _yaml(text)
    if name.endswith((".json", ".jsonc")):
        return _json(text, name)
    if name.endswith(_PROSE) or name in ("readme", "license"):
        return judged("text", tuple(hidden_characters(text, is_code=False)))
    if language_of(path, text) == "python":
        return judged_code(data, path)
    return judged(
        "text",
        tuple(hidden_characters(text, is_code=False)),
        "a configuration or language of no kind that is known here",
    )


def _judged(format: str, judge: Callable[[str], Found], text: str) -> Judged:
    hidden = tuple(hidden_characters(text, is_code=True))
    try:
        found = judge(text)
    except MalformedInput as error:
        return judged(format, hidden, f"{error.what}: {error.why}")
    distinct = dict.fromkeys((*hidden, *found.problems))
    return judged(format, tuple(distinct), "; ".join(found.unknown[:5])[:1000])


def _yaml(text: str) -> Judged:
    try:
        documents = read_yaml(text)
    except MalformedInput as error:
        return judged("yaml", tuple(hidden_characters(text, is_code=True)), f"{error.what}: {error.why}")
    values = documents.values
    if values and values[0].get("services").kind == "mapping":
        return _judged("compose", lambda _: _tagged(judge_compose(values[0]), documents), text)
    if values and all("kind" in value.fields and "apiVersion" in value.fields for value in values if value.fields):
        return _judged("kubernetes", lambda _: _tagged(judge_manifests(values), documents), text)
    if any(tool_servers(value).fields for value in values):
        return _judged(
            "mcp",
            lambda _: _tagged(judge_tools(next(s for v in values if (s := tool_servers(v)).fields)), documents),
            text,
        )
    tagged = _tagged(Found(), documents)
    return judged("yaml", tuple(tagged.problems), "YAML of no kind that is known here")


def _tagged(found: Found, documents: Documents) -> Found:
    for tag, line in documents.tags:
        if "python/" in tag or "java" in tag.lower() or "ruby/" in tag:
            found.problems.append(problem(rules.OBJECT_YAML, f"{rules.OBJECT_YAML.title}: {tag[:60]}", line))
    return found


def _json(text: str, name: str) -> Judged:
    try:
        document = read_json(text)
    except MalformedInput as error:
        return judged("json", (), f"{error.what}: {error.why}")
    if (servers := tool_servers(document)).fields:
        return _judged("mcp", lambda _: judge_tools(servers), text)
    if name.startswith("jupyter"):
        return _judged("jupyter", lambda _: judge_jupyter_json(document), text)
    if "kind" in document.fields and "apiVersion" in document.fields:
        return _judged("kubernetes", lambda _: judge_manifests([document]), text)
    if document.get("services").kind == "mapping":
        return _judged("compose", lambda _: judge_compose(document), text)
    return judged("json", (), "JSON of no kind that is known here")


def _is_dockerfile(name: str, text: str) -> bool:
    return (
        name in ("dockerfile", "containerfile")
        or name.startswith(("dockerfile.", "containerfile."))
        or name.endswith((".dockerfile", ".containerfile"))
    )


def _is_properties(name: str, text: str) -> bool:
    return name.endswith(".properties")


def _is_jupyter(name: str, text: str) -> bool:
    return name.startswith("jupyter") and name.endswith("config.py")


def _is_triton(name: str, text: str) -> bool:
    return name.endswith(".pbtxt")


def _is_script(name: str, text: str) -> bool:
    return (
        name.endswith((".sh", ".bash", ".service", ".env", ".args"))
        or name.startswith(".env")
        or bool(re.match(r"#!\S*/(env )?(ba|z|da)?sh", text))
    )


_KINDS: tuple[tuple[str, Callable[[str, str], bool], Callable[[str], Found]], ...] = (
    ("dockerfile", _is_dockerfile, lambda text: judge_dockerfile(instructions_of(text))), ("torchserve", _is_properties, judge_properties),
    ("jupyter", _is_jupyter, judge_jupyter), ("triton", _is_triton, judge_triton), ("script", _is_script, judge_script),
)  # fmt: skip
