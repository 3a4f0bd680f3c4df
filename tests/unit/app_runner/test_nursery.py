"""Worker servers that are kept for later runs: only idle ones that are alike, and none is left behind."""

from __future__ import annotations

import os
import signal
from datetime import UTC, datetime

import pytest
from tests.unit.app_runner.conftest import Ask, job

from assay.app.runner.engine import run
from assay.app.runner.jobs import Located, Started
from assay.app.runner.nursery import Nursery, borrow, give_back, kept


@pytest.fixture(autouse=True)
def _nothing_is_kept_around_the_test(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("assay.app.runner.nursery._kept", None)


def ready(nursery: Nursery) -> Nursery:
    while not nursery.is_ready:
        list(nursery.reports())
    return nursery


def returned(needs: tuple[str, ...] = ()) -> Nursery:
    """A server that is ready and was given back."""
    nursery = ready(borrow(needs, ()))
    give_back(nursery)
    return nursery


def test_an_idle_server_is_lent_again_and_to_one_borrower_at_a_time() -> None:
    with kept():
        first = returned()
        again, other = borrow((), ()), borrow((), ())
        assert again is first and other is not first
        give_back(ready(again))
        give_back(ready(other))
    assert not first.is_alive and not other.is_alive
    assert not first.scratch.exists() and not other.scratch.exists()


def test_outside_of_kept_a_server_ends_when_it_is_given_back() -> None:
    nursery = returned()
    assert not nursery.is_alive and not nursery.scratch.exists()


def test_a_server_of_another_kind_is_not_lent(monkeypatch: pytest.MonkeyPatch) -> None:
    with kept():
        first = returned()
        other = borrow(("cel",), ())
        assert other is not first
        give_back(other)
        monkeypatch.setenv("PATH", "/elsewhere")
        elsewhere = borrow((), ())
        assert elsewhere is not first
        give_back(elsewhere)


def test_a_server_that_died_while_it_was_idle_is_not_lent() -> None:
    with kept():
        nursery = returned()
        os.kill(_process_of(nursery), signal.SIGKILL)
        while nursery.is_alive:
            pass
        fresh = borrow((), ())
        assert fresh is not nursery
        give_back(fresh)


def test_a_run_that_was_left_early_keeps_no_server(model: Located) -> None:
    with kept():
        events = run([job("sleep", model)], now=lambda: datetime.now(UTC))
        assert isinstance(next(events), Started)
        events.close()  # type: ignore[attr-defined]
        assert _lent_again() is None


def test_a_kept_server_answers_as_a_new_one_does(ask: Ask) -> None:
    fresh = ask("random", seed=3).outcomes
    with kept():
        assert [ask("random", seed=3).outcomes for _ in range(3)] == [fresh] * 3
        assert ask("raise").failure is not None and ask("segfault").failure is not None
        assert _lent_again() is not None
        assert ask("random", seed=3).outcomes == fresh


def _lent_again() -> Nursery | None:
    """The idle server, put back where it was."""
    nursery = borrow((), ())
    found = nursery if nursery.is_ready else None
    give_back(nursery)
    return found


def _process_of(nursery: Nursery) -> int:
    return nursery._process.pid
