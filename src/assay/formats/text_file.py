"""Text files of a model: data, configuration, templates and code, told apart by name and content; nothing is rendered or run.

JSON and YAML are walked for keys that make loaders import code, build objects or render templates, at any depth.
Source: transformers, `dynamic_module_utils.py` (`auto_map`); Hydra, `_target_`; PyYAML, tags `!!python/`; MLflow, `MLmodel`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator

from assay.core.canonical import Json
from assay.formats.chat_template import template_facts
from assay.formats.facts import Fact, FileFacts
from assay.formats.json_text import value_of
from assay.formats.keras_config import is_keras, keras_facts
from assay.formats.mxnet_file import is_mxnet_graph, mxnet_graph_facts
from assay.formats.python_source import source_facts
from assay.formats.tensorflow_file import tensorflow_text_facts
from assay.formats.yaml_config import CODE_KEYS, MAX_FACTS, TARGET, yaml_facts

MAX_TEXT_BYTES = 64 << 20
MAX_JSON_BYTES = 64 << 20
MAX_DEPTH = 400
DATA_SUFFIXES = (".jsonl", ".ndjson", ".txt", ".csv", ".tsv", ".cff", ".gitattributes", ".gitignore", ".log", ".vocab", ".merges", ".bpe", ".toml",
    ".cfg", ".ini", ".lock", ".sha256", ".typed", ".metadata", ".arff", ".libsvm")  # fmt: skip
PROSE_SUFFIXES = (".md", ".rst", ".tex", ".bib")
PROSE_NAMES = ("license", "licence", "readme", "notice", "copying", "authors", "changelog")
CODE_SUFFIXES = (".sh", ".bash", ".js", ".ts", ".rb", ".pl", ".php", ".ps1", ".bat", ".cmd", ".lua", ".r", ".jl", ".c", ".cpp", ".cu", ".h", ".java",
    ".go", ".rs", ".cs", ".vbs", ".html", ".htm", ".svg")  # fmt: skip
TEMPLATE_SUFFIXES = (".jinja", ".jinja2", ".j2")
REMOTE_KEYS = CODE_KEYS | {TARGET}
ACTING_KEYS = frozenset(
    {"py/object", "py/reduce", "py/function", "py/module", "py/repr", "py/object/apply", "!!python/object/apply"}
)
TEMPLATE_KEYS = frozenset({"chat_template", "template", "prompt_template"})
_CHECKPOINT = re.compile(r"(?:\w*(?:checkpoint_path|timestamp)s?: (?:\"[^\"\n]*\"|[\d.e+]+)\n?)+")
_GRAPH = re.compile(
    r"(?:\s|#[^\n]*\n)*(?:node|library|graph_def|meta_graphs|meta_info_def|saved_model_schema_version|versions)\s*[:{<]"
)
_LIGHTGBM = re.compile(r"tree\nversion=v\d")


def text_facts(data: bytes, path: str) -> FileFacts | None:
    """Facts of a file that is text; None if it is not."""
    if len(data) > MAX_TEXT_BYTES:
        return None
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return None
    if re.search(r"[\x00-\x08\x0b\x0e-\x1f]", text):
        return None
    name = path.lower().rpartition("/")[2]
    if _GRAPH.match(text) and (graph := tensorflow_text_facts(text)) is not None:
        return graph
    for is_it, read in _READERS:
        if is_it(name, text):
            return read(data, text)
    if name.endswith((".pbtxt", ".prototxt", ".pb.txt")) and (graph := tensorflow_text_facts(text)) is not None:
        return graph
    if name == "checkpoint" and _CHECKPOINT.fullmatch(text):
        return FileFacts("tensorflow-checkpoint")
    return FileFacts("text", (Fact("unexamined", "", None, ("text of a kind that may be code or configuration",)),))


def _json(data: bytes, text: str) -> FileFacts:
    if len(data) > MAX_JSON_BYTES:
        return FileFacts("json", (Fact("limit", "", None, (f"JSON larger than {MAX_JSON_BYTES} bytes",)),))
    value, problem, kind = value_of(text)
    if problem:
        return FileFacts("json", (*_code_words(text), Fact(kind, "", None, (f"JSON: {problem}",))))
    if is_mxnet_graph(value):
        return FileFacts("mxnet-graph", tuple(mxnet_graph_facts(value)))
    return FileFacts("keras-config" if is_keras(value) else "json", tuple(json_facts(value)))


def json_facts(value: Json) -> Iterator[Fact]:
    """What a JSON value of a model would make a loader do."""
    if is_keras(value):
        yield from keras_facts(value)
    seen: set[tuple[str, str]] = set()
    for key, inner in _pairs(value):
        if key == TARGET and isinstance(inner, str) and ("t", inner) not in seen and len(seen) < MAX_FACTS:
            seen.add(("t", inner))
            yield Fact("target", "", None, (inner[:200],))
        elif key in REMOTE_KEYS and inner not in (False, None, {}, []) and ("r", key) not in seen:
            seen.add(("r", key))
            yield Fact("remote-code", "", None, (f"{key} names code: {json.dumps(inner)[:120]}",))
        elif key in ACTING_KEYS and ("a", key) not in seen:
            seen.add(("a", key))
            yield Fact("python-tag", "", None, (f"{key} makes a loader build Python objects",))
        if isinstance(inner, str) and (key in TEMPLATE_KEYS or _may_be_template(inner)) and len(seen) < 1000:
            yield from template_facts(inner, key[:80])


def _may_be_template(text: str) -> bool:
    """Whether a text has an expression or tag with both ends; a lone `{{` is a token of many vocabularies."""
    return ("{{" in text and "}}" in text) or ("{%" in text and "%}" in text)


def _pairs(value: Json) -> Iterator[tuple[str, Json]]:
    """Every key with its value at any depth; items of lists carry the key of the list."""
    waiting: list[tuple[str, Json]] = [("", value)]
    while waiting:
        key, item = waiting.pop()
        yield key, item
        if isinstance(item, dict):
            waiting += item.items()
        elif isinstance(item, list):
            waiting += [(key, inner) for inner in item if isinstance(inner, dict | list | str)]


def _code_words(text: str) -> list[Fact]:
    return [
        Fact("remote-code", "", None, (f"{word} names code",)) for word in sorted(REMOTE_KEYS) if f'"{word}"' in text
    ]


def _yaml(data: bytes, text: str) -> FileFacts:
    templates = template_facts(text) if _may_be_template(text) or "{%" in text else []
    return FileFacts("yaml", (*templates, *yaml_facts(text)))


def _template(data: bytes, text: str) -> FileFacts:
    return FileFacts("jinja", tuple(template_facts(text)))


def _plain(data: bytes, text: str) -> FileFacts:
    return FileFacts("text", tuple(template_facts(text)) if (_may_be_template(text) or "{%" in text) else ())


def _clean(name: str) -> Callable[[bytes, str], FileFacts]:
    return lambda data, text: FileFacts(name)


def _jsonl(data: bytes, text: str) -> FileFacts:
    return _plain(data, text)


def _code(data: bytes, text: str) -> FileFacts:
    return FileFacts("script", (Fact("code", "", None, ("a script or source file",)),))


def _python(data: bytes, text: str) -> FileFacts:
    return FileFacts("python", tuple(source_facts(data)))


def _notebook(data: bytes, text: str) -> FileFacts:
    return FileFacts("notebook", (Fact("code", "", None, ("a notebook",)),))


def _xml(data: bytes, text: str) -> FileFacts:
    """PMML, OpenVINO and other XML: no document type, no entities, no processing that loads something."""
    facts = []
    if re.search(r"<!(DOCTYPE|ENTITY|ATTLIST|ELEMENT|NOTATION)", text, re.IGNORECASE):
        facts.append(Fact("xml-entity", "", None, ("a document type or entities",)))
    if re.search(r"<\?xml-stylesheet|<xi:include|<script|<(\w+:)?Extension\b", text, re.IGNORECASE):
        facts.append(Fact("unexamined", "", None, ("an extension, include, script or style sheet",)))
    name = "pmml" if "<PMML" in text else "openvino" if re.search(r"<net\s[^>]*version=", text) else "xml"
    if name == "xml":
        facts.append(Fact("unexamined", "", None, ("XML of a kind that is not known",)))
    return FileFacts(name, tuple(facts))


_READERS: tuple[tuple[Callable[[str, str], bool], Callable[[bytes, str], FileFacts]], ...] = (
    (lambda name, text: text.startswith("#!"), _code),
    (lambda name, text: name.endswith((".py", ".pyw", ".pyi")), _python),
    (lambda name, text: name.endswith(".ipynb"), _notebook),
    (lambda name, text: name.endswith(CODE_SUFFIXES), _code),
    (lambda name, text: name.endswith(TEMPLATE_SUFFIXES), _template),
    (lambda name, text: name.endswith((".jsonl", ".ndjson")), _jsonl),
    (lambda name, text: name.endswith(".json") or (re.match(r"\s*\{\s*\"", text) is not None and text.rstrip()[-1:] == "}"), _json),
    (lambda name, text: text.lstrip()[:5] == "<?xml" or name.endswith((".pmml", ".xml")) or text.lstrip()[:5] == "<PMML", _xml),
    (lambda name, text: name.endswith(PROSE_SUFFIXES) or name.partition(".")[0] in PROSE_NAMES, _clean("text")),
    (lambda name, text: _LIGHTGBM.match(text) is not None and "end of parameters" in text, _clean("lightgbm")),
    (lambda name, text: name.endswith((".yaml", ".yml")) or name == "mlmodel" or "!!python/" in text, _yaml),
    (lambda name, text: name.endswith(DATA_SUFFIXES) or not text.strip() or ("." not in name and len(text) < 256 and re.fullmatch(r"[\w.\- \n:+]*",
    text) is not None), _plain),
)  # fmt: skip
