"""Budgets: reserved before a request, settled after it, and never bypassed by dying."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from assay.runtime.budget.account import Account
from assay.runtime.budget.limits import NANO, Amount, BudgetSpent, Limit, Price, PriceUnknown, most_of

TOKENS = Limit("tokens", "minute", 100)
COST = Limit("cost", "day", NANO)
NOW = 1_800_000_000.0


def test_a_request_beyond_the_limit_changes_nothing(tmp_path: Path) -> None:
    account = Account(tmp_path / "b.sqlite")
    account.reserve("a", [TOKENS, COST], Amount(60, NANO // 2), NOW)
    with pytest.raises(BudgetSpent) as refused:
        account.reserve("a", [TOKENS, COST], Amount(60, 1), NOW)
    assert account.spent("a", TOKENS, NOW) == 60 and account.spent("a", COST, NOW) == NANO // 2
    assert 0 < refused.value.wait_s <= 61
    account.reserve("b", [TOKENS], Amount(100), NOW)
    account.reserve("a", [TOKENS, COST], Amount(60, 1), NOW + 60)
    account.close()


def test_what_was_set_aside_and_not_used_comes_back(tmp_path: Path) -> None:
    account = Account(tmp_path / "b.sqlite")
    reservation = account.reserve("a", [TOKENS], Amount(90), NOW)
    account.settle(reservation, Amount(10))
    assert account.spent("a", TOKENS, NOW) == 10
    account.close()


def test_a_reservation_that_was_never_settled_stays_spent_over_a_restart(tmp_path: Path) -> None:
    account = Account(tmp_path / "b.sqlite")
    account.reserve("a", [TOKENS], Amount(90), NOW)
    account.close()
    again = Account(tmp_path / "b.sqlite")
    with pytest.raises(BudgetSpent):
        again.reserve("a", [TOKENS], Amount(20), NOW)
    again.close()


def test_many_writers_never_spend_more_than_the_limit(tmp_path: Path) -> None:
    got: list[int] = []

    def spend() -> None:
        account = Account(tmp_path / "b.sqlite")
        for _ in range(20):
            try:
                account.reserve("a", [TOKENS], Amount(3), NOW)
                got.append(3)
            except BudgetSpent:
                pass
        account.close()

    threads = [threading.Thread(target=spend) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(got) == 99


def test_money_without_a_price_is_refused() -> None:
    with pytest.raises(PriceUnknown):
        most_of("m", 10, 10, {}, (COST,))
    assert most_of("m", 10, 10, {}, (TOKENS,)) == Amount(20, 0)
    assert most_of("m", 1_000_000, 1_000_000, {"m": Price.per_million(0.25, 2.0)}, (COST,)) == Amount(
        2_000_000, 2_250_000_000
    )


def test_prices_are_never_rounded_down() -> None:
    assert Price.per_million(0.0001, 0.0) == Price(1, 0)
