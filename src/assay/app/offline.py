"""Bundles for verifying without the ledger: statements, inclusion proofs, a checkpoint, the trust chain, the manifest.

The ledger's key seals the whole, so that nobody on the way can leave out a quarantine. A bundle cannot know what came
after it, so it speaks for the present only as long as its checkpoint is younger than the trust policy allows. The
reader pins the first trust policy by its digest.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise

from assay.app.reader import Reader
from assay.app.sound import SoundLedger, age_problem, read_checkpoint, trust_problem, witness_problem
from assay.app.verify import Demand, Reason, Verification, bytes_differ, checkpoint_stale, judged, trust_expired
from assay.app.workspace import Workspace
from assay.core.assets import Manifest, differences
from assay.core.canonical import Json, canonical, parse
from assay.core.digests import Digest, sha256
from assay.core.errors import AssayError, EvidenceError, MalformedInput
from assay.evidence import merkle
from assay.evidence.envelope import pae
from assay.evidence.ledger import Leaf
from assay.evidence.note import Checkpoint
from assay.evidence.predicates import Predicate
from assay.evidence.trust import TRUST_PAYLOAD, Trust, verified_chain
from assay.registry.queries import Version

SCHEMA = "urn:assay:offline:v1"
SEAL_PAYLOAD = "application/vnd.assay.offline.v1+json"
MAX_OFFLINE_BYTES = 64 << 20


@dataclass(frozen=True)
class Offline:
    """A bundle whose every entry was proven to be in the log of `signed`; a `Source` for readers."""

    name: str
    version: int
    manifest: Manifest
    symlinks: str
    chain: tuple[Trust, ...]
    signed: Checkpoint
    note: bytes
    _leaves: Sequence[Leaf] = field(repr=False)
    _bundles: Mapping[Digest, bytes] = field(repr=False)

    @property
    def trust(self) -> Trust:
        """The policy in force."""
        return self.chain[-1]

    def mentioning(self, text: str) -> Sequence[Leaf]:
        """Every entry whose leaf holds `text`."""
        return [leaf for leaf in self._leaves if text.encode() in leaf.data]

    def bundle(self, leaf: Leaf) -> bytes:
        """The signed bundle of an entry."""
        return self._bundles[leaf.bundle]


def pack(workspace: Workspace, version: Version) -> bytes:
    """Everything about one version and its ancestors, for use without the ledger.

    Raises:
        EvidenceError: the ledger's key is not on this machine; only its keeper can say that nothing was left out.
    """
    note = workspace.sign_checkpoint()
    if note is None:
        raise EvidenceError("only the ledger's keeper can pack a bundle", "the ledger's key is not on this machine",
                            "ask the keeper for the bundle", reason="no-key")  # fmt: skip
    sound = SoundLedger.of(workspace)
    reader = Reader(sound, sound.chain)
    digests = [version.digest, *sorted(reader.ancestors(version.digest))]
    leaves = {
        leaf.index: leaf for text in (*digests, Predicate.QUARANTINE, TRUST_PAYLOAD) for leaf in sound.mentioning(text)
    }
    entries = [_entry(workspace, leaves[i], sound.size) for i in sorted(leaves)]
    sealed: dict[str, Json] = {
        "checkpoint": note.decode(),
        "entries": entries,
        "manifest": _text(workspace.manifest(version.digest).canonical_bytes),
        "name": version.name,
        "schema": SCHEMA,
        "symlinks": version.symlinks,
        "trust": [_text(envelope) for envelope in workspace.trust_chain()],
        "version": version.n,
    }
    signer = workspace.signer("ledger")
    return canonical(sealed | {"seal": {"key": signer.public.key_id, "sig": _text(signer.sign(_seal_message(sealed)))}})


def open_offline(data: bytes, pin: Digest | None) -> Offline:
    """Reads a bundle and proves every entry of it.

    Raises:
        MalformedInput: it does not follow its form.
        TrustError: the trust chain does not begin at `pin` or does not hold.
        LedgerDamaged: the checkpoint is not signed by the ledger's key.
        EvidenceError: an entry is not in the log.
    """
    value = parse(data, what="offline bundle", max_bytes=MAX_OFFLINE_BYTES, max_depth=6)
    try:
        if value["schema"] != SCHEMA:
            raise MalformedInput("offline bundle has another schema", f"expected {SCHEMA}")
        chain = verified_chain([_data(item) for item in value["trust"]], pin)
        note = value["checkpoint"].encode()
        signed = read_checkpoint(note, chain)
        _check_seal(value, chain)
        proven = [_proven(item, signed) for item in value["entries"]]
        indices = [leaf.index for leaf, _ in proven]
        if any(before >= after for before, after in pairwise(indices)):
            raise MalformedInput("offline bundle is malformed", "its entries are not in the order of the log")
        manifest = Manifest.parse(_data(value["manifest"]))
        bundles = {leaf.bundle: bundle for leaf, bundle in proven}
        return Offline(str(value["name"]), int(value["version"]), manifest, str(value["symlinks"]), chain, signed, note,
                       [leaf for leaf, _ in proven], bundles)  # fmt: skip
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise MalformedInput("offline bundle is malformed", f"{type(error).__name__}: {error}") from error


def verify_offline(data: bytes, pin: Digest | None, demand: Demand, found: Manifest | None) -> Verification:
    """Whether the asset of a bundle may run; `found` is what was hashed on disk, None to ask about the statements only.

    A bundle that does not hold is a denial with its reason, never an exception: this is the door of hosts.
    """
    try:
        bundle = open_offline(data, pin)
    except AssayError as error:
        reason = Reason(
            error.reason or "bundle-malformed", f"{error.what}: {error.why}" if error.why else error.what, error.fix
        )
        return Verification(found.digest if found else "", "", demand.stage, (reason,))
    fresh: list[Reason] = []
    if problem := trust_problem(bundle.trust, demand.now):
        fresh.append(trust_expired(problem))
    if problem := age_problem(bundle.signed, bundle.trust, demand.now) or witness_problem(bundle.note, bundle.trust):
        fresh.append(checkpoint_stale(problem))
    if found is not None and found.digest != bundle.manifest.digest:
        fresh.append(bytes_differ(f"{bundle.name}@{bundle.version}", str(differences(bundle.manifest, found))))
    answer = judged(Reader(bundle, bundle.chain), bundle.manifest.digest, demand, bundle.name, fresh,
                    as_name=bundle.name)  # fmt: skip
    return replace(answer, digest=found.digest) if found is not None else answer


def _seal_message(sealed: Json) -> bytes:
    return pae(SEAL_PAYLOAD, canonical(sealed))


def _check_seal(value: Json, chain: Sequence[Trust]) -> None:
    """The whole bundle is signed by the ledger's key, so that nobody on the way can leave an entry out."""
    sealed, seal = {name: item for name, item in value.items() if name != "seal"}, value["seal"]
    trust, key_id = chain[-1], seal["key"]
    if key_id not in trust.log.keys or not trust.keys[key_id].key.verifies(_data(seal["sig"]), _seal_message(sealed)):
        raise EvidenceError("the bundle is not as the ledger's keeper packed it", "its seal does not hold",
                            "fetch the bundle again", reason="seal")  # fmt: skip


def _entry(workspace: Workspace, leaf: Leaf, size: int) -> Json:
    return {
        "bundle": _text(workspace.ledger.bundle(leaf)),
        "index": leaf.index,
        "leaf": _text(leaf.data),
        "proof": [_text(step) for step in workspace.ledger.inclusion(leaf.index, size)],
    }


def _proven(item: Json, signed: Checkpoint) -> tuple[Leaf, bytes]:
    data, bundle, index = _data(item["leaf"]), _data(item["bundle"]), item["index"]
    proof = [_data(step) for step in item["proof"]]
    if type(index) is not int or not merkle.verify_inclusion(
        index, signed.size, merkle.leaf_hash(data), proof, signed.root
    ):
        raise EvidenceError("an entry of the bundle is not in the log", f"entry {str(index)[:20]} has no valid inclusion proof",
                            "fetch the bundle again", reason="not-in-log")  # fmt: skip
    leaf = Leaf.parse(index, data)
    if sha256(bundle) != leaf.bundle:
        raise EvidenceError("an entry of the bundle carries another statement", f"entry {index}", reason="not-in-log")
    return leaf, bundle


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _data(text: Json) -> bytes:
    return base64.b64decode(text, validate=True)
