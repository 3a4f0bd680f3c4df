"""Clients that are blocked again and again are contained: refused for a while, by every process and over restarts."""

from __future__ import annotations

import time
from collections import OrderedDict, deque

from assay.runtime.budget.account import Account
from assay.surfaces.proxy.refusals import Refusal
from assay.surfaces.proxy.settings import Abuse

MAX_CLIENTS = 10_000
LOOK_S = 1.0  # how long a containment that another process saw to may go unnoticed here


class AbuseMonitor:
    """Counts the blocks of each client in a window of time; the counts are of this process, what follows is in the account."""

    def __init__(self, settings: Abuse, account: Account) -> None:
        self._settings, self._account = settings, account
        self._blocks: OrderedDict[str, deque[float]] = OrderedDict()
        self._known: dict[str, tuple[float, float]] = {}  # when the account was asked about a client, and what it said

    def admit(self, client: str) -> None:
        """Lets a client in.

        Raises:
            Refusal: it is contained.
        """
        if not self._settings.blocks:
            return
        left = self._until(client) - time.time()
        if left > 0:
            raise Refusal(
                403,
                "client_contained",
                "this client was blocked too often and is refused for a while",
                wait_s=int(left) + 1,
            )

    def blocked(self, client: str) -> bool:
        """Counts one block; says whether the client is contained now because of it."""
        settings = self._settings
        if not settings.blocks:
            return False
        now = time.time()
        times = self._blocks.setdefault(client, deque(maxlen=settings.blocks))
        self._blocks.move_to_end(client)
        if len(self._blocks) > MAX_CLIENTS:
            self._blocks.popitem(last=False)
        times.append(now)
        if len(times) < settings.blocks or now - times[0] > settings.within_s:
            return False
        times.clear()
        self._account.contain(client, now + settings.contain_s)
        self._known.pop(client, None)
        return True

    def _until(self, client: str) -> float:
        asked, until = self._known.get(client, (-LOOK_S, 0.0))
        if (now := time.monotonic()) - asked < LOOK_S:
            return until
        if len(self._known) >= MAX_CLIENTS:
            self._known.clear()
        self._known[client] = now, self._account.contained_until(client)
        return self._known[client][1]
