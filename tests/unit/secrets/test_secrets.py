"""The search for credentials: recall and precision on made texts, proofs, bounds, and that no value is ever repeated."""

from __future__ import annotations

import json
import re
from dataclasses import astuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.contract.material import MemoryContext, asset
from tests.corpus.secrets.made import TOKENS, Split, negatives, positives

from assay.checks.code.secrets import secrets
from assay.core.assets import Kind
from assay.core.errors import MalformedInput, UsageError
from assay.core.outcomes import FileVerdict, Finding, Outcome, Verdict
from assay.formats.secrets import engine
from assay.formats.secrets.budget import Budget
from assay.formats.secrets.engine import secrets_in
from assay.formats.secrets.glance import anchor_patterns, occurring
from assay.formats.secrets.proofs import base62_crc32
from assay.formats.secrets.rules import ALL, RULES
from assay.formats.text.patterns import PatternSet, utf8

KEY = "00112233445566778899aabbccddeeff" * 2
DOCUMENTED = "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"  # the example of GitHub's own article, with a correct checksum


@pytest.mark.parametrize("seed", [1, 2])
def test_planted_values_are_found_and_innocent_texts_are_left_alone(seed: int) -> None:
    hidden = list(positives(seed, Split.HELD_OUT, 5))
    found = [case for case in hidden if any(True for _ in secrets_in(case.text, case.path))]
    assert len(found) >= 0.98 * len(hidden)
    innocent = list(negatives(seed, Split.HELD_OUT, 5))
    alarms = [case for case in innocent if any(True for _ in secrets_in(case.text, case.path))]
    assert len(alarms) <= 0.02 * len(innocent), alarms


@pytest.mark.parametrize("kind", TOKENS)
def test_every_kind_is_found_alone_in_a_line(kind: str) -> None:
    import random

    value = TOKENS[kind](random.Random(5))
    assert next(secrets_in(f"first line\nx {value}\n", "a")).line == 2


def test_the_checksum_decides() -> None:
    assert base62_crc32(DOCUMENTED[4:34]) == DOCUMENTED[34:]
    assert [f.is_proved for f in secrets_in(DOCUMENTED, "a")] == [True]
    assert list(secrets_in(DOCUMENTED[:-1] + "8", "a")) == []


@pytest.mark.parametrize("kind", TOKENS)
def test_no_part_of_a_value_is_repeated(kind: str) -> None:
    import random

    value = TOKENS[kind](random.Random(9)).split("\n")[-2 if "pem" in kind else 0]
    text = TOKENS[kind](random.Random(9))
    for fact in secrets_in(f"key = '{text}'", "a"):
        said = json.dumps([str(part) for part in astuple(fact)])
        assert not any(
            value[at : at + 12] in said
            for at in range(len(value) - 12)
            if not re.match(r"[\w-]*[-_]$|https?://", value[at : at + 12]) and at > 12
        )


def test_fingerprints_agree_under_one_key_and_differ_under_another() -> None:
    first, second = (next(iter(secrets_in(f"{lead}{DOCUMENTED}", "a", key=b"k" * 32))) for lead in ("", "x = "))
    assert first.fingerprint == second.fingerprint
    assert next(iter(secrets_in(DOCUMENTED, "a", key=b"q" * 32))).fingerprint != first.fingerprint


@pytest.mark.parametrize(
    "piece", ["token=", "eyJ", "-----BEGIN ", "://a:", "Q~", ":AA", "password='", "AKIAABCDEFGHIJKLMNOP ", "sk-proj-"]
)
def test_hostile_text_is_searched_or_refused_within_its_budget(piece: str) -> None:
    try:
        list(secrets_in(piece * (200_000 // len(piece)), "a"))
    except MalformedInput as error:
        assert "too many" in error.what


def test_a_text_beyond_the_budget_is_refused_and_never_called_clean() -> None:
    with pytest.raises(MalformedInput, match="too many marks"):
        list(secrets_in("token=" * 100_000, "a"))


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=400))
def test_any_text_is_answered(text: str) -> None:
    for fact in secrets_in(text, "a"):
        assert 0 <= fact.offset < fact.offset + fact.length <= len(text)


def test_offsets_hold_where_lower_case_is_longer() -> None:
    text = "\u0130" * 50 + f'\napi_key = "{"Zk3vQ9xT1mBw7LpR2sYd8HfN4cGj6Eua"}"'
    fact = next(iter(secrets_in(text, "a")))
    assert text[fact.offset :].startswith("Zk3v") and fact.line == 2


def run(files: dict[str, bytes], kind: Kind = Kind.CODE, **options: str) -> list[Outcome]:
    subject = asset(kind, files)
    context = MemoryContext({subject.digest: files}, options={**secrets.defaults, **options})
    return list(secrets.body(subject, context))


def test_the_check_gives_a_verdict_for_every_file() -> None:
    output = [{"output_type": "stream", "text": [f"using {DOCUMENTED}\n"]}]
    book = json.dumps({"cells": [{"cell_type": "code", "source": ["x = 1"], "outputs": output}]}).encode()
    found = run(
        {"a.ipynb": book, "b.md": b"nothing\n", "c.bin": b"\x00\x01", "d.env": f"T={DOCUMENTED}\n".encode()},
        fingerprint_key=KEY,
    )
    assert {o.path: str(o.verdict) for o in found if isinstance(o, FileVerdict)} == {
        "a.ipynb": "unknown", "b.md": "clean", "c.bin": "inconclusive", "d.env": "unknown"}  # fmt: skip
    told = [o for o in found if isinstance(o, Finding)]
    assert [o.location for o in told] == ["a.ipynb!cell1-output:1", "d.env:1"]
    assert len({o.summary.rpartition(" ")[2] for o in told}) == 1 and DOCUMENTED[4:] not in str(found)


def test_with_a_key_two_runs_say_the_same() -> None:
    files = {"d.env": f"T={DOCUMENTED}\n".encode()}
    assert run(files, fingerprint_key=KEY) == run(files, fingerprint_key=KEY)


def test_a_key_that_is_none_is_refused() -> None:
    with pytest.raises(UsageError):
        run({"a": b"x"}, fingerprint_key="secret")


def test_a_text_that_ends_the_search_is_not_clean(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "Budget", lambda: Budget(1000))
    found = run({"a.txt": b"token=" * 400})
    assert [o.verdict for o in found if isinstance(o, FileVerdict)] == [Verdict.INCONCLUSIVE]


def test_rule_ids_are_unique() -> None:
    assert len({rule.id for rule in ALL}) == len(ALL) == len(RULES) + 3


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.sampled_from(["ghp_", "API_KEY", "pass", "passwd", "://", "sk-ant-", "key", "x ", "TOKEN", "\u0130"]),
        max_size=8,
    )
)
def test_both_ways_to_ask_which_anchors_occur_agree(parts: list[str]) -> None:
    text = " ".join(parts)
    assert PatternSet(anchor_patterns()).found_in(utf8(text)) == occurring(text)
