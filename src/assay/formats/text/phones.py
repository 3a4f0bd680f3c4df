"""Telephone numbers in free text: where digits are grouped the way people write numbers to be called.

A run of digits is a number when it says so itself (`+41 …`, `(212) 555-…`, a trunk zero, groups as numbers have them) or
when a word before it says so (`call`, `Tel.`); runs that are dates, amounts, versions, addresses or codes are left alone.
Sources: ITU-T E.164 and E.123; NANPA, format of area and exchange codes.
"""

from __future__ import annotations

import re

_COUNTRIES = frozenset(
    re.findall(
        r"\d+",
        "1 7 20 27 30 31 32 33 34 36 39 40 41 43 44 45 46 47 48 49 51 52 53 54 55 56 57 58 60 61 62 63 64 65 66 81 82 84 86 90 91 92 93 94 95 98",
    )
)
_REGIONS = (
    "21",
    "22",
    "23",
    "24",
    "25",
    "26",
    "29",
    "35",
    "37",
    "38",
    "42",
    "50",
    "59",
    "67",
    "68",
    "69",
    "80",
    "85",
    "87",
    "88",
    "96",
    "97",
    "99",
)
_TOLD = re.compile(
    r"(?:\b(?:tel|phone|telephone|mobile|cell|cellphone|fax|call|called|calling|dial|ring|whatsapp|sms|text(?: me| us| him| her)?|hotline|landline|handy"
    r"|móvil|movil|telefon|telefono|teléfono|téléphone|telefoon|tél|portable|celular|rufnummer|reach(?:ed)?|contact|number|no|ext|office|home|work|pager|nummer|numero|número"
    r"|numéro)\b[^\n\d]{0,30}|[☎📞📱]\s*)\Z",
    re.IGNORECASE,
)
_NOT_PHONE_BEFORE = re.compile(
    r"(?:[$€£¥₹#]\s?|\b(?:usd|eur|gbp|chf|version|v|ver|isbn|issn|order|invoice|ticket|case|account|acct|ref|reference|serial|sku|part|model|id|zip|postal|page"
    r"|pages|line|lines|pp|rfc|port|box|tracking|policy|batch|lot|item|article|section|error|code|pin|score|total|sum|population|card|passport|licen[cs]e"
    r"|routing|iban|ssn|doi|arxiv|build|commit|revision|patent|grant|vin|years?|timestamp|epoch|coordinates?|lat|lon|weight|price|cost|balance|amount|customer"
    r"|hex|hash|checksum|range|from|between|bytes?|apt|suite|unit|floor|room)\b[\s:.#=-]{0,3}(?:(?:no|nr|number|id|code|key)\b[\s:.#]{0,3})?(?:(?:is|was|of)\b[\s:]{0,3})?)\Z",
    re.IGNORECASE,
)
_NOT_PHONE_AFTER = re.compile(
    r"\s?(?:[$€£¥%°]|(?:usd|eur|gbp|chf|kg|km|cm|mm|mb|gb|kb|ms|bytes|years?|people|dollars|euros|pounds|miles|users|units|rows|items|times|tokens)\b)",
    re.IGNORECASE,
)
_DATE = re.compile(
    r"(?:(?:19|20)\d\d[-./ ](?:0?[1-9]|1[0-2])[-./ ](?:0?[1-9]|[12]\d|3[01])|(?:0?[1-9]|[12]\d|3[01])[-./ ](?:0?[1-9]|[12]\d|3[01])[-./ ](?:(?:19|20)\d\d|\d\d)"
    r"|(?:19|20)\d\d ?[-–/] ?(?:19|20)\d\d)(?: \d{1,2})?"
)
_TWO_GROUPS = frozenset(
    [(2, 6), (2, 7), (2, 8), (3, 4), (3, 6), (3, 7), (3, 8), (4, 4), (4, 6), (4, 7), (5, 5), (5, 6)]
)
_STREET_WORD = re.compile(
    r"\b(?:rue|avenue|street|road|lane|drive|st|ave|via|calle|place|strasse|straße)\b", re.IGNORECASE
)
_EXTENSION = re.compile(r"\s?(?:x|ext\.?)\s?\d{1,6}\Z", re.IGNORECASE)


def is_phone(found: str, before: str, after: str) -> bool:
    """Whether a run of digits with blanks, dots, dashes, slashes and parentheses is a telephone number.

    `before` and `after` are some forty characters of what stands around it.
    """
    body = _EXTENSION.sub("", found)
    digits = re.sub(r"\D", "", body)
    if not 7 <= len(digits) <= 16 or len(set(digits)) < 3:
        return False
    if body.startswith("+") or digits.startswith("00"):
        return _is_international(digits.removeprefix("00"))
    if _NOT_PHONE_BEFORE.search(before) or _NOT_PHONE_AFTER.match(after) or _DATE.fullmatch(body):
        return False
    is_told = _TOLD.search(before) is not None
    groups = re.findall(r"\d+", body)
    if all(re.fullmatch(r"(?:19|20)\d\d", group) for group in groups):
        return False
    if len(groups) == 1:
        return (is_told and 7 <= len(digits) <= 13) or _is_bare(digits)
    if _is_north_american(groups, body) or (digits[0] == "0" and 9 <= len(digits) <= 12 and len(groups[0]) >= 2):
        return True
    return _is_grouped(groups, body, after) or is_told


def _is_international(digits: str) -> bool:
    known = digits[:1] in ("1", "7") or digits[:2] in _COUNTRIES or digits[:2] in _REGIONS
    return known and 8 <= len(digits) <= 16


def _is_north_american(groups: list[str], body: str) -> bool:
    if groups[0] in ("1", "001") and len(groups) > 3:
        groups = groups[1:]
    lengths = [len(group) for group in groups]
    return lengths in ([3, 3, 4], [3, 7]) and groups[0][0] > "1" and (lengths == [3, 3, 4] or body.startswith("("))


def _is_bare(digits: str) -> bool:
    """Ten digits that begin like a North American number, or a mobile number with its trunk zero."""
    return len(digits) == 10 and digits[0] > "1" and digits[3] > "1" and not digits.endswith("000")


def _is_grouped(groups: list[str], body: str, after: str) -> bool:
    """Groups as numbers have them, parted in one way, that are no thousands, no date and no house number before a street."""
    lengths = tuple(len(group) for group in groups)
    marks = set(re.findall(r"[^\d]+", body.strip("()")))
    if body.startswith("("):
        return 7 <= sum(lengths) <= 12 and min(lengths) >= 2
    if len(marks) > 2 or sum(lengths) > 12 or (len(groups) == 2 and marks == {"."}):
        return False
    if len(groups) == 2:
        return lengths in _TWO_GROUPS and not (marks == {" "} and _is_street(after))
    is_thousands = marks <= {" ", "."} and set(lengths[1:]) == {3} and lengths[0] < 2
    return not is_thousands and min(lengths) >= 2 and max(lengths) <= 4


def _is_street(after: str) -> bool:
    return re.match(r"\s{1,3}[A-Z]\w", after) is not None or _STREET_WORD.search(after) is not None
