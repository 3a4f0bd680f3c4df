"""Do messages survive the way over, and does the reader refuse all that the writer would not write?"""

from __future__ import annotations

import json
import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.app_runner.conftest import job

from assay.app.runner.intake import Intake, TooMuch
from assay.app.runner.jobs import Failure, FailureKind, Limits, Located
from assay.app.runner.messages import HEADER, End, Message, read, write
from assay.core.errors import MalformedInput
from assay.core.outcomes import Facts, FileVerdict, Finding, Measurement, Progress, Severity, Skipped, Table, Verdict

MEASURED = {
    "type": "measurement", "metric": "acc", "value": 0.5, "unit": "share", "better": "higher", "n": 4, "low": None,
    "high": None, "level": 0.95, "method": "", "kind": "share", "group": None, "slice": None, "limit": None,
    "table": None, "threat_model": None, "valid": True,
}  # fmt: skip
FOUND = {"type": "finding", "rule": "r", "severity": "low", "location": "", "summary": "s", "remedy": "", "refs": []}


def _heard(message: Message) -> Message:
    frame = write(message)
    kind, length = HEADER.unpack_from(frame)
    assert len(frame) == HEADER.size + length
    return read(kind, frame[HEADER.size :])


@pytest.mark.parametrize(
    "message",
    [
        Finding("rule", Severity.CRITICAL, "a.zip!m/data.pkl@12", "names os.system", "use safetensors", ("cwe:502",)),
        Measurement(
            "acc.robust", 0.1, "share", "higher", 3, 0.0, 1.0, limit={"groups": ["a"], "hits": [1]}, valid=False
        ),
        FileVerdict("a/b.pkl", "ab" * 32, "pickle", Verdict.INCONCLUSIVE),
        Progress(3, 0, "third"),
        Skipped("x", "because"),
        Table(b"\x00\xff", 2, "cd" * 32),
        Facts(b"{}", "urn:assay:file-facts:v3", (("assay/numpy", "ab" * 32), ("ours.json", "cd" * 32))),
        End(),
        End(Failure(FailureKind.EXCEPTION, "ValueError: x")),
    ],
)
def test_a_message_arrives_as_it_was_sent(message: Message) -> None:
    assert _heard(message) == message


@pytest.mark.parametrize(
    "change",
    [
        {"value": None}, {"value": True}, {"value": "0.5"}, {"value": 2**60}, {"n": 1.5}, {"n": -1}, {"better": "up"},
        {"metric": "Not A Metric"}, {"metric": "a" * 129}, {"metric": ["acc"]}, {"kind": "guess"}, {"low": "0"},
        {"table": "xyz"}, {"valid": 1}, {"unit": "u" * 5000}, {"extra": 1}, {"type": "measure"}, {"type": ["end"]},
        {"limit": {"a": "\ud800"}},
    ],
)  # fmt: skip
def test_a_measurement_with_a_wrong_field_is_refused(change: dict[str, Any]) -> None:  # Any: JSON
    with pytest.raises(MalformedInput):
        read(b"J", json.dumps({**MEASURED, **change}).encode())


@pytest.mark.parametrize(
    "payload",
    [
        b"", b"[]", b"{", b"\xff", b'{"type":"end"}', b'{"type":"end","failure":{"kind":"new","text":""}}',
        b'{"type":"progress","done":1,"done":2,"total":1,"note":""}', json.dumps({**FOUND, "severity": "none"}).encode(),
        json.dumps(MEASURED).replace("0.5", "NaN").encode(), json.dumps(MEASURED).replace("0.5", "1e999").encode(),
        json.dumps({**FOUND, "refs": ["x"] * 33}).encode(), json.dumps({**FOUND, "refs": [1]}).encode(),
        json.dumps({**FOUND, "summary": " "}).encode(), b"[" * 100_000,
    ],
)  # fmt: skip
def test_hostile_json_is_refused(payload: bytes) -> None:
    with pytest.raises(MalformedInput):
        read(b"J", payload)


