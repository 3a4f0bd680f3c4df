"""Structured personal data with exact places: payment cards, IBANs, US tax and social security numbers, e-mail, telephone, IP.

    one pass of RE2 says which shapes occur ─► their places ─► checksum, range or context

Names, addresses and dates need a language model and are not looked for.
"""

from __future__ import annotations

import ipaddress
import re
from bisect import bisect
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from assay.formats.text.checksums import is_card, is_iban, is_itin, is_luhn, is_ssn
from assay.formats.text.patterns import Pattern, PatternSet, utf8
from assay.formats.text.phones import is_phone

AROUND = 40
_DIGIT_RUN = r"(?:\+|\b|\()\(?\d(?:[ \t\x{a0}]?[().\-/\x{2010}-\x{2013}]{0,2}[ \t\x{a0}]?\d){6,22}(?:[ ]?(?:x|ext\.?)[ ]?\d{1,6})?\b"


@dataclass(frozen=True, slots=True)
class Personal:
    """Personal data of one kind at `start` to `end`; what it is is never held. `kind` is such as `card` or `email`."""

    kind: str
    start: int
    end: int


_SHAPES = {
    "email": Pattern(
        r"[A-Za-z0-9_%+'\-\x{80}-\x{10ffff}](?:[A-Za-z0-9._%+'\-\x{80}-\x{10ffff}]{0,63})@(?:[A-Za-z0-9\x{80}-\x{10ffff}][A-Za-z0-9\x{80}-\x{10ffff}-]{0,62}\.){1,8}[A-Za-z\x{80}-\x{10ffff}][A-Za-z0-9\x{80}-\x{10ffff}-]{1,62}"
    ),
    "iban": Pattern(r"\b[A-Za-z]{2}\d{2}(?:[ -]?[A-Za-z0-9]{4}){2,7}(?:[ -]?[A-Za-z0-9]{1,3})?\b"),
    "ipv4": Pattern(r"\b\d{1,3}\.\d{1,3}\.\d{1,3}\.\d{1,3}\b"),
    "ipv6": Pattern(
        r"(?:[0-9A-Fa-f]{1,4}(?:::?)|::)(?:[0-9A-Fa-f]{0,4}:?){1,8}(?:\d{1,3}(?:\.\d{1,3}){3}|[0-9A-Fa-f]{1,4}|:)?"
    ),
    "digits": Pattern(_DIGIT_RUN),
}
_GATE = PatternSet([("email", r"@[A-Za-z0-9\x{80}-\x{10ffff}]"), ("iban", r"[A-Za-z]{2}\d{2}[ -]?[A-Za-z0-9]{4}"), ("ipv4", r"\d\.\d{1,3}\.\d{1,3}\.\d"),
                    ("ipv6", r"[0-9A-Fa-f]:[0-9A-Fa-f]{1,4}:|::[0-9A-Fa-f]|[0-9A-Fa-f]::"), ("digits", _DIGIT_RUN)])  # fmt: skip
_SSN = re.compile(r"\d{3}([ -])\d{2}\1\d{4}")
_SSN_TOLD = re.compile(r"\b(?:ssn|social security|socials?|tax(?:payer)? id|itin|tin)\b[^\n\d]{0,30}\Z", re.IGNORECASE)
_CARD_TOLD = re.compile(
    r"\b(?:card|cc|visa|mastercard|maestro|amex|karte|carte|tarjeta|carta)\b[^\n]{0,25}\Z", re.IGNORECASE
)
_CARD = re.compile(r"\d(?:[ -]?\d){11,18}")
_INSIDE_NUMBER = re.compile(r"\d[.,]\Z")
_VERSION_BEFORE = re.compile(
    r"(?:\bv|\bver\.?|version|release|build|firmware|oid|section|\bsec\.|chapter|§)[\s:=]{0,3}\Z", re.IGNORECASE
)


def personal_data_in(text: str) -> list[Personal]:
    """Everything found, in order; where two overlap, what is proved stays, then what begins first."""
    shapes = _GATE.found_in(utf8(text))
    if not shapes:
        return []
    found = [item for shape in sorted(shapes) for item in _FINDERS[shape](text)]
    proved = _apart([item for item in found if item.kind != "phone"])
    starts = [item.start for item in proved]
    phones = [
        item for item in found if item.kind == "phone" and not _overlaps(item, proved, bisect(starts, item.start))
    ]
    return sorted(proved + phones, key=lambda item: item.start)


