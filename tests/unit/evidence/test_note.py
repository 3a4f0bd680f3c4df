"""Notes: published ones open, ours round-trip, and hostile ones are refused with a reason."""

from __future__ import annotations

import base64
from dataclasses import replace

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from assay.core.errors import MalformedInput
from assay.evidence import note
from assay.evidence.merkle import EMPTY_ROOT
from assay.evidence.note import Checkpoint, NoteError

ORIGIN = "assay.example/ledger"
ROOT = base64.b64decode("CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=")
BODY = f"{ORIGIN}\n70000\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n"
KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
WITNESS_KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(1, 33)))
WITNESS = "witness.example/w1"
LINE = "\u2014 a.example " + base64.b64encode(bytes(68)).decode()
# From the documentation of golang.org/x/mod/sumdb/note.
GO_KEY = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
GO_NOTE = (
    "If you think cryptography is the answer to your problem,\n"
    "then you don't know what your problem is.\n"
    "\n"
    "\u2014 PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n"
)
# From C2SP tlog-cosignature, the introduction.
C2SP_NOTE = (
    "example.com/behind-the-sofa\n"
    "20852163\n"
    "CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n"
    "\n"
    "\u2014 example.com/behind-the-sofa"
    " Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=\n"
    "\u2014 witness.example.com/w1"
    " jWbPPwAAAABkGFDLEZMHwSRaJNiIDoe9DYn/zXcrtPHeolMI5OWXEhZCB9dlrDJsX3b2oyin1nPZqhf5nNo0xUe+mbIUBkBIfZ+qnA==\n"
)


def public(key: Ed25519PrivateKey) -> bytes:
    return key.public_key().public_bytes_raw()


def verify(public: bytes, message: bytes, signature: bytes) -> bool:
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, message)
    except InvalidSignature:
        return False
    return True


def never(public: bytes, message: bytes, signature: bytes) -> bool:
    raise AssertionError("nothing was to be verified")


def signed(checkpoint: Checkpoint = Checkpoint(ORIGIN, 70000, ROOT)) -> bytes:  # noqa: B008 # frozen
    return note.sign_checkpoint(checkpoint, ORIGIN, KEY.sign, public(KEY))


def cosigned(time_s: int = 1_790_000_000, name: str = WITNESS) -> note.NoteSignature:
    return note.cosign(signed(), name, time_s, WITNESS_KEY.sign, public(WITNESS_KEY))


def with_line(line: note.NoteSignature) -> bytes:
    return note.open_note(signed()).with_signatures([line]).to_bytes()


def reason_of(data: bytes, origin: str = ORIGIN) -> str:
    with pytest.raises(NoteError) as caught:
        note.verify_checkpoint(data, origin, public(KEY), verify)
    return caught.value.reason


# -- published notes


def test_the_note_of_the_go_documentation_opens_and_its_signature_holds() -> None:
    name, key_id, encoded = GO_KEY.split("+", 2)
    key = base64.b64decode(encoded)[1:]
    opened = note.open_note(GO_NOTE.encode())
    assert note.note_key_id(name, key).hex() == key_id
    [signature] = opened.signed_by(name, bytes.fromhex(key_id))
    assert verify(key, opened.text.encode(), signature)
    assert opened.to_bytes() == GO_NOTE.encode()


@pytest.mark.parametrize(
    "vkey",
    [
        "remora.n621.de+da77ade7+BOvN63jn/bLvkieywe8R6UYAtVtNbZpXh34x7onlmtw2",
        "rgdd.se/poc-witness+db03732e+BCjJKlo6BU0xfIb8LutqerIFTWIXEA0L5n3tW3QyPFgG",
    ],
)
def test_key_ids_of_public_witnesses_are_those_they_publish(vkey: str) -> None:
    name, key_id, encoded = vkey.split("+", 2)
    algorithm, key = base64.b64decode(encoded)[0], base64.b64decode(encoded)[1:]
    assert algorithm == note.COSIGNATURE
    assert note.note_key_id(name, key, note.COSIGNATURE).hex() == key_id


def test_the_checkpoint_of_the_specification_opens_and_is_written_back_byte_for_byte() -> None:
    opened = note.open_note(C2SP_NOTE.encode())
    assert note.parse_checkpoint(opened.text) == Checkpoint("example.com/behind-the-sofa", 20852163, ROOT)
    assert [found.name for found in opened.signatures] == ["example.com/behind-the-sofa", "witness.example.com/w1"]
    assert [len(found.signature) for found in opened.signatures] == [64, 72]
    assert int.from_bytes(opened.signatures[1].signature[:8], "big") == 1679315147
    assert opened.to_bytes() == C2SP_NOTE.encode()


# -- our own


