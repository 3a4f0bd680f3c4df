"""Formats of other frameworks: what real libraries wrote is clean, attacks are not, and no bytes make a reader fail."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.corpus.model_file import formats

from assay.checks.model_file.judge import judge
from assay.core.errors import MalformedInput
from assay.core.outcomes import Verdict
from assay.formats.facts import facts_as_json, facts_from_json
from assay.formats.reading import read_facts
from assay.formats.text_proto import read_text_proto

ATTACKS, TWINS = formats.attacks(), formats.twins()
MAGICS = [b"CBM1", b"ARROW1\0\0", b"PAR1", b"FEA1", b"binf", b"X\n\0\0\0\3", b"A\n3\n", b"\x12\x01" + bytes(14), b"\x81\xa1a", b"\0\0\0\0TFL3", b"node {",
          b"\xff\xff\xff\xff", b"\x89HDF\r\n\x1a\n\0\0\0\0\0\x08\x08", b"\x08\x04\x12\x02"]  # fmt: skip
UNSURE = ("lies", "cut", "beyond", "count", "forged", "outside")


@pytest.mark.parametrize("case", TWINS, ids=lambda case: case.name)
def test_a_file_of_a_real_library_is_clean(case: formats.Made) -> None:
    found = read_facts(case.data, case.path)
    assert judge(found).problems == () and found.format not in ("", "binary")


@pytest.mark.parametrize("case", ATTACKS, ids=lambda case: case.name)
def test_an_attack_is_refused(case: formats.Made) -> None:
    judgement = judge(read_facts(case.data, case.path))
    assert judgement.verdict is not Verdict.CLEAN
    if not any(word in case.name for word in UNSURE):
        assert judgement.verdict is not Verdict.INCONCLUSIVE, judgement.problems


def test_stored_facts_are_judged_as_the_file_is() -> None:
    for case in [*ATTACKS, *TWINS]:
        found = read_facts(case.data, case.path)
        assert judge(facts_from_json(facts_as_json(found))) == judge(found), case.name


@pytest.mark.parametrize("case", ATTACKS, ids=lambda case: case.name)
def test_bytes_in_front_do_not_hide_an_attack(case: formats.Made) -> None:
    assert judge(read_facts(b"\x00\x01" + case.data, case.path)).verdict is not Verdict.CLEAN


@settings(max_examples=400, deadline=None)
@given(st.integers(0, len(TWINS) - 1), st.integers(0, 1 << 20), st.binary(min_size=1, max_size=6))
def test_changed_and_cut_files_end_and_do_not_raise(index: int, place: int, noise: bytes) -> None:
    case = TWINS[index]
    at = place % (len(case.data) + 1)
    read_facts(case.data[:at] + noise + case.data[at + len(noise) :], case.path)
    read_facts(case.data[:at], case.path)


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from(MAGICS),
    st.binary(max_size=300),
)
def test_noise_behind_a_magic_ends_and_is_never_clean_by_accident(magic: bytes, noise: bytes) -> None:
    for path in ("m.msgpack", "m.pbtxt", "m.rds"):
        judge(read_facts(magic + noise, path))


@given(st.text(alphabet="ab{}<>[]:;,\"'\\# \n01", max_size=80))
def test_no_text_makes_the_reader_of_text_protos_fail_in_another_way(text: str) -> None:
    with suppress(MalformedInput):
        read_text_proto(text)


def test_text_protos_keep_repeated_fields_apart_and_join_neighbours() -> None:
    tree = read_text_proto('node { input: "a" input: "b" op: "Co" \'nst\' } x: [1, 2] y: -1.5e3 # end')
    assert tree == [
        ("node", [("input", b"a"), ("input", b"b"), ("op", b"Const")]),
        ("x", "1"),
        ("x", "2"),
        ("y", "-1.5e3"),
    ]
