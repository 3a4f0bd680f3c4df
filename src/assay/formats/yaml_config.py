"""YAML beside models: what a loader would import, build or render, at any depth and however it is spelt.

Events are put together to mappings with anchors, aliases and merge keys resolved, so `{"_target\\x5f": ...}` and aliases are
seen as what they mean. Nothing is built from tags.
Source: Hydra 1.3, `_target_`; MLflow 3, `MLmodel`; PyYAML, tags `!!python/`; NeMo (CVE-2025-23304).
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from assay.core.errors import MalformedInput
from assay.formats.configuration.nodes import Node
from assay.formats.configuration.yaml_events import read_yaml
from assay.formats.facts import Fact

CODE_KEYS = frozenset({"auto_map", "custom_pipelines", "custom_pipeline", "trust_remote_code"})
TARGET = "_target_"
LOADER = "loader_module"
MLFLOW_LOADERS = frozenset({f"mlflow.{name}" for name in ["sklearn", "xgboost", "lightgbm", "catboost", "pytorch", "tensorflow", "keras", "onnx",
    "statsmodels", "spacy", "prophet", "h2o", "spark", "paddle", "fastai", "transformers", "sentence_transformers", "pmdarima", "diviner"]})  # fmt: skip
MAX_FACTS = 1_000
_OFF = ("", "false", "no", "off", "null", "~", "0")
_PYTHON = re.compile(r"!!?python/|tag:yaml\.org,2002:python/")
_STANDARD = "tag:yaml.org,2002:"


def yaml_facts(text: str) -> Iterator[Fact]:
    """One fact for each name that makes a loader act."""
    try:
        documents = read_yaml(text)
    except ImportError:
        yield Fact("needs", "", None, ("PyYAML is needed to read YAML: pip install PyYAML",))
        return
    except MalformedInput as error:
        yield Fact(
            "limit" if "too" in error.what else "malformed", "", None, (f"YAML: {error.what}: {error.why}"[:200],)
        )
        if _PYTHON.search(text):
            yield Fact("python-tag", "", None, ("a YAML tag that makes a loader build Python objects",))
        return
    for tag, line in dict(documents.tags).items():
        if "python" in tag:
            yield Fact("python-tag", "", None, (f"the YAML tag {tag[:100]} in line {line}",))
        elif tag.startswith("!") or not tag.startswith(_STANDARD):
            yield Fact("remote-code", "", None, (f"the YAML tag {tag[:100]} in line {line}",))
    told = dict.fromkeys(fact for document in documents.values for node in document.walk() for fact in _mapping(node))
    yield from list(told)[:MAX_FACTS]


def _mapping(node: Node) -> Iterator[Fact]:
    for key, value in node.fields.items():
        if key == TARGET:
            yield Fact("target", "", None, (value.text[:200],))
        elif key in CODE_KEYS and (value.kind != "scalar" or value.text.lower() not in _OFF):
            yield Fact("remote-code", "", None, (f"{key} names code: {value.text[:100]}",))
        elif key == LOADER and value.text not in MLFLOW_LOADERS:
            yield Fact("remote-code", "", None, (f"{LOADER} names {value.text[:100]}",))
