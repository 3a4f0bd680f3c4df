"""Every name that a pickle would import is seen, however it is spelt, and nothing of it runs."""

from __future__ import annotations

import collections
import datetime
import os
import pickle
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.formats.pickle_globals import pickle_facts

MARKER = Path("/tmp/assay-payload-ran")


class Payload:
    def __reduce__(self) -> object:
        return os.system, (f"touch {MARKER}",)


@pytest.mark.parametrize("protocol", range(6))
def test_a_payload_is_named_in_every_protocol_and_never_runs(protocol: int) -> None:
    facts = pickle_facts(pickle.dumps([1, Payload()], protocol))
    assert [used.qualified for used in facts.globals] == [f"{os.system.__module__}.system"]
    assert facts.calls == 1 and facts.is_complete
    assert not MARKER.exists()


@pytest.mark.parametrize(
    ("stream", "names"),
    [
        (b"cos\nsystem\n(S'true'\ntR.", ["os.system"]),
        (b"(S'true'\nios\nsystem\n.", ["os.system"]),
        (b"(cos\nsystem\nS'true'\no.", ["os.system"]),
        (b"\x80\x04\x8c\x02os\x94\x8c\x06system\x94\x93\x8c\x04true\x85R.", ["os.system"]),
        (b"\x80\x04\x8c\x02os\x94\x8c\x06system\x94h\x00h\x01\x93\x8c\x04true\x85R.", ["os.system"]),
        (b"\x80\x04\x8c\x02os2\x8c\x06system\x930.", ["os.system"]),
        (b"\x80\x02cos\nsystem\nX\x04\x00\x00\x00true\x85R", ["os.system"]),
        (b"\x80\x02cos\nsystem\n\x8c\x04true\x85R\xff\xff", ["os.system"]),
        (b"\x80\x04\x8c\x02os\x8c\x03sys\x8c\x03tem\x93.", ["sys.tem"]),
        (b"\x80\x04]\x8c\x06system\x93.", ["?.system"]),
    ],
)
def test_names_are_seen_whatever_spells_them(stream: bytes, names: list[str]) -> None:
    assert [used.qualified for used in pickle_facts(stream).globals] == names


def test_what_breaks_off_is_not_complete_but_keeps_what_it_saw() -> None:
    facts = pickle_facts(b"cos\nsystem\n(S'true'\ntR\xff")
    assert facts.problem.startswith("breaks off") and facts.calls == 1 and facts.globals


def test_a_memo_slot_written_twice_is_not_complete() -> None:
    assert not pickle_facts(b"\x8c\x02osq\x00\x8c\x03absq\x00h\x00\x8c\x06system\x93.").is_complete


def test_codes_that_hide_a_name_are_listed() -> None:
    assert pickle_facts(b"\x80\x02\x82\x01.").opaque == ("EXT1",)
    assert pickle_facts(b"Pid\n.").opaque == ("PERSID",)


def test_a_call_on_an_empty_stack_is_no_call() -> None:
    assert pickle_facts(b"create\na\nb.").calls == 0


plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner) | st.tuples(inner, inner),
    max_leaves=20,
)


@given(plain, st.integers(2, 5))
def test_plain_values_name_nothing(value: object, protocol: int) -> None:
    facts = pickle_facts(pickle.dumps(value, protocol))
    assert facts.is_complete and not facts.opaque
    assert {used.qualified for used in facts.globals} <= {"_codecs.encode", "__builtin__.bytes"}


@given(st.binary(max_size=300))
def test_no_bytes_make_it_fail(noise: bytes) -> None:
    assert pickle_facts(noise).end <= len(noise)


class Recorder(pickle.Unpickler):
    """CPython's own reader, which says what it would import."""

    def find_class(self, module: str, name: str) -> object:
        self.asked.append(f"{module}.{name}")
        return super().find_class(module, name)


@pytest.mark.parametrize("protocol", range(3, 6))
def test_the_names_are_those_that_cpython_asks_for(protocol: int) -> None:
    import io

    value = [
        collections.OrderedDict(a=datetime.datetime(2024, 1, 1)),
        {datetime.date(2024, 1, 1)},
        frozenset({1}),
        range(3),
    ]
    data = pickle.dumps([value, value], protocol)
    reader = Recorder(io.BytesIO(data), fix_imports=False)
    reader.asked = []
    reader.load()
    assert [used.qualified for used in pickle_facts(data).globals] == reader.asked