@pytest.mark.parametrize(
    "checkpoint",
    [
        Checkpoint(ORIGIN, 0, EMPTY_ROOT),
        Checkpoint(ORIGIN, 1, ROOT),
        Checkpoint(ORIGIN, 2**63 - 1, ROOT),
        Checkpoint(ORIGIN, 7, ROOT, ("time 2026-11-22T18:00:00.123Z", "größer — 例")),
    ],
)
def test_a_signed_checkpoint_comes_back_whole(checkpoint: Checkpoint) -> None:
    assert note.parse_checkpoint(checkpoint.body()) == checkpoint
    assert note.verify_checkpoint(signed(checkpoint), ORIGIN, public(KEY), verify) == checkpoint


def test_a_checkpoint_is_written_as_the_specification_shows_it() -> None:
    key_id = note.note_key_id(ORIGIN, public(KEY))
    blob = base64.b64encode(key_id + KEY.sign(BODY.encode())).decode()
    assert signed() == f"{BODY}\n\u2014 {ORIGIN} {blob}\n".encode()


@pytest.mark.parametrize(
    "fields",
    [
        {"origin": ""},
        {"origin": "a\nb"},
        {"origin": "a\tb"},
        {"origin": "a\x7fb"},
        {"size": -1},
        {"size": 2**63},
        {"root": b""},
        {"root": bytes(31)},
        {"extensions": ("",)},
        {"extensions": ("a\n\nb",)},
    ],
)
def test_a_checkpoint_that_could_not_be_read_back_is_not_made(fields: dict[str, object]) -> None:
    with pytest.raises(NoteError):
        replace(Checkpoint(ORIGIN, 1, ROOT), **fields)  # type: ignore[arg-type] # hostile on purpose


@pytest.mark.parametrize("name", ["", "a b", "a+b", "a\u00a0b", "a\u2003b", "a\nb", "a\x00b"])
def test_a_key_name_that_would_break_the_line_is_refused(name: str) -> None:
    with pytest.raises(NoteError, match="not a key name"):
        note.sign_checkpoint(Checkpoint(ORIGIN, 1, ROOT), name, KEY.sign, public(KEY))
    with pytest.raises(NoteError, match="not a key name"):
        cosigned(name=name)


# -- verifying


@pytest.mark.parametrize("at", range(len(BODY)))
def test_no_byte_of_the_text_can_change(at: int) -> None:
    data = bytearray(signed())
    data[at] ^= 1
    assert reason_of(bytes(data)) in ("malformed", "wrong-signature")


def test_an_edited_signature_does_not_hold() -> None:
    opened = note.open_note(signed())
    [line] = opened.signatures
    for at in range(64):
        changed = bytearray(line.signature)
        changed[at] ^= 0x10
        edited = replace(line, signature=bytes(changed))
        assert reason_of(replace(opened, signatures=(edited,)).to_bytes()) == "wrong-signature"
    for wrong in (line.signature[:-1], line.signature + b"\0", b"\0"):
        edited = replace(line, signature=wrong)
        assert reason_of(replace(opened, signatures=(edited,)).to_bytes()) == "wrong-signature"


def test_a_signature_of_another_length_never_reaches_the_verifier() -> None:
    opened = note.open_note(signed())
    for length in (1, 63, 65, 96):
        line = replace(opened.signatures[0], signature=bytes(length))
        with pytest.raises(NoteError):
            note.verify_checkpoint(replace(opened, signatures=(line,)).to_bytes(), ORIGIN, public(KEY), never)


def test_a_note_by_another_key_or_name_is_unsigned_and_its_signature_is_not_even_tried() -> None:
    other = note.sign_checkpoint(Checkpoint(ORIGIN, 1, ROOT), ORIGIN, WITNESS_KEY.sign, public(WITNESS_KEY))
    renamed = note.sign_checkpoint(Checkpoint(ORIGIN, 1, ROOT), "b.example", KEY.sign, public(KEY))
    for data in (other, renamed, GO_NOTE.encode()):
        with pytest.raises(NoteError) as caught:
            note.verify_checkpoint(data, ORIGIN, public(KEY), never)
        assert caught.value.reason == "unsigned"


def test_a_checkpoint_of_another_log_under_our_key_name_is_refused() -> None:
    data = note.sign_checkpoint(Checkpoint("b.example/log", 1, ROOT), ORIGIN, KEY.sign, public(KEY))
    assert reason_of(data) == "wrong-origin"


def test_one_false_signature_that_claims_our_key_spoils_the_note() -> None:
    opened = note.open_note(signed())
    false = replace(opened.signatures[0], signature=bytes(64))
    assert reason_of(opened.with_signatures([false]).to_bytes()) == "wrong-signature"


def test_signatures_of_unknown_keys_are_ignored() -> None:
    data = note.open_note(signed()).with_signatures([cosigned(), note.read_signature(LINE)]).to_bytes()
    assert note.verify_checkpoint(data, ORIGIN, public(KEY), verify).size == 70000


