"""The firewall policy in a file, signed or plain, read anew when the file changes.

source = PolicyFile(path, keys)
held = Held(source.read())
...
source.refresh(held)      every second or so; a bad file keeps the old policy, and its reason is told once
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from assay.core.digests import Digest, sha256
from assay.core.errors import EvidenceError, UsageError
from assay.evidence.keys import PublicKey
from assay.runtime.firewall.document import read_firewall_policy
from assay.runtime.firewall.firewall import SCANNERS
from assay.runtime.firewall.packs import ready_policy
from assay.runtime.firewall.policy import FirewallPolicy
from assay.runtime.firewall.signed import MAX_ENVELOPE_BYTES, Held, Reload, is_envelope, open_firewall_policy


class PolicyFile:
    """A policy file. With `keys` only a policy that one of them signed is read."""

    def __init__(self, path: Path, keys: Sequence[PublicKey] = ()) -> None:
        self._path, self._keys = path, tuple(keys)
        self._seen: Digest | None = None

    def read(self) -> FirewallPolicy:
        """The policy as the file holds it now.

        Raises:
            UsageError: the file cannot be read, or is larger than 1 MiB.
            EvidenceError: keys are given and none of them signed it; or it is signed and no key is given to check that.
            PolicyError: the document is no policy.
        """
        data = self._bytes()
        self._seen = sha256(data)
        name = self._path.name
        if self._keys:
            return open_firewall_policy(data, name, self._keys)
        if is_envelope(data):
            raise EvidenceError(f"{name} is signed, but by whom?", "no key was given to check it with",
                                "pass the public key of its signer", reason="no-key")  # fmt: skip
        return read_firewall_policy(data, name, SCANNERS)

    def refresh(self, held: Held) -> Reload | None:
        """Takes up the file if its bytes changed since the last look; None if they did not."""
        try:
            digest = sha256(self._bytes())
        except UsageError as error:
            return Reload(False, held.current.policy.version, error.what)
        return None if digest == self._seen else held.take(self.read)

    def _bytes(self) -> bytes:
        try:
            with self._path.open("rb") as file:
                data = file.read(MAX_ENVELOPE_BYTES + 1)
        except OSError as error:
            raise UsageError(f"cannot read {self._path}", str(error)) from error
        if len(data) > MAX_ENVELOPE_BYTES:
            raise UsageError(f"{self._path} is too large", f"at most {MAX_ENVELOPE_BYTES} bytes are read")
        return data


def policy_named(name: str, keys: Sequence[PublicKey] = ()) -> FirewallPolicy:
    """The policy in the file `name`, or the one of that name that comes with Assay; "" is the standard one."""
    path = Path(name)
    return (
        PolicyFile(path, keys).read() if name and (path.suffix or path.exists()) else ready_policy(name or "standard")
    )


def read_public_key(path: Path) -> PublicKey:
    """The public half of a key, as `assay key new` writes it.

    Raises:
        UsageError: the file cannot be read, or holds none.
    """
    try:
        keytype, public = path.read_text("ascii").split()[:2]
    except (OSError, ValueError) as error:
        raise UsageError(f"cannot read the public key {path}", str(error), "give the .pub file beside a key") from error
    return PublicKey(keytype, public)
