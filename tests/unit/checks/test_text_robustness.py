"""Changed words flip a text model that hangs on single words, within what was allowed."""

from __future__ import annotations

import numpy as np
import pytest

from assay.checks.robustness.text import KINDS, Limits, change_words
from assay.checks.robustness.word_changes import LOOK_ALIKE, variants, without, words_of
from assay.predictors.declared import declared
from assay.predictors.function_model import FunctionModel
from assay.predictors.predictor import Predictor

SAID = "the film is good and the music is fine too"


def model(output: str = "scores") -> Predictor:
    """Says yes where it reads `good`."""

    def answer(batch: object) -> object:
        yes = np.array(["good" in text.split() for (text,) in batch.tolist()])  # type: ignore[attr-defined]  # an array
        return np.stack([1 - 0.9 * yes, 0.9 * yes], axis=1) if output == "scores" else yes.astype(int)

    stated = declared({"predictor": "python:a:b", "interface": {"classes": [0, 1], "output": output, "input": "text"}})
    return Predictor(FunctionModel(answer, stated))


def limits(queries: int = 100, share: float = 0.2, synonyms: dict[str, list[str]] | None = None) -> Limits:
    return Limits(queries, share, KINDS, synonyms or {})


@pytest.mark.parametrize("output", ["scores", "labels"])
def test_the_word_that_matters_is_found(output: str) -> None:
    found = change_words(model(output), SAID, 1, limits(share=1.0), 0)
    assert (found.fooled and found.queries <= 100 and "music" in found.text) or output == "labels"
    assert model().labels(np.array([[found.text]], dtype=object)).tolist() == [0]


def test_scores_lead_to_the_one_word_that_decides() -> None:
    found = change_words(model(), SAID, 1, limits(), 0)
    assert found.words == 1 and "music" in found.text and "good" not in found.text.split()


def test_a_budget_is_kept() -> None:
    assert change_words(model("labels"), SAID, 1, limits(queries=1), 0).queries <= 1


def test_a_text_without_words_cannot_be_attacked() -> None:
    assert change_words(model(), "!!!", 0, limits(), 0).queries == 0


def test_synonyms_come_first() -> None:
    found = change_words(model(), SAID, 1, Limits(100, 0.2, ("synonym",), {"good": ["great"]}), 0)
    assert found.fooled and "great" in found.text and found.words == 1


def test_look_alikes_are_other_letters_of_other_alphabets() -> None:
    assert all(ord(a) < 128 <= ord(b) for a, b in LOOK_ALIKE.items())
    word = list(variants("good", ("homoglyph",), {}, np.random.default_rng(0)))
    assert word and all(other != "good" and len(other) == 4 for other in word)


def test_words_are_cut_out_cleanly() -> None:
    assert [SAID[a:b] for a, b in words_of(SAID)][3] == "good"
    assert "good" not in without(SAID, words_of(SAID)[3])
