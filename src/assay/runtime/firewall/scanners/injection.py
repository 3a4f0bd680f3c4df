"""Injections: texts that take over, or try to, what the operator told the model.

Three looks at every reading of a text: RE2 rules for marks that no honest text has, a linear model for what people type, and
another for what an assistant reads, where any order to it is an attack. What lies near the threshold is for the `classifier`.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from importlib import resources

from assay.formats.text.patterns import Pattern, PatternSet, utf8
from assay.formats.text.views import View
from assay.formats.yaml_strict import load_yaml
from assay.runtime.firewall.model import features
from assay.runtime.firewall.model.linear import Linear, Score
from assay.runtime.firewall.scanner import Mark, NotRun, Subject
from assay.runtime.firewall.values import Source

MODEL = "assay.runtime.firewall.model"
MODEL_RULE = "injection.model"
REFS = ("owasp-llm:LLM01:2026", "mitre-atlas:AML.T0051")
WORTH_PLACING = 0.25
READ = frozenset([Source.DOCUMENT, Source.TOOL])


@dataclass(frozen=True)
class _Rules:
    gate: PatternSet
    patterns: dict[str, tuple[Pattern, float]]


def injection(subject: Subject) -> Sequence[Mark]:
    """Every rule that fits, and the strongest window of the text if the model finds anything in it at all.

    Raises:
        NotRun: the weights are missing or are not those of their card.
    """
    model = linear(model_for(subject.segment.source))
    marks: list[Mark] = []
    for view in subject.views:
        marks += _ruled(view)
        marks.append(_scored(view, model.score(view.text), len(subject.segment.text)))
    return marks


def model_for(source: Source) -> str:
    """The model that is meant for texts from `source`."""
    return "documents" if source in READ else "prompts"


def _ruled(view: View) -> list[Mark]:
    rules = _rules()
    found = []
    for name in sorted(rules.gate.found_in(utf8(view.text))):
        pattern, score = rules.patterns[name]
        spans = pattern.spans(view.text)
        found += [Mark(f"injection.{name}", *view.origin(span.start, span.end), score, REFS) for span in spans[:20]]
    return found


def _scored(view: View, score: Score, length: int) -> Mark:
    """The strongest window; its place is worked out only where somebody may ask for it."""
    if score.value < WORTH_PLACING or score.windows == 1:
        return Mark(MODEL_RULE, *(view.place or (0, length)), score.value, REFS)
    place = features.place_of(view.text, score.first, score.last)
    return Mark(MODEL_RULE, *view.origin(*place), score.value, REFS)


@lru_cache(maxsize=4)
def linear(kind: str) -> Linear:
    """The shipped model of one kind, `prompts` or `documents`.

    Raises:
        NotRun: it cannot be read.
    """
    folder = resources.files(MODEL)
    try:
        said = json.loads((folder / "card.json").read_text("utf-8"))["models"][kind]
        weights = (folder / said["file"]).read_bytes()
        if sha256(weights).hexdigest() != said["sha256"]:
            raise ValueError("they are not those of their card")
        return Linear(
            weights, said["scale"], said["bias"], said["thresholds"], said["slope"], said["window"], said["contrast"]
        )
    except (OSError, ValueError, KeyError) as error:
        raise NotRun(f"the weights cannot be read: {error}") from error


@lru_cache(maxsize=1)
def _rules() -> _Rules:
    """The rules of `injections.yaml`: {name: {pattern, score}}, matched against the folded text."""
    said = load_yaml((resources.files(MODEL) / "injections.yaml").read_bytes(), "injections.yaml")
    named = [(name, rule["pattern"]) for name, rule in said.items()]
    return _Rules(
        PatternSet(named), {name: (Pattern(rule["pattern"]), float(rule["score"])) for name, rule in said.items()}
    )
