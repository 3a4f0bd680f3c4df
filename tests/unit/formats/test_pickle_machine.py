"""The abstract pickle machine sees every name and use that a real loader would meet, and never stops or raises."""

from __future__ import annotations

import collections
import datetime
import io
import os
import pickle
import pickletools
from pathlib import Path

import pytest

from assay.formats.facts import Fact, FileFacts, facts_as_json, facts_from_json
from assay.formats.pickle_machine import Machine
from assay.formats.pickle_opcodes import TABLE
from assay.formats.reading import read_facts


class Payload:
    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> object:
        return os.system, (f"touch {self.marker}",)


def facts(data: bytes) -> list[Fact]:
    machine = Machine(data)
    machine.run(0)
    return machine.facts("")


def names(data: bytes) -> list[str]:
    return [f"{f.data[0]}.{f.data[1]}" for f in facts(data) if f.kind == "global"]


def uses(data: bytes) -> list[tuple[object, ...]]:
    return [f.data for f in facts(data) if f.kind == "use"]


def test_every_instruction_has_a_handler() -> None:
    assert {i for i, handler in enumerate(TABLE) if handler} == {ord(code.code) for code in pickletools.opcodes}


@pytest.mark.parametrize("protocol", range(6))
def test_a_payload_is_named_in_every_protocol_and_never_runs(protocol: int, tmp_path: Path) -> None:
    data = pickle.dumps([1, Payload(tmp_path / "ran")], protocol)
    assert names(data) == [f"{os.system.__module__}.system"]
    assert uses(data)[0][:2] == ("REDUCE", ("g", os.system.__module__, "system"))
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("stream", "expected"),
    [
        (b"cos\nsystem\n(S'true'\ntR.", ["os.system"]), (b"(S'true'\nios\nsystem\n.", ["os.system"]), (b"(cos\nsystem\nS'true'\no.", ["os.system"]),
        (b"\x80\x04\x8c\x02os\x94\x8c\x06system\x94h\x00h\x01\x93\x8c\x04true\x85R.", ["os.system"]), (b"\x80\x04\x8c\x02os2\x8c\x06system\x930.",
        ["os.system"]),
        (b"\x8c\x02osq\x00\x8c\x03absq\x00h\x00\x8c\x06system\x93.", ["abs.system"]), (b"\x80\x04]\x8c\x06system\x93.", ["None.system"]),
        (b"\x80\x02cos\nsystem\n\x8c\x04true\x85R\xff\xff", ["os.system"]),
    ],
)  # fmt: skip
def test_names_are_seen_whatever_spells_them(stream: bytes, expected: list[str]) -> None:
    assert names(stream) == expected


@pytest.mark.parametrize(
    ("stream", "kind", "word"),
    [
        (b"cos\nsystem\n(S'true'\ntR\xff", "broken", "no instruction"), (b"\x80\x04N", "broken", "before STOP"), (b"0.", "broken", "runs empty"),
        (b"t.", "broken", "mark"),
        (b"h\x07.", "broken", "memo"), (b"S'x\n.", "broken", "quoted"), (b"I1x\n.", "broken", "number"), (b"I010\n.", "anomaly", "number"),
        (b"\x80\x04N\x80\x02.", "anomaly", "protocol"),
        (b"Nq\x00K\x01q\x00.", "anomaly", "memo"), (b"\x80\x04\x95\xff\xff\xff\xff\xff\xff\xff\x00N.", "anomaly", "frame"), (b"\x82\x05.",
        "extension", "5"), (b"X\xff\xff\xff\xffab", "broken", "announced"),
    ],
)  # fmt: skip
def test_what_readers_refuse_or_take_differently_is_told(stream: bytes, kind: str, word: str) -> None:
    assert any(f.kind == kind and word in f.data[0] for f in facts(stream)), facts(stream)


def test_items_put_into_an_object_are_a_use_and_into_a_list_are_not() -> None:
    assert [use[0] for use in uses(b"\x80\x02ccollections\nOrderedDict\n)R(K\x01K\x02u.")] == ["REDUCE", "SETITEMS"]
    assert uses(b"\x80\x02](K\x01K\x02e.") == []


def test_a_call_on_an_empty_stack_is_no_call() -> None:
    assert uses(b"create\na\nb.") == []


class Recorder(pickle._Unpickler):  # type: ignore[name-defined]  # the Python reader, which says what it would import
    def find_class(self, module: str, name: str) -> object:
        self.asked.append(f"{module}.{name}")
        return super().find_class(module, name)


@pytest.mark.parametrize("protocol", range(3, 6))
def test_the_names_are_those_that_cpython_asks_for(protocol: int) -> None:
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
    assert names(data) == reader.asked


def test_facts_survive_json() -> None:
    found = read_facts(pickle.dumps([collections.OrderedDict(a=1)], 4), "m.pkl")
    assert isinstance(found, FileFacts) and found.facts
    assert facts_from_json(facts_as_json(found)) == found
