"""For all bytes: readers end and do not raise. For all plain values: clean. For all names outside the lists: not clean."""

from __future__ import annotations

import pickle
import pickletools

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.corpus.model_file.attacks import SHELL, attacks, call0, call2, call4, inst, zipped

from assay.checks.model_file.judge import judge
from assay.checks.model_file.lists import default_lists, spellings
from assay.core.outcomes import Verdict
from assay.formats.budget import Budget
from assay.formats.chat_template import template_facts
from assay.formats.pickle_machine import Machine
from assay.formats.reading import read_facts
from assay.formats.zip_members import contents
from assay.formats.zip_walk import walk

plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner) | st.tuples(inner, inner),
    max_leaves=20,
)
codes = st.sampled_from([code.code.encode("latin-1") for code in pickletools.opcodes])
streams = st.lists(
    codes | st.binary(max_size=4) | st.sampled_from([b"os\nsystem\n", b"\x8c\x02os", b"1\n"]), max_size=60
).map(b"".join)
words = st.from_regex(r"[A-Za-z_][A-Za-z_0-9]{0,12}(\.[A-Za-z_][A-Za-z_0-9]{0,8}){0,2}", fullmatch=True)
CASES = attacks()


@given(plain, st.integers(0, 5))
def test_plain_values_are_clean(value: object, protocol: int) -> None:
    judgement = judge(read_facts(pickle.dumps(value, protocol), "m.pkl"))
    assert judgement.verdict is Verdict.CLEAN, judgement.problems


@given(streams | st.binary(max_size=300))
def test_the_machine_ends_and_does_not_raise(noise: bytes) -> None:
    machine = Machine(noise)
    assert 0 <= machine.run(0) <= len(noise)
    machine.facts("")


@given(
    st.sampled_from(
        [
            b"",
            b"PK\x03\x04",
            b"\x93NUMPY\x01\x00",
            b"\x80\x04",
            b"GGUF\x03\0\0\0",
            b"\x1f\x8b",
            b"BZh9",
            b"\x78\x9c",
            b"X\n",
            b"\x0a",
        ]
    ),
    streams | st.binary(max_size=200),
)
def test_no_bytes_make_the_readers_raise(magic: bytes, noise: bytes) -> None:
    for path in ("m.pkl", "m.json", "m.yaml", "m.py", "m.txt", "m.onnx"):
        judge(read_facts(magic + noise, path))


@settings(max_examples=200)
@given(st.integers(0, len(CASES) - 1), st.integers(0, 1 << 16), st.binary(min_size=1, max_size=4))
def test_changed_attacks_do_not_make_the_readers_raise(index: int, place: int, noise: bytes) -> None:
    case = CASES[index]
    if len(case.data) < 1 << 16:
        at = place % (len(case.data) + 1)
        read_facts(case.data[:at] + noise + case.data[at + len(noise) :], case.path)


@given(words, words, st.sampled_from([call0, call2, call4, inst]))
def test_a_name_outside_the_lists_is_never_clean(module: str, name: str, encode: object) -> None:
    if not all(default_lists().find(*s) for s in spellings(module, name)):
        assert judge(read_facts(encode(module, name, "x") + b".", "m.pkl")).verdict is not Verdict.CLEAN  # type: ignore[operator]


@given(st.binary(max_size=40))
def test_no_bytes_after_a_payload_hide_it(noise: bytes) -> None:
    assert judge(read_facts(call4(*SHELL) + noise, "m.txt")).verdict is Verdict.MALICIOUS


@given(st.dictionaries(st.text("abcdef", min_size=1, max_size=8), st.binary(max_size=50), max_size=5))
def test_valid_archives_have_no_oddities(members: dict[str, bytes]) -> None:
    found = walk(zipped(members))
    assert found is not None and found.facts == []
    assert {m.name: next(iter(contents(zipped(members), m, Budget()))).data for m in found.members} == members


@given(st.text(max_size=200), st.sampled_from(["{{ %s }}", "{%% %s %%}", "%s", "{{ x['%s'] }}"]))
def test_no_text_makes_the_template_reader_raise(text: str, form: str) -> None:
    template_facts(form % text.replace("%", "%%"))
