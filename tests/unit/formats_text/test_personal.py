"""Are structured personal data found with exact places, and their look-alikes left alone?"""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assay.formats.text.checksums import is_card, is_iban, is_itin, is_luhn, is_ssn
from assay.formats.text.personal import personal_data_in

FOUND = [
    ("card", "pay with <4111 1111 1111 1111> today"), ("card", "Amex <378282246310005>."), ("card", "card 5555-5555-5555-4444"[:5] + "<5555-5555-5555-4444>"),
    ("iban", "to <DE89 3704 0044 0532 0130 00>, please"), ("iban", "IBAN: <GB29NWBK60161331926819>"), ("us-ssn", "SSN <536-90-4399> on file"),
    ("us-ssn", "social security number 536904399"[:23] + "<536904399>"), ("email", "mail <a.b+c@sub.example.co.uk>."), ("email", "<jörg@müller.example>"),
    ("phone", "call <+49 30 901820> now"), ("phone", "tel: <(212) 555-0187>"), ("phone", "ring <020 7946 0958> please"), ("phone", "at <+1-202-555-0143>"),
    ("ip", "host <192.168.17.4> is down"), ("ip", "v6 <2001:db8::8a2e:370:7334> ok"), ("ip", "loop <fe80::1ff:fe23:4567:890a>"),
]  # fmt: skip
LEFT = [
    "order 4111 1111 1111 1112 shipped", "version 10.2.3.4 is out", "on 2024-05-12 10:30:00", "it cost 1 000 000 dollars", "pages 120-135",
    "ISBN 978-3-16-148410-0", "DE89 3704 0044 0532 0130 01 is wrong", "000-12-3456", "666-12-3456", "a@b", "12:30:45", "std::vector<int>", "3.14159265",
    "1234567890123", "uuid 123e4567-e89b-12d3-a456-426614174000", "in 1999 2000 2001 we met", "section 4.3.2.1 says", "x = 1000000 * 2500000",
    "gg::hh is no address", "300.1.2.3", "3536 1659 Hoog Street", "$12,345,678.90", "commit 1234567",
]  # fmt: skip


@pytest.mark.parametrize(("kind", "marked"), FOUND)
def test_it_is_found_at_its_exact_place(kind: str, marked: str) -> None:
    start, end = marked.index("<"), marked.index(">") - 1
    text = marked.replace("<", "").replace(">", "")
    assert [(p.kind, p.start, p.end) for p in personal_data_in(text)] == [(kind, start, end)]


@pytest.mark.parametrize("text", LEFT)
def test_what_only_looks_like_it_is_left_alone(text: str) -> None:
    assert personal_data_in(text) == []


def test_check_digits_hold_only_for_the_right_number() -> None:
    assert is_luhn("79927398713") and not is_luhn("79927398710")
    assert is_card("4111111111111111") and not is_card("4111111111111112") and not is_card("0000000000000000")
    assert (
        is_iban("DE89370400440532013000")
        and not is_iban("DE88370400440532013000")
        and not is_iban("ZZ89370400440532013000")
    )
    assert is_ssn("536904399") and not is_ssn("000123456") and not is_ssn("987654321")
    assert is_itin("912702345") and not is_itin("512702345")


@settings(max_examples=200, deadline=None)
@given(st.text(alphabet="0123456789 +-().:@/abAB", max_size=120))
def test_places_lie_in_the_text_and_apart(text: str) -> None:
    found = personal_data_in(text)
    assert all(0 <= p.start < p.end <= len(text) for p in found)
    assert all(a.end <= b.start for a, b in pairwise(found))


def test_much_of_everything_stays_linear() -> None:
    assert len(personal_data_in("a@example.com 4111 1111 1111 1111 +49 30 901820 " * 3000)) == 9000
