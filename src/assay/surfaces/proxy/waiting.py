"""Waiting with an end to it, at no cost for what does not have to wait: most reads and writes of the proxy are done at once."""

from __future__ import annotations

import asyncio
import types
from collections.abc import Coroutine, Generator
from functools import partial
from typing import Any, TypeVar, cast

T = TypeVar("T")


async def within(seconds: float, work: Coroutine[Any, Any, T]) -> T:
    """What `work` gives; a timer is set only where it has to wait.

    Raises:
        TimeoutError: it waited for longer.
    """
    try:
        first = work.send(None)
    except StopIteration as done:
        return cast(T, done.value)
    async with asyncio.timeout(seconds):
        return cast(T, await _rest(work, first))


@types.coroutine
def _rest(work: Coroutine[Any, Any, T], waits_for: Any) -> Generator[Any, None, T]:
    """Goes on with a coroutine that waits for something already, handing in whatever comes. Source: PEP 380."""
    while True:
        try:
            yield waits_for
        except BaseException as thrown:  # noqa: BLE001 - it is the coroutine's to handle
            step = partial(work.throw, thrown)
        else:
            step = partial(work.send, None)
        try:
            waits_for = step()
        except StopIteration as done:
            return cast(T, done.value)
