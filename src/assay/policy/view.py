"""What a policy sees: verified statements and the standing of candidate and baseline at one ledger head.

`app` collects a view; `policy` decides from it and reads nothing else: no clock, no ledger, no files.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from assay.core.assets import Kind
from assay.core.canonical import Json
from assay.core.digests import Digest


@dataclass(frozen=True)
class Evidence:
    """One statement of the ledger.

    `roles` are the roles of the trust policy in which its signer may say this about this asset; () means that it
    counts for nothing and `problem` says why (`unsigned`, `wrong-signer`, `malformed`, `revoked`). `owner` is the
    person behind the key. `identity` is issuer and subject of a keyless signer. Times are RFC 3339.
    """

    digest: Digest
    index: int
    type: str
    subjects: tuple[Digest, ...]
    predicate: Mapping[str, Json]
    key_id: str
    owner: str
    roles: tuple[str, ...]
    signed_at: str
    logged_at: str
    problem: str = ""
    identity: tuple[str, str] = ("", "")


@dataclass(frozen=True)
class Standing:
    """An asset as the registry knows it. `related` maps `trained_on`, `tested_on`, `built_by`, `served_by`, `base` to digests.

    `source` is what the registration says of where it came from: `uri`, `revision`, `licence`, `retrievedOn`.
    """

    name: str
    version: int
    digest: Digest
    kind: Kind
    state: str
    labels: Mapping[str, str] = field(default_factory=dict)
    declared: Mapping[str, Json] = field(default_factory=dict)
    origin: str = "internal"
    source: Mapping[str, str] = field(default_factory=dict)
    is_quarantined: bool = False
    tainted_by: tuple[Digest, ...] = ()
    related: Mapping[str, tuple[Digest, ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class Head:
    """A ledger head: everything below `size` is what was looked at."""

    origin: str
    size: int
    root: str


@dataclass(frozen=True)
class View:
    """Everything that a decision may depend on, apart from the policy and the time.

    `evidence` holds every statement about the candidate, the baseline, anchors and their related assets, and all waivers
    and approvals, in ledger order. `wear` counts the assets that were evaluated on a dataset. `table` returns the bytes of
    an outcome table by digest, or None if it is not there.
    """

    stage: str
    subject: Standing
    baseline: Standing | None
    head: Head
    evidence: tuple[Evidence, ...]
    table: Callable[[Digest], bytes | None] = field(repr=False)
    wear: Mapping[Digest, int] = field(default_factory=dict)
