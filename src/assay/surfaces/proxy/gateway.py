"""What all exchanges of a process share: settings, the firewall in force, budgets, and the room left."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from assay.runtime.budget.account import Account, Reservation
from assay.runtime.budget.limits import Amount
from assay.runtime.gateway.canaries import canary_key
from assay.runtime.gateway.guard import Check
from assay.surfaces.proxy.abuse import AbuseMonitor
from assay.surfaces.proxy.caller import Caller, Callers
from assay.surfaces.proxy.refusals import Refusal
from assay.surfaces.proxy.settings import Settings

THREADS = 8


class Gateway:
    """One process's share of the proxy. `firewall` gives the firewall in force; an exchange asks once."""

    def __init__(self, settings: Settings, firewall: Callable[[], Check], account: Account) -> None:
        self.settings, self.firewall, self.account = settings, firewall, account
        self.callers = Callers(settings)
        self.abuse = AbuseMonitor(settings.abuse, account)
        self.threads = ThreadPoolExecutor(THREADS, thread_name_prefix="firewall")
        self.at_end: list[Callable[[], None]] = [self.account.close]
        self.is_recording: Callable[[], bool] = lambda: True
        self.canary_key = canary_key(settings.state)
        self.running = 0
        self.held_bytes = 0

    @contextmanager
    def room(self, size: int) -> Iterator[None]:
        """A place for one exchange whose body may have `size` bytes.

        Raises:
            Refusal: all places are taken, too many bytes are held, or verdicts cannot be recorded any more.
        """
        if not self.is_recording():
            raise Refusal(503, "records_unavailable", "verdicts cannot be recorded, so none are drawn")
        settings = self.settings
        if self.running >= settings.max_concurrent or self.held_bytes + size > settings.max_held_bytes:
            raise Refusal(503, "overloaded", "too many requests are on their way", wait_s=1)
        self.running += 1
        self.held_bytes += size
        try:
            yield
        finally:
            self.running -= 1
            self.held_bytes -= size

    def reserve(self, caller: Caller, most: Amount) -> Reservation | None:
        """Sets aside what a request can cost; None where nothing is limited.

        Raises:
            BudgetSpent: a limit would be passed.
            StorageError: the account cannot be written.
        """
        return self.account.reserve(caller.name, caller.limits, most, time.time()) if caller.limits else None

    def settle(self, reservation: Reservation | None, used: Amount) -> None:
        """Replaces what was set aside by what was used."""
        if reservation is not None:
            self.account.settle(reservation, used)

    def close(self) -> None:
        """Lets go of everything."""
        self.threads.shutdown(wait=False, cancel_futures=True)
        for end in reversed(self.at_end):
            end()
