"""The contract of a check: a generator that looks at one asset through its context and yields outcomes.

    @check("privacy.membership", kinds={Kind.MODEL}, maps_to=("mitre-atlas:AML.T0024.000",), version=1, needs=("ml",))
    def membership(asset: Asset, context: Context) -> Iterator[Outcome]: ...

A check touches its asset and its context and nothing else. The same asset, options and seed give the same outcome.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import PurePath
from typing import IO, Protocol

from assay.core.assets import Asset, Kind
from assay.core.canonical import Json
from assay.core.outcomes import Outcome


class Family(StrEnum):
    """Which statement a check's outcomes become: findings about files, or measurements of behaviour."""

    SCAN = "scan-result"
    EVALUATION = "eval-result"


class Context(Protocol):
    """What a check may use. Paths lie in a private copy or in the asset's folder; they were hashed before."""

    @property
    def seed(self) -> int:
        """Seed of every random choice."""
        ...

    @property
    def options(self) -> Mapping[str, Json]:
        """The check's options from `assay.yaml` or the command line, merged over its defaults."""
        ...

    def open(self, asset: Asset, path: str) -> IO[bytes]:
        """One file of an asset, opened for reading."""
        ...

    def folder(self, asset: Asset) -> PurePath:
        """Where the files of an asset lie; for libraries that want a path."""
        ...

    def related(self, role: str) -> tuple[Asset, ...]:
        """Assets that the subject names: `trained_on`, `tested_on`, `built_by`, `base`; () where none is declared."""
        ...


Body = Callable[[Asset, Context], Iterator[Outcome]]


@dataclass(frozen=True)
class Check:
    """A named, versioned question. `id` is `family.name`; `needs` names the extras whose libraries it imports.

    `runs_model` marks checks that load the model: they run only after every file of it scanned clean. `tasks` and `inputs` say of
    which models it can ask anything at all; () means of any.
    """

    id: str
    version: int
    kinds: frozenset[Kind]
    family: Family
    maps_to: tuple[str, ...]
    needs: tuple[str, ...]
    runs_model: bool
    defaults: Mapping[str, Json]
    title: str
    body: Body = field(repr=False, compare=False)
    tasks: frozenset[str] = frozenset()
    inputs: frozenset[str] = frozenset()

    def suits(self, declared: Mapping[str, Json]) -> bool:
        """Whether a model with this declaration is of a kind that the check looks at."""
        return (not self.tasks or task_of(declared) in self.tasks) and (
            not self.inputs or input_of(declared) in self.inputs
        )


def task_of(declared: Mapping[str, Json]) -> str:
    """What a model does: `classification` unless it is declared."""
    return str(declared.get("task", "classification"))


def input_of(declared: Mapping[str, Json]) -> str:
    """What a row of a model is: `table`, `image` or `text`; a shape of three sizes is an image."""
    interface = declared.get("interface") or {}
    shape = interface.get("shape") if isinstance(interface, Mapping) else None
    return str(interface.get("input", "image" if isinstance(shape, list) and len(shape) == 3 else "table"))


def check(
    id: str,
    *,
    kinds: set[Kind],
    version: int,
    family: Family = Family.EVALUATION,
    maps_to: tuple[str, ...] = (),
    needs: tuple[str, ...] = (),
    runs_model: bool = False,
    defaults: Mapping[str, Json] | None = None,
    tasks: set[str] | None = None,
    inputs: set[str] | None = None,
) -> Callable[[Body], Check]:
    """Makes a generator function a `Check`; its first docstring line becomes the title."""

    def made(body: Body) -> Check:
        title = (body.__doc__ or "").strip().split("\n")[0]
        return Check(
            id,
            version,
            frozenset(kinds),
            family,
            maps_to,
            needs,
            runs_model,
            dict(defaults or {}),
            title,
            body,
            frozenset(tasks or ()),
            frozenset(inputs or ()),
        )

    return made
