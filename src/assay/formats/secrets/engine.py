"""Finds credentials in any text: `secrets_in(text, where)`.

1. Which anchors occur at all, in one pass. 2. Search each of these. 3. Match its rule's pattern there. 4. Prove it. 5. Then URLs
with passwords and assignments by name, where no rule spoke before. A value whose checksum is wrong is no credential and is left out.
What is yielded never holds the value: a keyed fingerprint tells two places with one secret apart from two secrets. Without a
key from the caller it is drawn at random for this process, so fingerprints then compare inside one run only.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from assay.core.errors import MalformedInput
from assay.formats.secrets.assignments import assignments
from assay.formats.secrets.budget import Budget
from assay.formats.secrets.facts import SecretFact
from assay.formats.secrets.glance import NAMES, URL, occurring
from assay.formats.secrets.proofs import Proof
from assay.formats.secrets.randomness import is_random, is_stand_in
from assay.formats.secrets.rules import ASSIGNED, AWS_SECRET, DATABASE_URL, RULES, Rule
from assay.formats.secrets.urls import url_passwords

Occur = Callable[[str], frozenset[str]]
MAX_FACTS = 1000
PAIR_REACH = 600
_PROCESS_KEY = secrets.token_bytes(32)
_WORD_BEFORE = re.compile(r"[A-Za-z0-9_-]")
_AWS_SECRET = re.compile(r"(?<![A-Za-z0-9+/=_-])[A-Za-z0-9+/]{40}(?![A-Za-z0-9+/=_-])")
_AWS_NAMES = re.compile(r"aws.{0,12}secret|secret.{0,3}access.{0,3}key", re.IGNORECASE)
_ESCAPED_BEFORE = re.compile(r"\\[nrt]\Z")


@dataclass(frozen=True)
class _Hit:
    rule: Rule
    start: int
    end: int
    shown: str
    is_proved: bool


def secrets_in(text: str, where: str, *, key: bytes | None = None, occur: Occur = occurring) -> Iterator[SecretFact]:
    """Every credential in `text`, in order; at most `MAX_FACTS`.

    Args:
        where: says to people which text it is, such as a path or `path, cell 3`.
        key: of the fingerprints, at least 16 bytes; None draws one for the life of this process.
        occur: says which anchors a text holds; the default needs the standard library only.

    Raises:
        MalformedInput: after the last fact, where a bound ended the search; the text was then not looked at whole.
    """
    hits, refusal = _bounded(text, occur)
    line, counted, reached, told = 1, 0, -1, 0
    for hit in hits:
        if hit.start < reached:
            continue
        reached = hit.end
        if (told := told + 1) > MAX_FACTS:
            raise MalformedInput("text holds too many secrets", f"only the first {MAX_FACTS} are told")
        line += text.count("\n", counted, hit.start)
        counted = hit.start
        yield SecretFact(
            hit.rule.id, hit.rule.name, hit.rule.severity, where, line, hit.start, hit.end - hit.start,
            f"{hit.shown}… ({hit.end - hit.start} characters)", _fingerprint(text[hit.start : hit.end], key), hit.is_proved,
        )  # fmt: skip
    if refusal:
        raise refusal


def _bounded(text: str, occur: Occur) -> tuple[list[_Hit], MalformedInput | None]:
    """Hits in order, and why the search ended early if it did."""
    hits: list[_Hit] = []
    refusal = None
    try:
        for hit in _hits(text, Budget(), occur):
            hits.append(hit)
    except MalformedInput as error:
        refusal = error
    return sorted(hits, key=lambda hit: (hit.start, -hit.end)), refusal


def _fingerprint(value: str, key: bytes | None) -> str:
    return hmac.new(key or _PROCESS_KEY, value.encode("utf-8", "surrogatepass"), hashlib.sha256).hexdigest()[:16]


def _hits(text: str, budget: Budget, occur: Occur) -> Iterator[_Hit]:
    present = occur(text)
    shaped = []
    for rule in RULES if present else ():
        if rule.id not in present:
            continue
        for hit in _of_rule(rule, text, budget):
            shaped.append(hit)
            yield hit
    taken = [(hit.start, hit.end) for hit in shaped]
    yield from _pairs(text, [hit for hit in shaped if hit.rule.id == "ASY-SEC-007"])
    for url in url_passwords(text, budget) if URL in present else ():
        yield _Hit(DATABASE_URL, url.start, url.start + len(url.value), f"{url.scheme}://", False)
    if NAMES not in present:
        return
    lowered = text.replace("\u0130", "I").lower()  # the one character whose lower case is two
    for found in assignments(text, lowered, budget):
        end = found.start + len(found.value)
        if not any(start < end and found.start < stop for start, stop in taken):
            is_aws = len(found.value) == 40 and _AWS_NAMES.search(found.name)
            yield _Hit(AWS_SECRET if is_aws else ASSIGNED, found.start, end, f"{found.name[-40:]}=", False)


def _of_rule(rule: Rule, text: str, budget: Budget) -> Iterator[_Hit]:
    for anchor in rule.anchors:
        at = text.find(anchor)
        while at >= 0:
            budget.spend(2)
            hit = _at(rule, text, at, budget)
            if hit is not None:
                yield hit
            at = text.find(anchor, hit.end if hit else at + len(anchor))


def _at(rule: Rule, text: str, at: int, budget: Budget) -> _Hit | None:
    for start in (at - back for back in rule.before):
        if start < 0 or (rule.edge == "word" and _is_glued(text, start)):
            continue
        found = rule.pattern.match(text, start)
        if found is None:
            continue
        budget.spend(10 + len(found.group()) // 4)
        proof = rule.proof(found.group())
        if proof is not Proof.REFUTED:
            return _Hit(rule, found.start(), found.end(), found.group()[: rule.shown], proof is Proof.PROVED)
    return None


def _is_glued(text: str, start: int) -> bool:
    """Whether the match begins in the middle of a word, as inside base64; an escape such as a written-out newline is no word."""
    if start == 0 or not _WORD_BEFORE.match(text, start - 1):
        return False
    return not _ESCAPED_BEFORE.search(text[max(0, start - 2) : start])


def _pairs(text: str, ids: list[_Hit]) -> Iterator[_Hit]:
    """Forty random base64 characters near an AWS key id are its secret."""
    for hit in ids:
        for found in _AWS_SECRET.finditer(text, max(0, hit.start - PAIR_REACH), min(len(text), hit.end + PAIR_REACH)):
            value = found.group()
            is_hex = re.fullmatch(r"[0-9a-f]{40}|[0-9A-F]{40}", value)
            if not is_hex and not is_stand_in(value) and is_random(value, 0.85):
                yield _Hit(AWS_SECRET, found.start(), found.end(), "", True)
