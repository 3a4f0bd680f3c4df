"""Signed notes and checkpoints: the few lines in which a log says how long it is and what it holds.

A checkpoint is the text of a note; below the blank line stand signatures, of the log and of witnesses:

    assay.example/ledger
    70000
    CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=

    — assay.example/ledger Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=

A log key signs the text itself (type 0x01). A witness signs `cosignature/v1`, a time and the text (type 0x04), so
neither signature passes for the other. Nothing here holds keys: signing and verifying functions are passed in.
Reading is strict, because what two readers take differently can be signed once and mean two things.

Source: C2SP signed-note, tlog-checkpoint and tlog-cosignature (https://c2sp.org/signed-note and so on).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Final

from assay.core.errors import MalformedInput
from assay.evidence.merkle import HASH_BYTES, MAX_SIZE

MAX_NOTE_BYTES: Final = 64 * 1024
MAX_SIGNATURES: Final = 100
ED25519: Final = 0x01
COSIGNATURE: Final = 0x04

Sign = Callable[[bytes], bytes]
"""Takes a message, returns the 64 bytes of its Ed25519 signature."""
Verify = Callable[[bytes, bytes, bytes], bool]
"""Takes public key, message and signature; false where the signature is not of this key over this message."""

_SIGNATURE_BYTES: Final = 64
_TIME_BYTES: Final = 8
_ID_BYTES: Final = 4
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_DECIMAL: Final = re.compile(r"0|[1-9][0-9]{0,18}")
_DASH: Final = "\u2014 "


class NoteError(MalformedInput):
    """A note that is malformed, or not signed as it must be; `reason` is one of
    `malformed`, `unsigned`, `wrong-signature`, `wrong-origin`."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The log `origin` at `size` leaves has this Merkle `root`.

    Raises:
        NoteError: a field cannot be written as a line of a note.
    """

    origin: str
    size: int
    root: bytes
    extensions: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for line in (self.origin, *self.extensions):
            if not line or _CONTROL.search(line):
                raise _malformed("an origin or extension line is empty or holds a control character")
        if not 0 <= self.size <= MAX_SIZE:
            raise _malformed(f"the tree size is not in 0..{MAX_SIZE}")
        if len(self.root) != HASH_BYTES:
            raise _malformed(f"the root has {len(self.root)} bytes, not {HASH_BYTES}")

    def body(self) -> str:
        """The text that is signed, with its last newline."""
        return "".join(f"{line}\n" for line in (self.origin, str(self.size), _base64(self.root), *self.extensions))


@dataclass(frozen=True, slots=True)
class NoteSignature:
    """One signature line: whose key (`name` and the 4 bytes of `key_id`), and the bytes that its algorithm made."""

    name: str
    key_id: bytes
    signature: bytes

    def line(self) -> str:
        """The line as it stands in a note, without the newline."""
        return f"{_DASH}{self.name} {_base64(self.key_id + self.signature)}"


@dataclass(frozen=True, slots=True)
class SignedNote:
    """A text, which ends in a newline, and its signatures, not yet verified."""

    text: str
    signatures: tuple[NoteSignature, ...]

    def to_bytes(self) -> bytes:
        """The note as it is stored and sent."""
        return "\n".join([self.text, *(signature.line() for signature in self.signatures), ""]).encode()

    def with_signatures(self, more: Iterable[NoteSignature]) -> SignedNote:
        """The same note with `more` below, each line once."""
        return replace(self, signatures=tuple(dict.fromkeys((*self.signatures, *more))))

    def signed_by(self, name: str, key_id: bytes) -> list[bytes]:
        """The signatures that claim this key. Names and ids that are not ours are no error; keys rotate."""
        return [found.signature for found in self.signatures if (found.name, found.key_id) == (name, key_id)]


# -- reading


def open_note(note: bytes) -> SignedNote:
    """Splits a note into text and signatures; verifies nothing.

    Raises:
        NoteError: the bytes are not exactly one signed note within 64 KiB and 100 signatures.

    Source: C2SP signed-note, "Format".
    """
    if len(note) > MAX_NOTE_BYTES:
        raise _malformed(f"it is larger than {MAX_NOTE_BYTES} bytes")
    whole = _text(note)
    if _CONTROL.search(whole.replace("\n", "")):
        raise _malformed("it holds a control character")
    # NOTE: the text may hold empty lines itself; the signatures follow the last one.
    text, blank, block = whole.rpartition("\n\n")
    if not blank or not block.endswith("\n"):
        raise _malformed("it has no blank line followed by signature lines that end in a newline")
    lines = block[:-1].split("\n")
    if len(lines) > MAX_SIGNATURES:
        raise _malformed(f"it has more than {MAX_SIGNATURES} signatures")
    return SignedNote(text + "\n", tuple(read_signature(line) for line in lines))


def read_signature(line: str) -> NoteSignature:
    """Reads what `NoteSignature.line` writes.

    Raises:
        NoteError: it is not exactly em dash, space, key name, space, base64 of a key id and at least one byte.
    """
    name, space, encoded = line.removeprefix(_DASH).partition(" ")
    blob = _unbase64(encoded)
    if not (line.startswith(_DASH) and space and _is_key_name(name) and len(blob) > _ID_BYTES):
        raise _malformed("a signature line is not `\u2014 NAME BASE64`")
    return NoteSignature(name, blob[:_ID_BYTES], blob[_ID_BYTES:])


def parse_checkpoint(body: str) -> Checkpoint:
    """Reads what `Checkpoint.body` writes; any other bytes for the same checkpoint are refused.

    Raises:
        NoteError: fewer than three lines, an empty line, a size that is not canonical, a root that is not 32 bytes.

    Source: C2SP tlog-checkpoint, "Note text".
    """
    lines = body.split("\n")
    if len(lines) < 4 or lines[-1]:
        raise _malformed("a checkpoint has at least three lines, each with a newline")
    origin, size, root, *extensions = lines[:-1]
    if not _DECIMAL.fullmatch(size):
        raise _malformed("the tree size is not a decimal number without leading zeroes")
    return Checkpoint(origin, int(size), _unbase64(root), tuple(extensions))


# -- the log


def note_key_id(name: str, public: bytes, algorithm: int = ED25519) -> bytes:
    """The 4 bytes that name a key in a signature line; a hint, not a fingerprint.

    Source: C2SP signed-note, "Signatures".
    """
    return hashlib.sha256(name.encode() + b"\n" + bytes([algorithm]) + public).digest()[:_ID_BYTES]


def sign_checkpoint(checkpoint: Checkpoint, name: str, sign: Sign, public: bytes) -> bytes:
    """The checkpoint as a note with one signature of the log.

    Args:
        name: the key name; `verify_checkpoint` and C2SP expect the origin.
        public: the 32 bytes of the Ed25519 key that `sign` uses.

    Raises:
        NoteError: the name cannot be a key name.
    """
    text = checkpoint.body()
    made = _signature(name, note_key_id(name, public, ED25519), sign(text.encode()))
    return SignedNote(text, (made,)).to_bytes()


def verify_checkpoint(note: bytes, origin: str, public: bytes, verify: Verify) -> Checkpoint:
    """The checkpoint of the log `origin`, after its signature by the key `public` held.

    Every signature that claims the key must hold; those of other keys are not looked at.

    Raises:
        NoteError: malformed, of another log, unsigned by the key, or with a signature that does not hold.
    """
    opened = open_note(note)
    claims = opened.signed_by(origin, note_key_id(origin, public, ED25519))
    if not claims:
        raise _refused("unsigned", f"it has no signature by the expected key of {origin!r}")
    message = opened.text.encode()
    if not all(_holds(public, message, claim, verify) for claim in claims):
        raise _refused("wrong-signature", f"a signature by the key of {origin!r} does not hold")
    checkpoint = parse_checkpoint(opened.text)
    if checkpoint.origin != origin:
        raise _refused("wrong-origin", f"it is of the log {checkpoint.origin[:80]!r}, not of {origin!r}")
    return checkpoint


# -- witnesses


def cosign(note: bytes, name: str, time_s: int, sign: Sign, public: bytes) -> NoteSignature:
    """The cosignature line of the witness `name`: at `time_s` this was the largest consistent tree it had seen.

    The caller has verified the note and its consistency with the last one; this only signs. The key must sign nothing
    else, because the message does not name the witness.

    Args:
        time_s: POSIX seconds.

    Raises:
        NoteError: the note is no checkpoint, the name no key name, or the time out of range.

    Source: C2SP tlog-cosignature, "Format" and "Ed25519 signed message".
    """
    text = open_note(note).text
    parse_checkpoint(text)
    if not 0 <= time_s <= MAX_SIZE:
        raise _malformed("the time is not in 0..2^63-1 seconds")
    made = sign(_cosigned(time_s, text))
    return _signature(name, note_key_id(name, public, COSIGNATURE), made, time_s.to_bytes(_TIME_BYTES, "big"))


def verified_cosignatures(note: bytes, witnesses: Mapping[str, bytes], verify: Verify) -> Mapping[str, int]:
    """Which of the `witnesses` (name to 32-byte public key) cosigned the note, and when, in POSIX seconds.

    The newest time counts where one signed twice. Lines of unknown witnesses are not looked at. The caller counts
    distinct names against its threshold and judges the times.

    Raises:
        NoteError: the note is malformed, or a line that claims the key of a known witness does not hold.
    """
    opened = open_note(note)
    parse_checkpoint(opened.text)
    times: dict[str, int] = {}
    for name, public in witnesses.items():
        for claim in opened.signed_by(name, note_key_id(name, public, COSIGNATURE)):
            time_s = int.from_bytes(claim[:_TIME_BYTES], "big")
            if time_s > MAX_SIZE or not _holds(public, _cosigned(time_s, opened.text), claim[_TIME_BYTES:], verify):
                raise _refused("wrong-signature", f"the cosignature by the witness {name!r} does not hold")
            times[name] = max(time_s, times.get(name, 0))
    return times


# -- private


def _cosigned(time_s: int, text: str) -> bytes:
    return f"cosignature/v1\ntime {time_s}\n{text}".encode()


def _holds(public: bytes, message: bytes, signature: bytes, verify: Verify) -> bool:
    return len(signature) == _SIGNATURE_BYTES and verify(public, message, signature)


def _signature(name: str, key_id: bytes, signature: bytes, prefix: bytes = b"") -> NoteSignature:
    if not _is_key_name(name):
        raise _malformed(f"{name[:80]!r} is not a key name: non-empty, without spaces, plus or control characters")
    return NoteSignature(name, key_id, prefix + signature)


def _is_key_name(name: str) -> bool:
    return bool(name) and "+" not in name and not any(char.isspace() for char in name) and not _CONTROL.search(name)


def _text(note: bytes) -> str:
    try:
        return note.decode("utf-8")
    except UnicodeDecodeError as error:
        raise _malformed("it is not UTF-8") from error


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def _unbase64(text: str) -> bytes:
    """Canonical base64 only: Python's own strict mode lets unused bits be anything."""
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise _malformed("it holds base64 that is not valid") from error
    if _base64(data) != text:
        raise _malformed("it holds base64 that is not canonical")
    return data


def _malformed(why: str) -> NoteError:
    return NoteError("note is malformed", why, reason="malformed")


def _refused(reason: str, why: str) -> NoteError:
    return NoteError(
        "checkpoint is not accepted",
        why,
        "ask the log for a new checkpoint, or correct the trusted keys",
        reason=reason,
    )
