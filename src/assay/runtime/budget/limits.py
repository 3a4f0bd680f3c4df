"""Limits and prices as values, and the most that one request can cost."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from assay.core.errors import AssayError

WINDOWS: Final = {"minute": 60, "hour": 3600, "day": 86400}
NANO: Final = 1_000_000_000


class BudgetSpent(AssayError):
    """A client has spent what it may spend in this minute, hour or day; nothing was sent."""

    code, exit_code = "A-BUDGET", 1

    def __init__(self, limit: Limit, spent: int, wanted: int, wait_s: int) -> None:
        super().__init__(
            f"the budget of {limit.shown} is spent", f"{spent} are spent or reserved, and this request may need {wanted}",
            f"wait {wait_s} seconds, ask for fewer tokens, or have the limit raised", reason=limit.name,
        )  # fmt: skip
        self.limit, self.wait_s = limit, wait_s


class PriceUnknown(AssayError):
    """A client has a limit in money and the settings have no price for the model, so nothing was sent."""

    code, exit_code = "A-PRICE", 3


@dataclass(frozen=True)
class Limit:
    """At most `most` of `what` (requests, tokens or cost) in each window; cost counts in billionths of the currency."""

    what: str
    window: str
    most: int

    @property
    def name(self) -> str:
        """As the settings write it, such as `tokens_per_day`."""
        return f"{self.what}_per_{self.window}"

    @property
    def shown(self) -> str:
        """For people."""
        most = f"{self.most / NANO:g}" if self.what == "cost" else str(self.most)
        return f"{most} {self.what} per {self.window}"

    @property
    def window_s(self) -> int:
        """The length of the window."""
        return WINDOWS[self.window]


@dataclass(frozen=True)
class Price:
    """Billionths of the currency for one token; a price of 0.25 for a million tokens is 250."""

    input_nano: int
    output_nano: int

    @classmethod
    def per_million(cls, given: float, answered: float) -> Price:
        """From prices for a million tokens; what is below a billionth is rounded up."""
        return cls(-int(-given * 1000 // 1), -int(-answered * 1000 // 1))

    def cost(self, input_tokens: int, output_tokens: int) -> int:
        """In billionths."""
        return input_tokens * self.input_nano + output_tokens * self.output_nano


@dataclass(frozen=True)
class Amount:
    """What one request needs or needed."""

    tokens: int
    cost: int = 0

    def of(self, what: str) -> int:
        """The share that a limit on `what` counts."""
        return {"requests": 1, "tokens": self.tokens, "cost": self.cost}[what]


def is_in_money(limits: tuple[Limit, ...]) -> bool:
    """Whether any limit is one on cost."""
    return any(limit.what == "cost" for limit in limits)


def most_of(
    model: str, input_tokens: int, output_tokens: int, prices: Mapping[str, Price], limits: tuple[Limit, ...]
) -> Amount:
    """What a request needs at most.

    Raises:
        PriceUnknown: money is limited, and the model has no price.
    """
    price = prices.get(model)
    if price is None and is_in_money(limits):
        raise PriceUnknown(f"the price of model {model[:80]!r} is not known", "and this client has a limit in money",
                           "add the model to `prices` in the settings of the firewall")  # fmt: skip
    return Amount(input_tokens + output_tokens, price.cost(input_tokens, output_tokens) if price else 0)
