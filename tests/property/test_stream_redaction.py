"""Streamed redaction: no split of a stream changes what comes out, nothing leaks, and little is held."""

from __future__ import annotations

import random
import re
import string
from collections.abc import Sequence
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.surface_proxy.servers import firewall_of_tests

from assay.runtime.firewall.stream import HELD, HoldBack, Span
from assay.runtime.gateway.guard import Guard

ALPHABET = string.ascii_letters + string.digits
GUARD = Guard(firewall_of_tests(), "default", lambda noted: None)
_MARKED = re.compile(r"<[a-z]{1,40}>")


def marked(text: str) -> Sequence[Span]:
    """A simple thing to redact: what stands in angle brackets."""
    return [Span(found.start(), found.end(), "*") for found in _MARKED.finditer(text)]


def said(channel: HoldBack, *deltas: str) -> tuple[str, int]:
    """What came out, and the most that was held."""
    out, most = "", 0
    for delta in deltas:
        out += channel.feed(delta)
        most = max(most, channel.held)
    return out + channel.end(), most


@settings(max_examples=300)
@given(st.text(alphabet="<>ab \n", max_size=400), st.lists(st.integers(0, 400), max_size=8))
def test_any_split_of_a_stream_gives_the_same_output_as_one_piece(text: str, cuts: list[int]) -> None:
    places = [0, *sorted(min(cut, len(text)) for cut in cuts), len(text)]
    pieces = [text[a:b] for a, b in pairwise(places)]
    whole, _ = said(HoldBack(marked, lambda text: None), text)
    split, most = said(HoldBack(marked, lambda text: None), *pieces)
    assert split == whole and most <= HELD
    assert not _MARKED.search(split)


@settings(max_examples=200)
@given(st.text(max_size=500))
def test_a_text_with_nothing_to_redact_comes_out_as_it_was(text: str) -> None:
    assert said(HoldBack(lambda window: (), lambda text: None), *text)[0] == text


def generated(rng: random.Random) -> str:
    """A credential of one of several kinds and lengths."""
    run = lambda n: "".join(rng.choice(ALPHABET) for _ in range(n))  # noqa: E731 - said once
    return rng.choice([
        f"sk-proj-{run(rng.choice([48, 100, 156]))}", f"AKIA{''.join(rng.choice('ABCDEFGHIJKLMNOPQRSTUVWXYZ234567') for _ in range(16))}",
        f"glpat-{run(20)}", f"sk-ant-api03-{run(93)}", f"AIza{run(35)}", f"xai-{run(80)}", f"gsk_{run(52)}",
    ])  # fmt: skip


@pytest.mark.parametrize("seed", range(12))
def test_no_split_of_a_stream_lets_a_secret_out(seed: int) -> None:
    rng = random.Random(seed)
    secret = generated(rng)
    text = f"{'It was a quiet day. ' * rng.randrange(3)}The key is {secret}, so keep it safe.{' More words follow.' * rng.randrange(4)}"
    whole, _ = said(GUARD.channel(), text)
    assert secret[12:24] not in whole
    for place in range(0, len(text), 3):
        later = rng.randrange(place, len(text) + 1)
        split, most = said(GUARD.channel(), text[:place], text[place:later], text[later:])
        assert split == whole and most <= HELD


def test_a_private_key_is_swallowed_to_its_last_line() -> None:
    rng = random.Random(1)
    body = "\n".join("".join(rng.choice(ALPHABET) for _ in range(64)) for _ in range(26))
    pem = f"-----BEGIN RSA PRIVATE KEY-----\n{body}\n-----END RSA PRIVATE KEY-----"
    text = f"Before. {pem} After that nothing is lost, not even the last words."
    for size in (1, 7, 50, 5000):
        pieces = [text[i : i + size] for i in range(0, len(text), size)]
        assert (
            said(GUARD.channel(), *pieces)[0]
            == "Before. [ASY-SEC-020] After that nothing is lost, not even the last words."
        )


def test_an_endless_key_is_swallowed_without_end() -> None:
    channel = GUARD.channel()
    out = channel.feed("-----BEGIN PRIVATE KEY-----\n") + "".join(channel.feed("A" * 63 + "\n") for _ in range(1500))
    assert "AAAA" not in out + channel.end() and channel.held <= HELD
