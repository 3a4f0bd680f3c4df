"""Firewall policies that are signed: the YAML document in a DSSE envelope, and the holder that swaps one for the next.

    bytes ─► signature by a key that may ─► strict YAML ─► version above the one in force ─► in force at once

What fails at any step changes nothing: the old policy stays in force and the reason is told.
Source: DSSE protocol v1.0.2.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from assay.core.canonical import canonical, parse
from assay.core.errors import AssayError, EvidenceError, PolicyError
from assay.evidence.envelope import envelope_json, pae, read_envelope
from assay.evidence.keys import PublicKey, Signer
from assay.runtime.firewall.document import read_firewall_policy
from assay.runtime.firewall.firewall import SCANNERS, Firewall
from assay.runtime.firewall.policy import FirewallPolicy

FIREWALL_PAYLOAD = "application/vnd.assay.firewall-policy.v1+yaml"
MAX_ENVELOPE_BYTES = 1 << 20


def sign_firewall_policy(document: bytes, source: str, signers: Sequence[Signer]) -> bytes:
    """The envelope of a policy.

    Raises:
        PolicyError: the document is no policy; nothing is signed.
    """
    read_firewall_policy(document, source, SCANNERS)
    signatures = [(s.public.key_id, s.sign(pae(FIREWALL_PAYLOAD, document))) for s in signers]
    return canonical(envelope_json(FIREWALL_PAYLOAD, document, signatures))


def open_firewall_policy(
    data: bytes, source: str, keys: Collection[PublicKey], scanners: Collection[str] = SCANNERS
) -> FirewallPolicy:
    """The policy of an envelope that one of `keys` signed; nothing inside is read before that.

    Raises:
        MalformedInput: no envelope, or of another payload type.
        EvidenceError: no given key signed it.
        PolicyError: the document is no policy.
    """
    value = parse(data, what=source, max_bytes=MAX_ENVELOPE_BYTES)
    envelope = read_envelope(value, FIREWALL_PAYLOAD)
    if not envelope.signers(keys):
        raise EvidenceError(f"{source} is not signed by a key that may", "no signature of it is by a given key",
                            "sign it with `assay firewall sign`, or give the key of its signer", reason="unsigned")  # fmt: skip
    return read_firewall_policy(envelope.payload, source, scanners)


def is_envelope(data: bytes) -> bool:
    """Whether `data` claim to be a signed policy, so that a plain one is told apart from one whose signature is broken."""
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        return False
    return isinstance(value, dict) and "payloadType" in value


@dataclass(frozen=True)
class Reload:
    """What came of a try to take up a policy: `is_taken`, or why not."""

    is_taken: bool
    version: int
    why: str = ""


class Held:
    """The firewall in force; `current` may be read by any thread at any time, and is replaced whole."""

    def __init__(self, policy: FirewallPolicy, make: Callable[[FirewallPolicy], Firewall] = Firewall) -> None:
        self._make = make
        self._lock = threading.Lock()
        self.current = make(policy)

    def take(self, read: Callable[[], FirewallPolicy]) -> Reload:
        """Puts what `read` returns in force if its version is above the one in force.

        The same bytes again are no error. Whatever `read` raises as an AssayError keeps the old one.
        """
        with self._lock:
            old = self.current.policy
            try:
                new = read()
                if new.digest == old.digest:
                    return Reload(False, old.version)
                if new.version <= old.version:
                    raise PolicyError(f"policy version {new.version} is refused", f"version {old.version} is in force",
                                      "raise `version` with every change")  # fmt: skip
                self.current = self._make(new)
            except AssayError as error:
                return Reload(False, old.version, f"{error.what}: {error.why}" if error.why else error.what)
            return Reload(True, new.version)
