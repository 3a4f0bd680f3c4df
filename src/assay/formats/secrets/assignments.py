"""Secrets without a shape of their own: a telling name, a sign of assignment, and a value that is drawn, not written.

    DB_PASSWORD=k3!Wq…     "api_key": "9f8e…"     client_secret => 'x7…'     --password x9…     <add key="Secret" value="…"/>

Precision is won by what is left out: names that hold references, lengths or digests (`token_url`, `max_tokens`, `secret_name`),
values that are code, paths, words, placeholders, UUIDs, or public things.
"""

from __future__ import annotations

import re
import string
from collections.abc import Iterator
from dataclasses import dataclass
from heapq import merge

from assay.formats.secrets.budget import Budget
from assay.formats.secrets.glance import NAME_ANCHORS
from assay.formats.secrets.randomness import alphabet_size, entropy_bits, is_random, is_stand_in, is_uuid, is_wordy

MAX_NAME, MAX_VALUE = 48, 300
_NAME_CHARACTERS = string.ascii_letters + string.digits + "_.-"
_REST = re.compile(r"[A-Za-z0-9_.-]{0,48}")
_SIGN = re.compile(
    r"""["'\]]{0,2}[ \t]{0,8}(?:(?::[ \t]{0,3}[A-Za-z]{2,12}(?:[ \t]{0,2}\|[ \t]{0,2}None)?[ \t]{0,3}=|:=|=>|=|:)(?!=)[ \t]{0,8}(?:!!str[ \t])?"""
    r"""|[ \t]{1,3}(?=["'])|,[ \t]{0,4}(?=["'])|["'][ \t]{1,4}value=(?=["'])|\\["'][ \t]{0,4}[:=][ \t]{0,4}(?=\\["'])"""
    r"""|>(?=[^<>\s]{1,300}</))(?:[rbfRBF]{1,2}(?=["']))?"""
)
_FLAG_SIGN = re.compile(r"[ \t=]{1,3}")
_QUOTED = {quote: re.compile(rf"""{quote}(?P<value>(?:[^{quote}\\\n]|\\.){{1,300}}){quote}""") for quote in ('"', "'")}
_ESCAPED = re.compile(r"""\\(["'])(?P<value>[^\\"'\n]{1,300})\\\1""")
_BARE = re.compile(r"[^\s\"'`,;<>(){}\[\]\\]{1,300}")
_POINTS_ELSEWHERE = re.compile(
    r"(?:_|-|\.|^)(?:urls?|uri|endpoint|path|file|filename|dir|names?|ids?|type|types|len|length|size|count|limit|max|min|env|var|field|column|label"
    r"|header|prefix|suffix|hash|hashes|digest|sha\d*|md5|checksum|fingerprint|public|pub|ref|arn|version|rev|revision|commit|flags?|expiry|expires?|ttl|algorithm|format"
    r"|regex|pattern|policy|rules?|hint|placeholder|example|test|scope|provider|class|location|store|manager|usage|index|position|offset|strength)$",
    re.IGNORECASE,
)
_NO_SECRET = re.compile(
    r"tokeni[sz]|tokens|(?:pad|eos|bos|unk|mask|sep|cls|special|image|stop|start|end|next|prev|page|continuation|sync|csrf|xsrf|added|chat|video|audio)[_-]?token"
    r"|token[_-]?(?:type|kind|index|embed|count|class|list|map|ids?|to|level|wise|logit|prob)|secretary|passwordless|pass(?:word)?[_-]?(?:re)?(?:set|confirm|field|input|label)"
    r"|(?:no|has|is|use|with|without|need|needs|require|requires|show|hide|reset|forgot|change)[_-](?:password|secret|token)|public[_-]?(?:api[_-]?)?(?:key|token)"
    r"|secretstorage|secretmanager|secretsmanager|secret[_-]?scan|cancel",
    re.IGNORECASE,
)
_CODE = re.compile(
    r"[(){}\[\]]|^[$%&*@<]|^(?:os|self|cls|env|process|config|settings|args|params|options|ctx|request|var|local|data|secrets|vars|module|github|this)\.|^\$|->|::|\s{2}"
)
_PATHLIKE = re.compile(
    r"^(?:\.{0,2}/|~/|[A-Za-z]:\\|[a-z][a-z0-9+.-]{1,10}://|arn:|projects/|file:|secret:|vault:|ref\+|op://|kms:|urn:)"
)
_TELLING_PASSWORD = re.compile(r"passw|pwd|passphrase", re.IGNORECASE)
_DIGEST_CONTEXT = re.compile(
    r"sha(?:1|224|256|384|512)|md5|integrity|blake|digest|checksum|commit|revision|etag|hash", re.IGNORECASE
)


@dataclass(frozen=True)
class Assigned:
    """A value that looks like a secret and the name it was given."""

    name: str
    value: str
    start: int


