"""What a firewall policy says, as values; `document` reads them from YAML.

    policy ─► routes by name ─► blocks in order ─► the first whose roles and sources fit a segment ─► its scanners

A segment that no block fits, and a route that the policy does not name, are undecided and blocked.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from assay.core.canonical import Json
from assay.core.digests import Digest
from assay.runtime.firewall.values import Action, Role, Source

MAX_CHARS = 200_000
DEADLINE_MS = 1000.0


@dataclass(frozen=True)
class Limits:
    """Bounds on one call; a text beyond them is undecided, never cut short."""

    max_chars: int = MAX_CHARS
    max_segments: int = 1000


@dataclass(frozen=True)
class Setting:
    """How one scanner runs in one block.

    Args:
        action: What a hit of the scanner asks for.
        threshold: Scores below are no hit; 0.5 is where the shipped model was calibrated. Exact scanners score 1.
        flag_at: Scores from here to the threshold are hits that only flag; None for no such band.
        deadline_ms: Wall time that the scanner may take. One that works elsewhere is abandoned then; one that works
            here is bounded by the limits of the text, and what it answers late still counts. 0 never runs it.
        fails_open: What happens when it did not run: False blocks, True goes on and says so in the record.
        rules: Other actions for single rules, by rule id.
    """

    scanner: str
    action: Action
    threshold: float = 0.5
    flag_at: float | None = None
    deadline_ms: float = DEADLINE_MS
    fails_open: bool = False
    rules: Mapping[str, Action] = field(default_factory=dict)

    def action_for(self, rule: str) -> Action:
        """What a hit of `rule` asks for."""
        return self.rules.get(rule, self.action)


@dataclass(frozen=True)
class Block:
    """The scanners for the segments of some roles and sources; an empty set means all of them."""

    scanners: tuple[Setting, ...]
    roles: frozenset[Role] = frozenset()
    sources: frozenset[Source] = frozenset()

    def fits(self, role: Role, source: Source) -> bool:
        """Whether it is meant for such a segment."""
        return (not self.roles or role in self.roles) and (not self.sources or source in self.sources)


@dataclass(frozen=True)
class Route:
    """The blocks of one route, in the order in which they are tried."""

    name: str
    blocks: tuple[Block, ...]

    def block(self, role: Role, source: Source) -> Block | None:
        """The first block that fits."""
        return next((block for block in self.blocks if block.fits(role, source)), None)


@dataclass(frozen=True)
class Tool:
    """What is known of a tool that a model may call; `schema` is JSON Schema of its arguments, or None.

    `definition` is the digest of what requests may declare it to be, or None for anything.
    """

    name: str
    has_side_effect: bool = True
    schema: Json = None
    definition: Digest | None = None


@dataclass(frozen=True)
class Tools:
    """The tools that may be called; where `allowed` is None any name is."""

    allowed: Mapping[str, Tool] | None = None


@dataclass(frozen=True)
class Classifier:
    """A classifier in a folder, named by the digest of its files, and between which linear scores it is asked."""

    folder: str
    sha256: Digest
    low: float = 0.05
    high: float = 0.5


@dataclass(frozen=True)
class FirewallPolicy:
    """One policy; `digest` names its bytes' meaning. In a dry run actions are recorded and not taken.

    `plants_canaries` has the proxy put a mark among the instructions of each request, for the scanner `leak` to find.
    """

    name: str
    version: int
    digest: Digest
    routes: Mapping[str, Route]
    is_dry_run: bool = False
    limits: Limits = Limits()
    allowed_hosts: tuple[str, ...] = ()
    tools: Tools = Tools()
    allowed_texts: frozenset[Digest] = frozenset()
    classifier: Classifier | None = None
    plants_canaries: bool = False

    def uses(self, scanner: str) -> bool:
        """Whether any block of any route asks for a scanner."""
        blocks = [block for route in self.routes.values() for block in route.blocks]
        return any(setting.scanner == scanner for block in blocks for setting in block.scanners)
