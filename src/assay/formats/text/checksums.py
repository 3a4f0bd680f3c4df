"""Check digits of structured personal data, and the ranges in which their numbers lie."""

from __future__ import annotations

_DOUBLED = (0, 2, 4, 6, 8, 1, 3, 5, 7, 9)
# Issuer ranges as (first, last, lengths), compared with the leading digits. Source: ISO/IEC 7812 ranges that issuers publish.
_ISSUERS: tuple[tuple[str, str, tuple[int, ...]], ...] = (
    ("4", "4", (13, 16, 19)), ("51", "55", (16,)), ("2221", "2720", (16,)), ("34", "34", (15,)), ("37", "37", (15,)), ("36", "36", (14, 16, 19)),
    ("300", "305", (14, 16)), ("3095", "3095", (14, 16)), ("38", "39", (14, 16)), ("6011", "6011", (16, 19)), ("644", "649", (16, 19)),
    ("65", "65", (16, 19)), ("35", "35", (16, 17, 18, 19)), ("62", "62", (16, 17, 18, 19)), ("50", "50", (12, 13, 14, 15, 16, 17, 18, 19)),
    ("56", "58", (12, 13, 14, 15, 16, 17, 18, 19)), ("6304", "6304", (12, 13, 14, 15, 16, 17, 18, 19)), ("67", "67", (12, 13, 14, 15, 16, 17, 18, 19)),
    ("2200", "2204", (16,)), ("9792", "9792", (16,)), ("180", "180", (15,)), ("2131", "2131", (15,)),
)  # fmt: skip
# Length of an IBAN by country. Source: SWIFT IBAN registry, release 99.
_IBAN_LENGTHS = {country: length for length, countries in {
    15: "NO", 16: "BE", 18: "DK FI FO GL NL FK SD", 19: "MK SI", 20: "AT BA EE KZ LT LU XK MN", 21: "CH CR HR LI LV", 22: "BG BH DE GB GE IE ME RS VA",
    23: "AE GI IL IQ OM SO TL", 24: "AD CZ ES MD PK RO SA SE SK TN VG", 25: "LY PT ST", 26: "IS TR", 27: "BI DJ FR GR IT MC MR SM",
    28: "AL AZ BY CY DO GT HU LB NI PL SV",
    29: "BR EG PS QA UA", 30: "JO KW MU", 31: "MT SC", 32: "LC", 33: "RU",
}.items() for country in countries.split()}  # fmt: skip


def is_luhn(digits: str) -> bool:
    """Source: ISO/IEC 7812-1, annex B."""
    return sum(_DOUBLED[int(d)] if i % 2 else int(d) for i, d in enumerate(reversed(digits))) % 10 == 0


def is_card(digits: str) -> bool:
    """Whether a payment card could bear this number: an issuer's range and length, a check digit, and not one digit over and over."""
    if not 12 <= len(digits) <= 19 or len(set(digits)) < 2:
        return False
    known = any(first <= digits[: len(first)] <= last and len(digits) in lengths for first, last, lengths in _ISSUERS)
    return known and is_luhn(digits)


def is_iban(text: str) -> bool:
    """Whether `text`, without blanks and in capitals, is an IBAN. Source: ISO 13616, ISO/IEC 7064 (mod 97-10)."""
    if _IBAN_LENGTHS.get(text[:2]) != len(text) or not text.isalnum() or not text.isascii():
        return False
    return int("".join(str(int(c, 36)) for c in text[4:] + text[:4])) % 97 == 1


def is_ssn(digits: str) -> bool:
    """Whether the nine digits can be a US social security number. Source: SSA, "SSN randomization", 2011."""
    area, group, serial = digits[:3], digits[3:5], digits[5:]
    if area in ("000", "666") or area >= "900" or group == "00" or serial == "0000":
        return False
    return digits not in ("078051120", "219099999", "123456789") and len(set(digits)) > 1


def is_itin(digits: str) -> bool:
    """Whether the nine digits can be a US individual taxpayer number. Source: IRS publication 1915."""
    return digits[0] == "9" and digits[3:5] >= "50" and digits[3:5] not in ("89", "93", "66", "67", "68", "69")