def test_the_text_is_not_parsed_before_its_signature_holds() -> None:
    opened = replace(note.open_note(signed()), text="not a checkpoint\n")
    assert reason_of(opened.to_bytes()) == "wrong-signature"
    made = replace(opened.signatures[0], signature=KEY.sign(opened.text.encode()))
    assert reason_of(replace(opened, signatures=(made,)).to_bytes()) == "malformed"


# -- hostile notes

HOSTILE = {
    "empty": b"",
    "no signature": BODY.encode(),
    "no blank line": f"{BODY}{LINE}\n".encode(),
    "blank line but no signature": f"{BODY}\n".encode(),
    "no last newline": f"{BODY}\n{LINE}".encode(),
    "another character for the last newline": f"{BODY}\n{LINE}x".encode(),
    "blank line at the end": f"{BODY}\n{LINE}\n\n".encode(),
    "carriage returns": f"{BODY}\n{LINE}\n".replace("\n", "\r\n").encode(),
    "zero byte": f"a\0{BODY}\n{LINE}\n".encode(),
    "tab": f"a\t{BODY}\n{LINE}\n".encode(),
    "delete": f"a\x7f{BODY}\n{LINE}\n".encode(),
    "next line U+0085": f"a\x85{BODY}\n{LINE}\n".encode(),
    "not UTF-8": b"\xff" + f"{BODY}\n{LINE}\n".encode(),
    "overlong UTF-8": b"\xc0\xaf" + f"{BODY}\n{LINE}\n".encode(),
    "surrogate": b"\xed\xa0\x80" + f"{BODY}\n{LINE}\n".encode(),
    "hyphen for the dash": f"{BODY}\n{LINE.replace(chr(0x2014), '-')}\n".encode(),
    "en dash for the dash": f"{BODY}\n{LINE.replace(chr(0x2014), chr(0x2013))}\n".encode(),
    "no space after the dash": f"{BODY}\n{LINE.replace(' ', '', 1)}\n".encode(),
    "no name": f"{BODY}\n\u2014  {'A' * 92}\n".encode(),
    "name with plus": f"{BODY}\n\u2014 a+b {'A' * 92}\n".encode(),
    "name with no-break space": f"{BODY}\n\u2014 a\u00a0b {'A' * 92}\n".encode(),
    "two spaces": f"{BODY}\n\u2014 a  {'A' * 92}\n".encode(),
    "trailing space": f"{BODY}\n{LINE} \n".encode(),
    "no base64": f"{BODY}\n\u2014 a \n".encode(),
    "only a key id": f"{BODY}\n\u2014 a AAAAAA==\n".encode(),
    "base64 without padding": f"{BODY}\n\u2014 a AAAAAAA\n".encode(),
    "base64 with unused bits set": f"{BODY}\n\u2014 a AAAAAAB=\n".encode(),
    "base64 for addresses": f"{BODY}\n\u2014 a AAAA__-_\n".encode(),
    "base64 beyond ASCII": f"{BODY}\n\u2014 a AAAAAAA\u0410\n".encode(),
    "padding inside": f"{BODY}\n\u2014 a AAAA=AAAAAA=\n".encode(),
    "one bad line of two": f"{BODY}\n{LINE}\nhello\n".encode(),
    "101 signatures": f"{BODY}\n{(LINE + chr(10)) * 101}".encode(),
    "too large": f"{BODY}{'x' * 65536}\n\n{LINE}\n".encode(),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_malformed_note_is_refused(name: str) -> None:
    with pytest.raises(NoteError) as caught:
        note.open_note(HOSTILE[name])
    assert caught.value.reason == "malformed"
    assert isinstance(caught.value, MalformedInput)


def test_the_bounds_themselves_are_allowed() -> None:
    assert len(note.open_note(f"{BODY}\n{(LINE + chr(10)) * 100}".encode()).signatures) == 100
    rest = f"\n\n{LINE}\n".encode()
    assert note.open_note(b"x" * (note.MAX_NOTE_BYTES - len(rest)) + rest).signatures


def test_the_signatures_follow_the_last_blank_line_of_a_text_that_has_several() -> None:
    opened = note.open_note(f"a\n\nb\n\n\n{LINE}\n".encode())
    assert opened.text == "a\n\nb\n\n"
    assert opened.to_bytes() == f"a\n\nb\n\n\n{LINE}\n".encode()


@pytest.mark.parametrize(
    "body",
    [
        "",
        "\n",
        "a\n1\n",
        BODY[:-1],
        BODY + "\n",
        BODY + "extension",
        "\n" + BODY,
        BODY.replace("70000", ""),
        BODY.replace("70000", "070000"),
        BODY.replace("70000", "00"),
        BODY.replace("70000", "+70000"),
        BODY.replace("70000", "-1"),
        BODY.replace("70000", " 70000"),
        BODY.replace("70000", "70_000"),
        BODY.replace("70000", "7e4"),
        BODY.replace("70000", "0x10"),
        BODY.replace("70000", "\u0667"),
        BODY.replace("70000", str(2**63)),
        BODY.replace("70000", "9" * 5000),
        BODY.replace("I=\n", "I\n"),
        BODY.replace("I=\n", "J=\n"),
        BODY.replace("CsUY", ""),
        BODY.replace("CsUY", "CsUYCsUY"),
    ],
)
def test_a_body_that_is_not_canonical_is_refused(body: str) -> None:
    with pytest.raises(NoteError):
        note.parse_checkpoint(body)


# -- witnesses


def test_a_cosignature_is_verified_and_gives_its_time() -> None:
    data = with_line(cosigned())
    assert note.verified_cosignatures(data, {WITNESS: public(WITNESS_KEY)}, verify) == {WITNESS: 1_790_000_000}
    assert note.verify_checkpoint(data, ORIGIN, public(KEY), verify) == Checkpoint(ORIGIN, 70000, ROOT)


def test_a_cosignature_signs_the_time_and_the_text() -> None:
    line = cosigned()
    message = f"cosignature/v1\ntime 1790000000\n{BODY}".encode()
    assert line.key_id == note.note_key_id(WITNESS, public(WITNESS_KEY), 0x04)
    assert line.signature == (1_790_000_000).to_bytes(8, "big") + WITNESS_KEY.sign(message)
    assert note.read_signature(line.line()) == line


def test_the_newest_time_counts_where_a_witness_signed_twice() -> None:
    data = note.open_note(signed()).with_signatures([cosigned(5), cosigned(9), cosigned(7), cosigned(9)]).to_bytes()
    assert data.count(WITNESS.encode()) == 3
    assert note.verified_cosignatures(data, {WITNESS: public(WITNESS_KEY)}, verify) == {WITNESS: 9}


def test_an_unknown_witness_counts_for_nothing() -> None:
    data = with_line(cosigned())
    assert note.verified_cosignatures(data, {}, never) == {}
    assert note.verified_cosignatures(data, {"witness.example/w2": public(WITNESS_KEY)}, never) == {}
    assert note.verified_cosignatures(data, {WITNESS: public(KEY)}, never) == {}
    assert note.verified_cosignatures(signed(), {WITNESS: public(WITNESS_KEY)}, never) == {}


def test_a_cosignature_that_was_edited_spoils_the_note() -> None:
    line = cosigned()
    for at in range(len(line.signature)):
        changed = bytearray(line.signature)
        changed[at] ^= 0x80
        data = with_line(replace(line, signature=bytes(changed)))
        with pytest.raises(NoteError) as caught:
            note.verified_cosignatures(data, {WITNESS: public(WITNESS_KEY)}, verify)
        assert caught.value.reason == "wrong-signature"
    for short in (line.signature[:5], line.signature[:-1], line.signature + b"\0"):
        with pytest.raises(NoteError):
            data = with_line(replace(line, signature=short))
            note.verified_cosignatures(data, {WITNESS: public(WITNESS_KEY)}, verify)


def test_a_cosignature_of_a_time_beyond_the_range_is_refused_though_its_signature_holds() -> None:
    for time_s, holds in ((2**63 - 1, True), (2**63, False)):
        made = WITNESS_KEY.sign(f"cosignature/v1\ntime {time_s}\n{BODY}".encode())
        data = with_line(replace(cosigned(), signature=time_s.to_bytes(8, "big") + made))
        if holds:
            assert note.verified_cosignatures(data, {WITNESS: public(WITNESS_KEY)}, verify) == {WITNESS: time_s}
        else:
            with pytest.raises(NoteError):
                note.verified_cosignatures(data, {WITNESS: public(WITNESS_KEY)}, verify)


def test_a_cosignature_is_no_signature_of_the_log_and_the_other_way_round() -> None:
    both = {ORIGIN: public(KEY)}
    assert note.verified_cosignatures(signed(), both, never) == {}
    own = note.cosign(signed(), ORIGIN, 5, KEY.sign, public(KEY))
    only = replace(note.open_note(signed()), signatures=(own,)).to_bytes()
    assert reason_of(only) == "unsigned"


def test_a_witness_signs_only_checkpoints_and_times_in_range() -> None:
    with pytest.raises(NoteError):
        note.cosign(GO_NOTE.encode(), WITNESS, 5, WITNESS_KEY.sign, public(WITNESS_KEY))
    for time_s in (-1, 2**63):
        with pytest.raises(NoteError):
            cosigned(time_s)