@pytest.mark.parametrize(
    ("outcome", "said"),
    [
        (Measurement("acc", float("inf"), "share", "higher", 1), "'acc': value is refused: it is inf"),
        (Measurement("acc", 0.5, "share", "higher", 1, low=float("nan")), "'acc': low is refused: it is nan"),
        (Measurement("acc", 0.5, "share", "higher", 1, limit=[float("nan")]), "'acc': limit is refused: it is nan"),
        (Measurement("acc", 0.5, "share", "higher", 1, limit={1}), "holds a set"),
        (Skipped("x", ""), "skipped: reason is refused: it is empty"),
        (Finding("r", Severity.LOW, "\udcff", "s"), "lone surrogate"),
        (Table(b"", 0, "ab" * 32), "table: data is refused"),
        (Facts(b"", "s"), "facts: data is refused"),
        (Facts(b"{}", ""), "facts: schema is refused"),
        (Facts(b"{}", "s", (("x", "y"),)), "facts: digest of a list is refused"),
        (Facts(b"{}", "s", (("x", "ab" * 32),) * 300), "facts: lists is refused"),
        (object(), "no outcome: a object"),
    ],
)
def test_the_writer_names_the_field_that_may_not_be_said(outcome: Any, said: str) -> None:  # Any: wrong on purpose
    with pytest.raises(MalformedInput) as error:
        write(outcome)
    assert said in f"{error.value.what}: {error.value.why}"


@pytest.mark.parametrize(
    "head",
    [
        b"[]",
        b'{"schema":"s"}',
        b'{"schema":1,"lists":[]}',
        b'{"schema":"s","lists":[[1]]}',
        b'{"schema":"s","lists":[7]}',
        b"{",
    ],
)
def test_facts_with_a_hostile_head_are_refused(head: bytes) -> None:
    with pytest.raises(MalformedInput):
        read(b"F", struct.pack(">I", len(head)) + head + b"{}")


@given(kind=st.sampled_from([b"J", b"T", b"F", b"X"]), payload=st.binary(max_size=200))
def test_any_bytes_are_a_message_or_malformed(kind: bytes, payload: bytes) -> None:
    try:
        read(kind, payload)
    except MalformedInput:
        return


def test_bytes_may_come_in_any_portions(model: Located) -> None:
    stream = write(Skipped("a", "b")) + write(Progress(1, 2)) + write(Table(b"t", 1, "ab" * 32)) + write(End())
    intake = Intake(job("nap", model))
    progress = [one for at in range(len(stream)) for one in intake.feed(stream[at : at + 1])]
    assert progress == [Progress(1, 2)]
    assert intake.outcomes == [Skipped("a", "b")]
    assert len(intake.tables) == 1
    assert intake.failure is None


@pytest.mark.parametrize(
    ("limits", "stream"),
    [
        (Limits(outcomes=2), write(Skipped("a", "b")) * 3),
        (Limits(output_bytes=100), write(Skipped("a", "b")) * 3),
        (Limits(output_bytes=100), write(Progress(1, 2)) * 3),
        (Limits(table_bytes=10), write(Table(bytes(1000), 1, "ab" * 32))),
        (Limits(facts_bytes=10), write(Facts(bytes(1000), "s"))),
        (Limits(), write(Facts(b"{}", "s")) * 2),
        (Limits(tables=1), write(Table(b"a", 1, "ab" * 32)) + write(Table(b"b", 1, "ab" * 32))),
    ],
)
def test_every_bound_is_kept(model: Located, limits: Limits, stream: bytes) -> None:
    with pytest.raises(TooMuch):
        list(Intake(job("nap", model, limits=limits)).feed(stream))


def test_a_stream_that_is_cut_anywhere_is_no_result(model: Located) -> None:
    stream = write(Skipped("a", "b")) + write(End())
    for length in range(len(stream)):
        intake = Intake(job("nap", model))
        list(intake.feed(stream[:length]))
        assert intake.failure is not None
