"""The firewall policy of a running proxy: read from its file, and read again when that changes.

An exchange keeps the policy that it began with. A policy that cannot be read, is not signed as it must be, or whose version does
not rise leaves the old one in force and is told as an event.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from assay.app.firewall_policy import PolicyFile
from assay.evidence.keys import PublicKey
from assay.runtime.firewall.firewall import Firewall
from assay.runtime.firewall.packs import ready_policy
from assay.runtime.firewall.signed import Held
from assay.surfaces.proxy.scanning import PooledFirewall, Workers
from assay.surfaces.proxy.watch import Event

LOOK_S = 2.0


class HeldPolicy:
    """The firewall in force. `name` is a file, or a policy that comes with Assay; "" is the standard one."""

    def __init__(self, name: str, signers: Sequence[PublicKey], record: Callable[[Event], None]) -> None:
        self._workers, self._record = Workers(), record
        path = Path(name)
        self._file = PolicyFile(path, signers) if name and (path.suffix or path.exists()) else None
        policy = self._file.read() if self._file else ready_policy(name or "standard")
        self._held = Held(policy, lambda policy: PooledFirewall(policy, self._workers))
        self._said = ""
        self._over = threading.Event()
        if self._file:
            threading.Thread(target=self._watch, name="firewall-policy", daemon=True).start()

    def firewall(self) -> Firewall:
        """The firewall for a new exchange."""
        return self._held.current

    def look(self) -> None:
        """Takes up the file if it changed."""
        reload = self._file.refresh(self._held) if self._file else None
        if reload is None or (not reload.is_taken and reload.why == self._said):
            return
        self._said = reload.why
        about = {"is_taken": reload.is_taken, "version": reload.version, "why": reload.why}
        self._record(Event("policy", time.time(), "", "", about))

    def close(self) -> None:
        """Stops looking, and ends the scanning processes."""
        self._over.set()
        self._workers.close()

    def _watch(self) -> None:
        while not self._over.wait(LOOK_S):
            self.look()
