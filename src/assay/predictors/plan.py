"""Which of several ways to do a job a model admits: the strongest first, and what was impossible, with the reason."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from assay.core.errors import Undecided
from assay.core.outcomes import Skipped
from assay.predictors.predictor import Capability

T = TypeVar("T")


@dataclass(frozen=True)
class Way(Generic[T]):
    """One way to do a job: its name, what it needs of a model, and the function that does it."""

    name: str
    needs: frozenset[Capability]
    run: T


@dataclass(frozen=True)
class Plan(Generic[T]):
    """The ways that a model admits, strongest first, and the others as skips that say what the model lacks."""

    ways: tuple[Way[T], ...]
    impossible: tuple[Skipped, ...]


def plan(ways: Sequence[Way[T]], capabilities: frozenset[Capability]) -> Plan[T]:
    """Sorts `ways`, given strongest first, by whether a model with `capabilities` admits them."""
    admitted = tuple(way for way in ways if way.needs <= capabilities)
    skips = [
        Skipped(way.name, f"capability: the model gives no {', '.join(sorted(way.needs - capabilities))}")
        for way in ways
        if not way.needs <= capabilities
    ]
    return Plan(admitted, tuple(skips))


def strongest(
    ways: Sequence[Way[T]], capabilities: frozenset[Capability], otherwise: str = "the model admits none of the ways"
) -> Generator[Skipped, None, Way[T]]:
    """The strongest of `ways` that a model with `capabilities` admits; yields the impossible ones.

    Raises:
        Undecided: it admits none, which `otherwise` says.
    """
    planned = plan(ways, capabilities)
    yield from planned.impossible
    if not planned.ways:
        raise Undecided(otherwise)
    return planned.ways[0]
