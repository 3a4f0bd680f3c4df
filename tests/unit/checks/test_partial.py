"""A partial is judged by what it wraps: HistGradientBoosting with categories pickles one, and so can anybody who means harm."""

from __future__ import annotations

import functools
import os
import pickle

import numpy as np
import pytest
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.utils.validation import check_array
from tests.corpus.model_file.attacks import u

from assay.checks.model_file.judge import judge
from assay.core.outcomes import Verdict
from assay.formats.reading import read_facts

PARTIAL = b"\x80\x04" + u("functools") + u("partial") + b"\x93"
LISTED = u("sklearn.utils.validation") + u("check_array") + b"\x93"
SYSTEM = u("os") + u("system") + b"\x93"
UNLISTED = u("sklearn.utils.validation") + u("check_nothing") + b"\x93"


def verdict(data: bytes) -> Verdict:
    return judge(read_facts(data, "m.pkl")).verdict


@pytest.mark.parametrize("protocol", [2, 4, 5])
def test_a_model_with_categories_is_clean(protocol: int) -> None:
    rows = np.c_[np.arange(40.0), np.arange(40) % 3]
    model = HistGradientBoostingClassifier(max_iter=2, categorical_features=[1]).fit(rows, np.arange(40) % 2)
    assert verdict(pickle.dumps(model, protocol)) is Verdict.CLEAN
    assert verdict(pickle.dumps(functools.partial(check_array, dtype=None), protocol)) is Verdict.CLEAN


def test_a_partial_of_something_else_is_flagged() -> None:
    assert verdict(pickle.dumps(functools.partial(os.system, "true"))) is Verdict.MALICIOUS
    assert verdict(pickle.dumps(functools.partial(np.load))) is not Verdict.CLEAN
    for wrapped in (SYSTEM, UNLISTED, PARTIAL[2:], u("numpy") + u("ndarray") + b"\x93"):
        assert verdict(PARTIAL + wrapped + b"\x85R.") in (Verdict.MALICIOUS, Verdict.UNKNOWN)


@pytest.mark.parametrize(
    "rest",
    {
        "a state that wraps something else": SYSTEM + b")}Nt",
        "a state that wraps a partial": PARTIAL[2:] + b")}Nt",
        "a state that is made": PARTIAL[2:] + LISTED + b"\x85R)}Nt",
        "a state that is too short": LISTED + b")t",
        "a state that is a text": u("x") + b"t",
    }.values(),
)
def test_a_state_that_changes_what_is_wrapped_is_flagged(rest: bytes) -> None:
    assert verdict(PARTIAL + LISTED + b"\x85R(" + rest + b"b.") in (Verdict.MALICIOUS, Verdict.UNKNOWN)


def test_a_partial_is_not_called_while_loading() -> None:
    for use in (b")R.", b"K\x01a.", b")\x81."):
        assert verdict(PARTIAL + LISTED + b"\x85R" + use) in (Verdict.MALICIOUS, Verdict.UNKNOWN)