def _apart(items: list[Personal]) -> list[Personal]:
    kept: list[Personal] = []
    for item in sorted(items, key=lambda p: (p.start, -p.end)):
        if not kept or item.start >= kept[-1].end:
            kept.append(item)
    return kept


def _overlaps(item: Personal, others: list[Personal], at: int) -> bool:
    """Whether it overlaps the last of `others` that begins before it, or the first that does not; `others` are apart."""
    return any(item.start < other.end and other.start < item.end for other in others[max(0, at - 1) : at + 1])


def _emails(text: str) -> Iterator[Personal]:
    for span in _SHAPES["email"].spans(text):
        local, _, _ = span.text.partition("@")
        before = text[max(0, span.start - 3) : span.start]
        if ".." not in span.text and not local.endswith(".") and not before.endswith("://") and "://" not in span.text:
            yield Personal("email", span.start, span.end)


def _ibans(text: str) -> Iterator[Personal]:
    for span in _SHAPES["iban"].spans(text):
        for end in range(span.end, span.start + 14, -1):  # a word behind may look like its last group
            if text[end - 1].isalnum() and is_iban(re.sub(r"[ -]", "", text[span.start : end]).upper()):
                yield Personal("iban", span.start, end)
                break


def _ipv4(text: str) -> Iterator[Personal]:
    for span in _SHAPES["ipv4"].spans(text):
        before, after = text[max(0, span.start - AROUND) : span.start], text[span.end : span.end + 2]
        is_part = before.endswith((".", "-")) or re.match(r"\.\d|[-_]\w", after) or _VERSION_BEFORE.search(before)
        if not is_part and all(int(part) < 256 and str(int(part)) == part for part in span.text.split(".")):
            yield Personal("ip", span.start, span.end)


def _ipv6(text: str) -> Iterator[Personal]:
    for span in _SHAPES["ipv6"].spans(text):
        said = span.text.rstrip(":") if not span.text.endswith("::") else span.text
        before = text[span.start - 1 : span.start]
        if (
            said.count(":") < 2
            or len(said) < 4
            or (before and (before.isalnum() or before in ":."))
            or text[span.end : span.end + 1].isalnum()
        ):
            continue
        try:
            ipaddress.IPv6Address(said)
        except ValueError:
            continue
        yield Personal("ip", span.start, span.start + len(said))


def _digits(text: str) -> Iterator[Personal]:
    for span in _SHAPES["digits"].spans(text):
        before, after = text[max(0, span.start - AROUND) : span.start], text[span.end : span.end + AROUND]
        if not (before[-1:].isalnum() or before[-1:] in ("_", "@") or _INSIDE_NUMBER.search(before)):
            yield from _of_run(span.text, span.start, before, after)


def _of_run(run: str, at: int, before: str, after: str) -> Iterator[Personal]:
    card = next((found for found in _CARD.finditer(run) if _is_card(found.group(), before)), None)
    if card is not None:
        yield Personal("card", at + card.start(), at + card.end())
        return
    digits = re.sub(r"\D", "", run)
    ssn = _SSN.fullmatch(run) or (len(digits) == 9 == len(run) and _SSN_TOLD.search(before))
    if ssn:
        if is_ssn(digits) or is_itin(digits):
            yield Personal("us-ssn" if is_ssn(digits) else "us-itin", at, at + len(run))
        return
    start, end = _trimmed(run)
    if is_phone(run[start:end], before + run[:start], after):
        yield Personal("phone", at + start, at + end)


def _is_card(run: str, before: str) -> bool:
    """An issuer's number; where a word before says that it is a card, any number whose check digit holds."""
    digits = re.sub(r"\D", "", run)
    return is_card(digits) or (len(set(digits)) > 1 and is_luhn(digits) and _CARD_TOLD.search(before) is not None)


def _trimmed(run: str) -> tuple[int, int]:
    """A parenthesis that is not closed, or not opened, stands outside."""
    start, end = 0, len(run)
    if run.startswith("(") and ")" not in run:
        start = 1
    return start, end


_FINDERS: dict[str, Callable[[str], Iterator[Personal]]] = {
    "email": _emails, "iban": _ibans, "ipv4": _ipv4, "ipv6": _ipv6, "digits": _digits,
}  # fmt: skip
