"""Proofs that a string of the right shape is a credential: checksums and structure that a vendor puts into its tokens.

Each proof takes the matched text and answers `Proof.PROVED`, `SHAPED` (right shape, nothing to prove or not provable) or
`REFUTED` (it carries a checksum or structure, and that is wrong).
Sources: GitHub Engineering, Behind GitHub's new authentication token formats, 2021 (CRC-32, base62, six digits; npm uses the
same); libmacaroons format 2 for PyPI; RFC 7519 (JWT); RFC 7468 (PEM).
"""

from __future__ import annotations

import base64
import binascii
import json
import re
import string
import zlib
from collections.abc import Callable
from enum import StrEnum

from assay.formats.secrets.randomness import is_random, is_stand_in

_BASE62 = string.digits + string.ascii_uppercase + string.ascii_lowercase


class Proof(StrEnum):
    """What a proof concludes."""

    PROVED = "proved"
    SHAPED = "shaped"
    REFUTED = "refuted"


Prove = Callable[[str], Proof]


def base62_crc32(body: str) -> str:
    """The six-digit base62 form of the CRC-32 of a token's random part."""
    value, digits = zlib.crc32(body.encode()), ""
    while value:
        value, rest = divmod(value, 62)
        digits = _BASE62[rest] + digits
    return digits.rjust(6, "0")


def crc_token(token: str) -> Proof:
    """`ghp_`, `npm_` …: 30 random characters and six of checksum."""
    body = token.partition("_")[2]
    if is_stand_in(body):
        return Proof.REFUTED
    return Proof.PROVED if base62_crc32(body[:30]) == body[30:] else Proof.REFUTED


def random_token(token: str) -> Proof:
    """No checksum is published: the part behind the last mark must look random and be no placeholder."""
    longest = max(re.split(r"[-_.:=~/]", token), key=len)
    body = longest if len(longest) >= 20 else re.split(r"[-_.:=]", token, maxsplit=1)[-1] or token
    return Proof.SHAPED if not is_stand_in(token) and is_random(body, 0.78) else Proof.REFUTED


def pypi_macaroon(token: str) -> Proof:
    """A macaroon of format 2 whose location field is pypi.org or test.pypi.org."""
    data = _unbase64(token.removeprefix("pypi-"))
    if data is None or data[:2] != b"\x02\x01":
        return Proof.REFUTED
    place = data[3 : 3 + data[2]]
    return Proof.PROVED if place in (b"pypi.org", b"test.pypi.org") and len(data) > 60 else Proof.REFUTED


def jwt(token: str) -> Proof:
    """Three base64url parts: a header with `alg`, claims, a signature that is not empty; the example of jwt.io is none."""
    header, _, rest = token.partition(".")
    claims, _, signature = rest.partition(".")
    head, body = _json_object(header), _json_object(claims)
    if head is None or body is None or str(head.get("alg", "none")).lower() == "none":
        return Proof.REFUTED
    if body.get("role") == "anon" or (body.get("sub") == "1234567890" and body.get("name") in ("John Doe", None)):
        return Proof.REFUTED
    return Proof.PROVED if len(signature) >= 40 and not is_stand_in(signature) else Proof.REFUTED


def pem_key(block: str) -> Proof:
    """A PEM block whose body decodes to a DER sequence of fitting length, or to an OpenSSH key."""
    lines = re.split(r"(?:\\r|\\n|\s|[\"'],?\s{0,9}\+?|,)+", re.sub(r"-----BEGIN [^-]{1,60}-----|-----END ", "", block))
    body = "".join(line for line in lines if ":" not in line and line not in ("DEK-Info", "Proc-Type"))
    data = _unbase64(body)
    if data is None or len(data) < 32 or len(set(data)) < 12:
        return Proof.REFUTED
    if data.startswith(b"openssh-key-v1\x00") or "ENCRYPTED" in block[:200]:
        return Proof.PROVED
    if data[0] == 0x30 and _der_length(data) == len(data):
        return Proof.PROVED
    return Proof.PROVED if "PGP" in block[:60] else Proof.REFUTED


def basic_credentials(header: str) -> Proof:
    """`Basic` and the base64 of `user:password`, with a password that is no placeholder."""
    data = _unbase64(header.rpartition(" ")[2])
    try:
        user, colon, password = (data or b"").decode().partition(":")
    except UnicodeDecodeError:
        return Proof.REFUTED
    if not colon or not user.isprintable() or not password.isprintable() or len(password) < 6 or is_stand_in(password):
        return Proof.REFUTED
    return (
        Proof.REFUTED
        if password.lower() in ("password", user.lower(), "secret", "opensesame", "open sesame")
        else Proof.PROVED
    )


def _der_length(data: bytes) -> int:
    """How long the outermost DER value says it is, with its header; -1 where that is unreadable."""
    first = data[1]
    if first < 0x80:
        return 2 + first
    count = first & 0x7F
    return 2 + count + int.from_bytes(data[2 : 2 + count], "big") if 0 < count <= 4 else -1


def _json_object(part: str) -> dict[str, object] | None:
    data = _unbase64(part)
    try:
        value = json.loads(data) if data else None
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _unbase64(text: str) -> bytes | None:
    """Bytes of standard or URL-safe base64, padded or not; None where it is neither."""
    plain = text.rstrip("=").translate(str.maketrans("-_", "+/"))
    try:
        return base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True)
    except (binascii.Error, ValueError):
        return None
