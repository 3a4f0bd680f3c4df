"""Outcome tables as a policy reads them: by digest, checked against it, each once a decision."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from assay.core.digests import Digest, sha256, short, shown
from assay.core.errors import MalformedInput
from assay.policy.case import Case
from assay.policy.measured import NotFound

if TYPE_CHECKING:
    from assay.statistics.tables import OutcomeTable


@dataclass(frozen=True)
class Tables:
    """The tables of one decision; `fetch` is the view's."""

    fetch: Callable[[Digest], bytes | None]
    _read: dict[Digest, OutcomeTable | NotFound] = field(default_factory=dict)

    def read(self, digest: Digest | None) -> OutcomeTable | NotFound:
        """The table of that digest, or why it cannot be had."""
        if digest is None:
            return NotFound("no-table", "no outcomes were kept for this number")
        if digest not in self._read:
            self._read[digest] = self._fetched(digest)
        return self._read[digest]

    def _fetched(self, digest: Digest) -> OutcomeTable | NotFound:
        from assay.statistics.tables import read_table

        name, data = shown(short(digest)), self.fetch(digest)
        if data is None:
            return NotFound("no-table", f"table {name} is not in the store")
        if sha256(data) != digest:
            return NotFound("malformed-table", f"the bytes kept as table {name} are others")
        try:
            return read_table(data)
        except MalformedInput as error:
            return NotFound("malformed-table", f"table {name}: {error.what}")


def seed_of(case: Case, metric: str) -> int:
    """Seed of every draw for a metric: the first 8 bytes of sha256 over policy, candidate, baseline and metric."""
    baseline = case.view.baseline.digest if case.view.baseline else ""
    text = "\n".join((case.policy.digest, case.view.subject.digest, baseline, metric))
    return int(sha256(text.encode())[:16], 16)
