"""Is what the sandbox promises to refuse refused, and what libraries need allowed?"""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.unit.app_runner.conftest import Ask, job, located, results

from assay.app.runner.jobs import JobResult, Located, State
from assay.core.outcomes import Finding, Measurement, Skipped


def _refused(result: JobResult) -> list[str]:
    """The reasons, once every deed was refused."""
    assert (result.state, result.failure) == (State.DONE, None)
    assert not [outcome for outcome in result.outcomes if isinstance(outcome, Finding)]
    (attempts,) = (outcome.n for outcome in result.outcomes if isinstance(outcome, Measurement))
    reasons = [o.reason for o in result.outcomes if isinstance(o, Skipped) and o.what.startswith("deed")]
    assert len(reasons) == attempts
    return reasons


@pytest.mark.parametrize("name", ["network", "processes", "libraries"])
def test_network_processes_and_libraries_are_refused(ask: Ask, name: str) -> None:
    assert all(reason.startswith("a check may not") for reason in _refused(ask(name)))


def test_files_outside_the_scratch_folder_cannot_be_changed(ask: Ask, tmp_path: Path) -> None:
    (tmp_path / "victim").write_text("untouched")
    before = sorted(tmp_path.iterdir())
    _refused(ask("writes", options={"folder": str(tmp_path)}))
    assert (tmp_path / "victim").read_text() == "untouched"
    assert sorted(tmp_path.iterdir()) == before


def test_the_scratch_folder_can_be_used_as_libraries_do_and_is_gone_afterwards(ask: Ask) -> None:
    result = ask("scratch")
    assert result.failure is None
    (scratch,) = result.outcomes
    assert isinstance(scratch, Skipped)
    assert not Path(scratch.reason).exists()


def test_hidden_folders_other_processes_and_our_environment_are_out_of_sight(
    model: Located, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ASSAY_PASSPHRASE", "secret")
    (tmp_path / "key").write_bytes(b"private")
    asked = [job("secrets", model, options={"folder": str(tmp_path)})]
    result = results(asked, hidden=[tmp_path])["secrets"]
    assert len(_refused(result)) == 2
    environment = next(o.reason for o in result.outcomes if isinstance(o, Skipped) and o.what == "environment")
    assert "PASSPHRASE" not in environment


def test_scikit_learn_models_load_and_predict_within_the_sandbox(tmp_path: Path) -> None:
    numpy = pytest.importorskip("numpy")
    skops = pytest.importorskip("skops.io")
    from sklearn.cluster import KMeans
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.linear_model import LogisticRegression
    from sklearn.neighbors import KNeighborsClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    rows = numpy.random.default_rng(0).normal(size=(60, 4))
    models = {
        "forest": RandomForestClassifier(5, random_state=0), "means": KMeans(2, n_init=1, random_state=0),
        "neighbours": KNeighborsClassifier(), "pipe": make_pipeline(StandardScaler(), LogisticRegression()),
    }  # fmt: skip
    for name, model in models.items():
        skops.dump(model.fit(rows, rows[:, 0] > 0), tmp_path / f"{name}.skops")
    result = results([job("predict", located(tmp_path))])["predict"]
    assert result.failure is None
    assert [outcome.metric for outcome in result.outcomes if isinstance(outcome, Measurement)] == sorted(models)
