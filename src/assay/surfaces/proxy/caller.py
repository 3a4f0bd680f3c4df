"""Who calls: told by the digest of the key, never by the key itself."""

from __future__ import annotations

from dataclasses import dataclass

from assay.core.digests import sha256
from assay.runtime.budget.limits import Limit
from assay.surfaces.proxy.refusals import Refusal
from assay.surfaces.proxy.settings import Settings


@dataclass(frozen=True)
class Caller:
    """A client with its limits; `max_output_tokens` is None where the general bound holds."""

    name: str
    limits: tuple[Limit, ...]
    max_output_tokens: int | None = None


class Callers:
    """The clients that the settings name, or anybody where they name none."""

    def __init__(self, settings: Settings) -> None:
        self._limits = settings.limits
        self._known = {
            client.key_sha256: Caller(client.name, settings.limits if client.limits is None else client.limits, client.max_output_tokens)
            for client in settings.clients
        }  # fmt: skip

    def find(self, key: bytes) -> Caller:
        """The client with this key.

        Raises:
            Refusal: the settings name clients, and none has it.
        """
        digest = sha256(key)
        if not self._known:
            return Caller(f"key-{digest[:12]}" if key else "anonymous", self._limits)
        found = self._known.get(digest)
        if found is None:
            raise Refusal(401, "unknown_key", "this key is not known here")
        return found
