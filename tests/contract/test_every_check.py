"""What every check keeps, whatever it asks: found by discovery, so a new check is held to it without being named here."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from tests.contract.material import (
    DECLARED,
    FEATURES,
    MODEL,
    World,
    is_explained,
    lines,
    loans,
    run,
    saved,
    words_about,
    world,
)

from assay.app.examined import code_digest
from assay.app.runner.discovery import discover
from assay.core.assets import Kind
from assay.core.checks import Check, Family
from assay.core.digests import sha256
from assay.core.errors import MalformedInput
from assay.core.outcomes import FileVerdict, Finding, Measurement, Outcome, Progress, Skipped, Table, Verdict
from assay.statistics.tables import read_table, row_root

CHECKS = discover().checks
MODEL_CHECKS = [check for check in CHECKS.values() if Kind.MODEL in check.kinds]
EVALUATIONS = [check for check in MODEL_CHECKS if check.family is Family.EVALUATION]
# The healthy model classifies rows of a table; checks of images, texts and regressions have tests with models of their own.
SUITED = [check for check in MODEL_CHECKS if check.suits(MODEL)]
METRIC = re.compile(r"[a-z][a-z0-9_]*([.][a-z0-9_]+)*")
ROWS = lines(loans("test").csv, 400)
TRAIN = lines(loans("train").csv, 400)

every = pytest.mark.parametrize("check", MODEL_CHECKS, ids=lambda check: check.id)
every_suited = pytest.mark.parametrize("check", SUITED, ids=lambda check: check.id)
every_suited_evaluation = pytest.mark.parametrize(
    "check", [check for check in SUITED if check.family is Family.EVALUATION], ids=lambda check: check.id
)
every_evaluation = pytest.mark.parametrize("check", EVALUATIONS, ids=lambda check: check.id)


def healthy(**changes: object) -> World:
    return world(saved("logistic"), ROWS, TRAIN, **changes)


def outcomes(check: Check, where: World) -> list[Outcome]:
    """What came out, a malformed input as a finding, as the runner would record it."""
    try:
        return run(check, where)
    except MalformedInput as error:
        return [Finding("malformed", "high", "", error.what)]


def test_every_module_below_checks_can_be_imported() -> None:
    assert not discover().problems
    assert len(MODEL_CHECKS) >= 6


@every
def test_a_check_is_named_after_its_family_and_file(check: Check) -> None:
    family, _, name = check.id.partition(".")
    assert check.body.__module__ == f"assay.checks.{family}.{name}"
    assert check.title.endswith(".")
    source = sys.modules[check.body.__module__].__file__
    assert source and code_digest(check) == sha256(Path(source).read_bytes())


@every
def test_the_same_seed_gives_the_same_outcomes(check: Check) -> None:
    assert run(check, healthy(seed=7)) == run(check, healthy(seed=7))


@every_suited
def test_a_healthy_model_gives_outcomes_that_hold_together(check: Check) -> None:
    found = run(check, healthy())
    assert any(isinstance(o, (Measurement, FileVerdict)) for o in found)
    assert not any(isinstance(o, Finding) for o in found)
    tables: dict[str, Table] = {}
    for outcome in found:
        if isinstance(outcome, Table):
            tables[sha256(outcome.data)] = outcome
            read = read_table(outcome.data)
            assert (read.rows, row_root(read.row_id)) == (outcome.rows, outcome.row_root)
        if isinstance(outcome, Measurement):
            assert METRIC.fullmatch(outcome.metric) and is_explained(outcome.metric, check)
            assert outcome.n > 0 and outcome.better in ("higher", "lower")
            assert outcome.low is not None and outcome.high is not None
            assert outcome.low <= outcome.value <= outcome.high
            assert outcome.table is None or outcome.table in tables
        if isinstance(outcome, Skipped):
            assert outcome.what and outcome.reason


def test_a_check_that_does_not_suit_a_model_says_so() -> None:
    for check in (check for check in MODEL_CHECKS if not check.suits(MODEL)):
        assert [type(o) for o in run(check, healthy())] == [Skipped], check.id


@every_suited_evaluation
def test_progress_ends_where_it_said_it_would(check: Check) -> None:
    steps = [o for o in run(check, healthy()) if isinstance(o, Progress)]
    assert steps[-1].done == steps[-1].total or steps[-1].total == 0 or "queried" in steps[-1].note


@every_evaluation
@pytest.mark.parametrize(
    "rows",
    [
        b"",
        ROWS.splitlines()[0] + b"\n",
        ROWS[: len(ROWS) // 2 - 3].rpartition(b",")[0],
        lines(ROWS, 1),
        lines(ROWS, 2),
        b"\x00\x01\x02",
        b'"' + b"x" * 300_000,
        ROWS.replace(b"approve", b"other"),
        ROWS.replace(b"hrat", b"rath"),
    ],
    ids=["no bytes", "no rows", "cut short", "one row", "two rows", "binary", "one cell", "no target", "no feature"],
)
def test_broken_data_are_skipped_or_malformed_and_never_crash(check: Check, rows: bytes) -> None:
    found = outcomes(check, world(saved("logistic"), rows, TRAIN))
    assert any(isinstance(o, (Skipped, Finding)) for o in found)


@every_suited_evaluation
def test_rows_without_a_label_are_never_measured(check: Check) -> None:
    holed = re.sub(rb",[01]\n", b",\n", ROWS, count=1)
    found = outcomes(check, world(saved("logistic"), holed, TRAIN))
    assert [type(o) for o in found] == [Skipped]
    assert "no label" in found[0].reason


@every_suited_evaluation
def test_missing_cells_that_the_model_cannot_read_are_a_skip(check: Check) -> None:
    found = outcomes(check, world(saved("no-imputer"), loans("test").csv, TRAIN))
    assert [type(o) for o in found] == [Skipped]
    assert "NaN" in found[0].reason


@every_evaluation
def test_one_class_only_is_a_skip_or_says_what_it_counted(check: Check) -> None:
    one = re.sub(rb",[01]\n", b",0\n", ROWS)
    found = outcomes(check, world(saved("logistic"), one, TRAIN))
    named = {o.metric for o in found if isinstance(o, Measurement)}
    assert any(isinstance(o, Skipped) for o in found)
    assert not named & {"accuracy", "brier_score", "equal_opportunity_gap", "tabular.robust_accuracy"}


@every_evaluation
def test_a_model_without_data_is_a_skip(check: Check) -> None:
    found = outcomes(check, world(saved("logistic")))
    assert [type(o) for o in found] == [Skipped]


@every
@pytest.mark.parametrize("size", [0, 1, 100, 5_000, -1])
def test_a_model_cut_short_is_never_clean_nor_measured(check: Check, size: int) -> None:
    found = outcomes(check, world(saved("logistic")[:size], ROWS, TRAIN))
    assert not any(isinstance(o, Measurement) for o in found)
    assert all(o.verdict is not Verdict.CLEAN for o in found if isinstance(o, FileVerdict))


@every_evaluation
@pytest.mark.parametrize("library", ["numpy", "scipy", "sklearn", "skops"])
def test_a_missing_extra_is_a_skip_with_the_install_line(
    check: Check, library: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    where = healthy()
    monkeypatch.setitem(sys.modules, library, None)
    found = outcomes(check, where)
    assert [type(o) for o in found] == [Skipped]
    assert "pip install" in found[0].reason


@pytest.mark.parametrize("check", [c for c in MODEL_CHECKS if c.family is Family.SCAN], ids=lambda check: check.id)
def test_a_scan_needs_no_library(check: Check) -> None:
    assert not check.needs and not check.runs_model


@every
def test_a_check_that_loads_the_model_says_so(check: Check) -> None:
    assert check.runs_model == (check.family is Family.EVALUATION)


def test_listing_the_checks_imports_no_library() -> None:
    code = (
        "import sys; from assay.app.runner.discovery import discover; discover();"
        "print([m for m in ('numpy', 'scipy', 'sklearn', 'skops', 'pandas') if m in sys.modules])"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert said.stdout.strip() == "[]"


SEALED = """
import sys
from tests.contract.material import MODEL, lines, loans, run, saved, world
from tests.contract.test_every_check import MODEL_CHECKS, ROWS, TRAIN
where = world(saved("logistic"), ROWS, TRAIN)
for check in MODEL_CHECKS:
    run(check, where)  # a first round loads whatever is loaded late
REFUSED = ("socket.", "subprocess.", "os.system", "os.exec", "os.fork", "os.remove", "os.mkdir", "os.rename", "os.symlink")
def hook(event, args):
    if event.startswith(REFUSED) or (event == "open" and set(str(args[1])) & set("wax+")):
        raise SystemExit(f"{event} {args}")
sys.addaudithook(hook)
for check in MODEL_CHECKS:
    assert run(check, where)
print("sealed")
"""


def test_no_check_writes_a_file_or_uses_the_network() -> None:
    root = Path(__file__).parents[2]
    said = subprocess.run(
        [sys.executable, "-c", SEALED], capture_output=True, text=True, timeout=120, cwd=root, check=False
    )
    assert said.stdout.strip() == "sealed", said.stderr[-2000:]


def test_the_world_declares_what_it_uses() -> None:
    assert set(MODEL["features"]) == set(FEATURES)
    assert set(DECLARED["sensitive"]) <= set(FEATURES)


@pytest.mark.parametrize("check", CHECKS.values(), ids=lambda check: check.id)
def test_every_option_is_explained(check: Check) -> None:
    assert not {name for name in check.defaults if f"`{name}" not in words_about(check)}
