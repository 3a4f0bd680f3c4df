"""Other implementations read our checkpoints, cosignatures and tiles.

sigstore-python parses and verifies the notes, pymerkle rebuilds the tree, and where Python has no second
implementation (cosignatures, tiles) a reader of a few lines stands here, written from the C2SP text alone.
"""

from __future__ import annotations

import base64
import hashlib
import json
import struct
from pathlib import Path

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from pymerkle import InmemoryTree
from sigstore._internal.rekor.checkpoint import SignedCheckpoint
from sigstore._internal.trust import Keyring, RekorKeyring
from sigstore._utils import KeyID
from sigstore.errors import VerificationError
from sigstore_models.common.v1 import PublicKey, PublicKeyDetails

from assay.evidence.merkle import inclusion_proof
from assay.evidence.note import Checkpoint, cosign, note_key_id, open_note, sign_checkpoint
from assay.evidence.tiles import export_tiles

ORIGIN = "assay.example/ledger"
WITNESS = "witness.example/w1"
SIZE = 600
KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
WITNESS_KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(1, 33)))
LEAVES = [json.dumps({"leaf": index}).encode() for index in range(SIZE)]


@pytest.fixture(scope="module")
def tree() -> InmemoryTree:
    peer = InmemoryTree(algorithm="sha256")
    peer.append_entries(LEAVES)
    return peer


@pytest.fixture(scope="module")
def note(tree: InmemoryTree) -> bytes:
    checkpoint = Checkpoint(ORIGIN, SIZE, tree.get_root(SIZE), ("time 2026-11-22T18:00:00.123Z",))
    return sign_checkpoint(checkpoint, ORIGIN, KEY.sign, KEY.public_key().public_bytes_raw())


@pytest.fixture(scope="module")
def keyring() -> RekorKeyring:
    der = KEY.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    key = PublicKey(raw_bytes=base64.b64encode(der), key_details=PublicKeyDetails.PKIX_ED25519)
    return RekorKeyring(Keyring([key]))


def key_id() -> KeyID:
    """Written from C2SP signed-note, "Signatures"."""
    material = ORIGIN.encode() + b"\n" + b"\x01" + KEY.public_key().public_bytes_raw()
    return KeyID(hashlib.sha256(material).digest())


def test_sigstore_reads_our_checkpoint_and_its_signature_holds(
    note: bytes, keyring: RekorKeyring, tree: InmemoryTree
) -> None:
    found = SignedCheckpoint.from_text(note.decode())
    found.signed_note.verify(keyring, key_id())
    assert (found.checkpoint.origin, found.checkpoint.log_size) == (ORIGIN, SIZE)
    assert found.checkpoint.log_hash == tree.get_root(SIZE).hex()
    assert found.checkpoint.other_content == ["time 2026-11-22T18:00:00.123Z"]


def test_sigstore_finds_the_log_signature_beside_a_cosignature(note: bytes, keyring: RekorKeyring) -> None:
    line = cosign(note, WITNESS, 1_790_000_000, WITNESS_KEY.sign, WITNESS_KEY.public_key().public_bytes_raw())
    found = SignedCheckpoint.from_text(open_note(note).with_signatures([line]).to_bytes().decode())
    assert [signature.name for signature in found.signed_note.signatures] == [ORIGIN, WITNESS]
    found.signed_note.verify(keyring, key_id())


def test_sigstore_refuses_our_checkpoint_once_it_was_edited(note: bytes, keyring: RekorKeyring) -> None:
    edited = SignedCheckpoint.from_text(note.decode().replace(f"\n{SIZE}\n", f"\n{SIZE + 1}\n"))
    with pytest.raises(VerificationError):
        edited.signed_note.verify(keyring, key_id())


def test_a_verifier_written_from_the_specification_accepts_our_cosignature(note: bytes) -> None:
    public = WITNESS_KEY.public_key()
    line = cosign(note, WITNESS, 1_790_000_000, WITNESS_KEY.sign, public.public_bytes_raw())
    whole = open_note(note).with_signatures([line]).to_bytes()

    text, _, block = whole.partition(b"\n\n")
    dash, name, blob = block.splitlines()[1].decode().split(" ")
    hint, time_s, signature = struct.unpack(">4sQ64s", base64.b64decode(blob))
    assert (dash, name, time_s) == ("\N{EM DASH}", WITNESS, 1_790_000_000)
    assert hint == hashlib.sha256(WITNESS.encode() + b"\n\x04" + public.public_bytes_raw()).digest()[:4]
    public.verify(signature, b"cosignature/v1\ntime 1790000000\n" + text + b"\n")
    with pytest.raises(InvalidSignature):
        public.verify(signature, text + b"\n")


def test_key_ids_are_computed_the_same_way(note: bytes) -> None:
    assert note_key_id(ORIGIN, KEY.public_key().public_bytes_raw()) == key_id()[:4]


def test_pymerkle_rebuilds_the_root_from_our_entry_bundles(note: bytes, tree: InmemoryTree, tmp_path: Path) -> None:
    export_tiles(tmp_path, SIZE, LEAVES, note)
    rebuilt = InmemoryTree(algorithm="sha256")
    for path in ("000", "001", "002.p/88"):
        data = (tmp_path / "tile/entries" / path).read_bytes()
        while data:
            (length,) = struct.unpack(">H", data[:2])
            rebuilt.append_entry(data[2 : 2 + length])
            data = data[2 + length :]
    text = (tmp_path / "checkpoint").read_text(encoding="utf-8")
    assert rebuilt.get_size() == int(text.split("\n")[1])
    assert base64.b64encode(rebuilt.get_root()).decode() == text.split("\n")[2]


def test_proofs_can_be_made_from_our_tiles_alone(note: bytes, tree: InmemoryTree, tmp_path: Path) -> None:
    """Reads hashes as a client of C2SP tlog-tiles does: the tile of level L holds every subtree of 256**L leaves."""
    export_tiles(tmp_path, SIZE, LEAVES, note)

    def node(level: int, index: int) -> bytes:
        tile_level, height = divmod(level, 8)
        first, count = index << height, 1 << height
        held = SIZE >> (8 * tile_level)
        tile = first // 256
        width = min(256, held - 256 * tile)
        name = f"{tile:03}" if width == 256 else f"{tile:03}.p/{width}"
        data = (tmp_path / "tile" / str(tile_level) / name).read_bytes()
        row = [data[32 * at : 32 * at + 32] for at in range(first % 256, first % 256 + count)]
        while len(row) > 1:
            pairs = zip(row[::2], row[1::2], strict=True)
            row = [hashlib.sha256(b"\x01" + left + right).digest() for left, right in pairs]
        return row[0]

    for index in (0, 1, 255, 256, 511, 512, 590, 599):
        _, *path = tree.prove_inclusion(index + 1, SIZE).path
        assert inclusion_proof(index, SIZE, node) == path