def assignments(text: str, lowered: str, budget: Budget) -> Iterator[Assigned]:
    """Names that tell of a secret, with values that look like one; `lowered` has the same length as `text`."""
    done = last = -1
    for at in merge(*(_every(lowered, anchor) for anchor in NAME_ANCHORS)):  # lazily: a vocabulary has millions of them
        if at == last:
            continue
        last = at
        budget.spend(4)
        found = _assigned_at(text, at, budget) if at >= done else None
        if found is not None:
            done = found.start + len(found.value)
            yield found


def _every(text: str, anchor: str) -> Iterator[int]:
    at = text.find(anchor)
    while at >= 0:
        yield at
        at = text.find(anchor, at + len(anchor))


def _assigned_at(text: str, at: int, budget: Budget) -> Assigned | None:
    rest, before = _REST.match(text, at), text[max(0, at - MAX_NAME) : at]
    end = rest.end() if rest else at
    sign = _SIGN.match(text, end)
    if sign is None and "--" not in before:
        return None  # most words that tell of a secret stand in prose and in vocabularies
    start = at - (len(before) - len(before.rstrip(_NAME_CHARACTERS)))
    name = text[start:end]
    if sign is None and name.startswith("--"):
        sign = _FLAG_SIGN.match(text, end)
    if sign is None or is_no_secret_name(name):
        return None
    quoted = _quoted(text, sign.end(), budget)
    is_quoted = quoted is not None
    value = quoted or _BARE.match(text, sign.end())
    if value is None:
        return None
    said = value.group("value") if is_quoted else value.group()
    begin = value.start("value") if is_quoted else value.start()
    budget.spend(30 + len(said) // 2)
    follows = text[value.end() : value.end() + 1]
    if not is_quoted and follows in ("(", "[", "{"):
        return None
    line = text[max(0, start - 60) : start].rpartition("\n")[2]
    return Assigned(name, said, begin) if looks_secret(name, said, is_quoted, line) else None


def _quoted(text: str, at: int, budget: Budget) -> re.Match[str] | None:
    """The value in quotes at a place; what has no closing quote within reach is paid for as well."""
    pattern = _QUOTED.get(text[at : at + 1])
    if pattern is None:
        return _ESCAPED.match(text, at)
    if (found := pattern.match(text, at)) is None:
        budget.spend(20)
    return found


def is_no_secret_name(name: str) -> bool:
    """Whether a name only mentions secrets: it holds an address, a length, a digest, or a token of text."""
    plain = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).strip("-_.")
    return bool(_NO_SECRET.search(plain) or _POINTS_ELSEWHERE.search(plain))


def looks_secret(name: str, value: str, is_quoted: bool, before: str = "") -> bool:
    """Whether `value` is likely a secret under `name`; `before` is what stands on the line before the name."""
    value = value.strip()
    if len(value) < 6 or is_stand_in(value) or is_uuid(value) or _PATHLIKE.search(value) or value.isdigit():
        return False
    if _CODE.search(value) and not (
        is_quoted and _TELLING_PASSWORD.search(name) and not value.startswith(("$", "<", "{", "%"))
    ):
        return False
    if re.fullmatch(r"sha(1|224|256|384|512)[-:].*", value):
        return False
    if _TELLING_PASSWORD.search(name):
        return _is_password(value, is_quoted)
    return _is_key(name, value, before)


def _is_key(name: str, value: str, before: str) -> bool:
    if (
        len(value) < 16
        or " " in value
        or is_wordy(value)
        or not re.fullmatch(r"[A-Za-z0-9_.~+/=:!@#$%^&*-]{16,300}", value)
    ):
        return False
    if alphabet_size(value) == 16 and (_DIGEST_CONTEXT.search(name) or _DIGEST_CONTEXT.search(before)):
        return False
    has_digit = any(c.isdigit() for c in value)
    mixed = value != value.lower() and value != value.upper()
    return (has_digit or (mixed and len(value) >= 20)) and is_random(value, 0.83) and entropy_bits(value) >= 2.9


def _is_password(value: str, is_quoted: bool) -> bool:
    """A password may be short and chosen by a person: it needs three kinds of characters, or a random look."""
    if (
        " " in value.strip()
        or len(value) > 128
        or re.search(r"passw|pwd|secret|admin$|^admin|^user|^root$", value, re.IGNORECASE)
    ):
        return False
    if not is_quoted and re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)+", value):
        return False
    kinds = sum(bool(re.search(kind, value)) for kind in (r"[a-z]", r"[A-Z]", r"\d", r"[^A-Za-z0-9]"))
    if is_wordy(value) and (kinds < 3 or sum(c.isdigit() for c in value) < 3):
        return False
    if kinds >= 3:
        return len(value) >= 7 and entropy_bits(value) >= 2.3
    return (
        kinds >= 2
        and len(value) >= 8
        and entropy_bits(value) >= 2.7
        and any(not c.isalpha() and c not in "_-./" for c in value)
    )
