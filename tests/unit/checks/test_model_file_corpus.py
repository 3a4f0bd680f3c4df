"""The corpus of attacks and benign twins: no attack is clean, core attacks are refused, twins and real files are clean."""

from __future__ import annotations

import bz2
import datetime
import pickle
import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import make_classification
from sklearn.ensemble import GradientBoostingClassifier, HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression, SGDClassifier
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.svm import SVC
from tests.corpus.model_file.attacks import SHELL, Case, attacks, call0, call2, call4, drawn, inst, twins

from assay.checks.model_file.judge import judge
from assay.checks.model_file.stored import Keeper, read_stored
from assay.core.assets import Entry
from assay.core.digests import sha256
from assay.core.outcomes import Verdict
from assay.formats.reading import read_facts

CASES = attacks()
BAD = (Verdict.MALICIOUS, Verdict.UNKNOWN)


def verdict(case: Case) -> Verdict:
    return judge(read_facts(case.data, case.path)).verdict


def test_there_are_enough_cases_with_names_of_their_own() -> None:
    assert len(CASES) >= 600 and len({case.name for case in CASES}) == len(CASES)


def test_no_attack_is_clean_and_every_core_attack_is_refused() -> None:
    found = {case.name: verdict(case) for case in CASES}
    assert [name for name, said in found.items() if said is Verdict.CLEAN] == []
    assert [case.name for case in CASES if case.is_core and found[case.name] not in BAD] == []
    assert sum(said in BAD for said in found.values()) >= 0.98 * len(CASES)


@pytest.mark.parametrize("case", twins(), ids=lambda case: case.name)
def test_a_benign_twin_is_clean(case: Case) -> None:
    judgement = judge(read_facts(case.data, case.path))
    assert judgement.verdict is Verdict.CLEAN, judgement.problems


@pytest.mark.parametrize("seed", range(3))
def test_no_function_of_the_standard_library_is_cleared_by_chance(seed: int) -> None:
    assert all(verdict(case) in BAD for case in drawn(300, seed))


def test_payloads_that_prove_to_run_are_all_malicious(tmp_path: Path) -> None:
    """Each is loaded in a child process whose folder then holds the marker; the scan says malicious before."""
    proven = [case for case in CASES if case.needs_proof]
    assert len(proven) >= 12
    for number, case in enumerate(proven):
        assert verdict(case) is Verdict.MALICIOUS, case.name
        folder = tmp_path / str(number)
        folder.mkdir()
        (folder / "m.pkl").write_bytes(case.data)
    script = (
        "import os, pickle, sys\n"
        "for name in sorted(os.listdir(sys.argv[1])):\n"
        "    os.chdir(os.path.join(sys.argv[1], name))\n"
        "    try: pickle.load(open('m.pkl', 'rb'))\n"
        "    except Exception: pass\n"
    )
    subprocess.run([sys.executable, "-c", script, str(tmp_path)], check=True, timeout=60)
    missing = [proven[i].name for i in range(len(proven)) if not (tmp_path / str(i) / "marker").exists()]
    assert missing == []


@pytest.mark.parametrize("encode", [call0, call2, call4, inst])
def test_cutting_a_payload_behind_itself_never_makes_it_clean(encode: object) -> None:
    whole = encode(*SHELL)  # type: ignore[operator]
    rest = pickle.dumps([1, "x", {"a": b"y"}], 2)[2:]
    for cut in range(len(rest)):
        assert judge(read_facts(whole + rest[:cut], "m.pkl")).verdict is Verdict.MALICIOUS


def test_judging_stored_facts_is_judging_the_file_to_the_letter() -> None:
    for case in [*CASES, *twins(), *drawn(100, 7)]:
        found, keeper = read_facts(case.data, case.path), Keeper()
        keeper.keep(Entry("it", sha256(case.data), len(case.data)), found)
        stored = read_stored(keeper.blob())["it"].facts
        assert stored is not None and judge(stored) == judge(found), case.name


def models() -> dict[str, object]:
    X, y = make_classification(60, 6, random_state=0)
    fitted = [LogisticRegression(), RandomForestClassifier(5), GradientBoostingClassifier(n_estimators=3), HistGradientBoostingClassifier(max_iter=3),
              SVC(), KNeighborsClassifier(), SGDClassifier(), make_pipeline(FunctionTransformer(np.tanh), StandardScaler(), LogisticRegression())]  # fmt: skip
    values = {type(model).__name__: model.fit(X, y) for model in fitted}
    arrays = {"a": np.arange(6.0), "o": np.array([{}, "x"], object), "s": np.float64(1), "rng": np.random.RandomState(0), "m": np.ma.array([1], mask=[1]),
              "when": datetime.datetime(2024, 1, 1, tzinfo=datetime.UTC), "rec": np.zeros(2, [("a", "i4"), ("b", "U3")])}  # fmt: skip
    return {**values, "arrays": arrays}


@pytest.mark.parametrize("protocol", [2, 4, 5])
def test_pickles_of_real_libraries_are_clean(protocol: int) -> None:
    for name, model in models().items():
        judgement = judge(read_facts(pickle.dumps(model, protocol), "m.pkl"))
        assert judgement.verdict is Verdict.CLEAN, (name, judgement.problems)


def test_joblib_files_are_clean_compressed_or_not(tmp_path: Path) -> None:
    import joblib

    for name, model in models().items():
        for compress in (0, 3, ("xz", 1), ("bz2", 1)):
            path = tmp_path / f"{name}.joblib"
            joblib.dump(model, path, compress=compress)
            judgement = judge(read_facts(path.read_bytes(), path.name))
            assert judgement.verdict is Verdict.CLEAN, (name, compress, judgement.problems)


def test_noise_behind_bzip2_is_told() -> None:
    data = bz2.compress(pickle.dumps([1])) + random.Random(0).randbytes(100)
    assert judge(read_facts(data, "m.joblib")).verdict in BAD
