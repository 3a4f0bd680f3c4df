"""The lifecycle of an asset under a name: which state may follow which, and which role may say so.

new ─► sourced ─► candidate ─► approved ⇄ production
          │            ▲           │           │
          └─ quarantine ─┴─ lift ◄─┴───────────┘        all but production ─► retired (terminal)
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Final

from assay.core.errors import StateError


class State(StrEnum):
    """Where an asset stands."""

    SOURCED = "sourced"
    CANDIDATE = "candidate"
    APPROVED = "approved"
    PRODUCTION = "production"
    QUARANTINED = "quarantined"
    RETIRED = "retired"


_MOVES: Final[Mapping[State, Mapping[State, str]]] = {
    State.SOURCED: {State.CANDIDATE: "releaser", State.QUARANTINED: "incident", State.RETIRED: "releaser"},
    State.CANDIDATE: {State.APPROVED: "releaser", State.QUARANTINED: "incident", State.RETIRED: "releaser"},
    State.APPROVED: {State.PRODUCTION: "releaser", State.QUARANTINED: "incident", State.RETIRED: "releaser"},
    State.PRODUCTION: {State.APPROVED: "releaser", State.QUARANTINED: "incident"},
    State.QUARANTINED: {State.CANDIDATE: "incident", State.SOURCED: "incident", State.RETIRED: "releaser"},
    State.RETIRED: {},
}


def role_for(before: State, after: State) -> str:
    """The role that may move an asset from `before` to `after`.

    Raises:
        StateError: the table has no such move.
    """
    role = _MOVES[before].get(after)
    if role is None:
        allowed = ", ".join(_MOVES[before]) or "nothing: it is the end"
        raise StateError(f"cannot go from {before} to {after}", f"from {before} an asset may become {allowed}")
    return role
