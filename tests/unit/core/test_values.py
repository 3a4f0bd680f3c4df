"""Names, digests, times, statements and errors: what each accepts, and what it refuses."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from tests.support import manifest

from assay.core import errors
from assay.core.assets import (
    MAX_PATH_BYTES,
    Entry,
    Kind,
    Manifest,
    Reference,
    check_alias,
    check_name,
    check_path,
    differences,
)
from assay.core.canonical import canonical
from assay.core.decisions import Answer, as_json
from assay.core.digests import digest_of, is_digest, read_digest, sha256, short, shown
from assay.core.errors import AssayError, MalformedInput, UsageError
from assay.core.outcomes import Severity, Skipped
from assay.core.statements import MAX_SUBJECTS, STATEMENT_TYPE, Statement, Subject
from assay.core.times import age_text, duration, instant, stamp, stamp_ms

D = "ab" * 32


# -- paths and manifests


@pytest.mark.parametrize(
    "path",
    ["", ".", "..", "/etc/passwd", "../x", "a/../b", "a/./b", "a//b", "a/", "/", "a\\b", "..\\x", "C:x", "c:/x", "a\nb",
     "a\x00b", "a\x7f", "\x1b[2J", "e\u0301", "\ud800", "/".join("a" * 65), "a" * (MAX_PATH_BYTES + 1),
     "é" * (MAX_PATH_BYTES // 2 + 1), 7, None, ["a"]],
)  # fmt: skip
def test_a_path_that_could_leave_its_root_or_reads_differently_elsewhere_is_refused(path: str) -> None:
    with pytest.raises(MalformedInput):
        check_path(path)


@pytest.mark.parametrize(
    "path", ["a", ".git/config", "a b", "é", "...a", "-rf", "a" * MAX_PATH_BYTES, "/".join("a" * 64)]
)
def test_an_unusual_but_unambiguous_path_is_accepted(path: str) -> None:
    check_path(path)


@pytest.mark.parametrize(
    "names",
    [("A", "a"), ("dir/x", "DIR/y"), ("a", "a/b"), ("a/b", "A"), ("ß", "ss"), ("ſ", "s"), ("K", "k"), ("a/b/c", "a/B/d"),
     ("É", "é"), ("x", "x"), ("ﬁ", "fi"), ("İ/a", "i̇/b")],
)  # fmt: skip
def test_names_that_collide_where_case_or_form_is_ignored_are_refused(names: tuple[str, str]) -> None:
    for order in (names, names[::-1]):
        with pytest.raises(MalformedInput):
            Manifest.of(Kind.MODEL, [Entry(name, D, 1) for name in order])


def test_names_that_only_look_alike_are_kept() -> None:
    assert len(manifest({"a/b": b"", "a/c": b"", "ab": b"", "a-b": b"", "a.b/c": b""}).entries) == 5


@pytest.mark.parametrize(
    "entry",
    [Entry("a", "AB" * 32, 1), Entry("a", "ab", 1), Entry("a", D, -1), Entry("a", D, 2**53), Entry("a", D, True),
     Entry("a", D, 1.0), Entry("a", None, 1)],  # type: ignore[arg-type]
)  # fmt: skip
def test_an_entry_out_of_range_is_refused(entry: Entry) -> None:
    with pytest.raises(MalformedInput):
        Manifest.of(Kind.MODEL, [entry])


def test_a_manifest_without_a_file_is_refused() -> None:
    with pytest.raises(MalformedInput, match="nothing to register"):
        Manifest.of(Kind.MODEL, [])


def test_the_manifest_has_the_documented_bytes() -> None:
    made = Manifest.of(Kind.MODEL, [Entry("a.bin", D, 312)])
    text = '{"entries":[{"path":"a.bin","sha256":"%s","size":312}],"ignored":[],"kind":"model","schema":"urn:assay:manifest:v1"}'
    assert made.canonical_bytes == (text % D).encode()
    assert made.digest == sha256(made.canonical_bytes)


def test_swapped_names_are_another_asset() -> None:
    """OMS model-signing 1.1.1 leaves names out of the subject digest, so that renamed trees share it."""
    assert manifest({"a": b"1", "b": b"2"}).digest != manifest({"a": b"2", "b": b"1"}).digest


def test_differences_name_what_was_added_removed_changed_and_renamed() -> None:
    old = manifest({"same": b"0", "changed": b"1", "gone": b"2", "before": b"3"})
    new = manifest({"same": b"0", "changed": b"x", "after": b"3", ".git/hooks/x": b"evil"})
    found = differences(old, new)
    assert (found.added, found.missing, found.changed, found.renamed) == (
        (".git/hooks/x",), ("gone",), ("changed",), (("before", "after"),),
    )  # fmt: skip
    assert str(found) == "added .git/hooks/x; missing gone; changed changed; renamed before to after"
    assert not differences(old, old)


# -- names


@pytest.mark.parametrize("name", ["credit", "team/credit", "a", "a.b_c-d/e", "0", "a" * 128 + "/" + "b" * 128])
def test_a_plain_name_is_accepted(name: str) -> None:
    assert check_name(name) == name


@pytest.mark.parametrize(
    "name", ["", "A", "a/b/c", "/a", "a/", "../a", "a/..", "a b", "a\n", "é", "-a", ".a", "a@1", "a" * 129, "a/-b", "а"]
)
def test_a_name_with_steps_case_or_other_scripts_is_refused(name: str) -> None:
    with pytest.raises(UsageError):
        check_name(name)


@pytest.mark.parametrize("alias", ["", "1", "A", "a_b", "a/b", "a\n", "-a", "a" * 64])
def test_an_alias_out_of_its_grammar_is_refused(alias: str) -> None:
    with pytest.raises(UsageError):
        check_alias(alias)


def test_a_reference_is_read_in_its_four_forms() -> None:
    assert Reference.parse("a/b") == Reference("a/b")
    assert Reference.parse("a@12") == Reference("a", version=12)
    assert Reference.parse("a@production") == Reference("a", alias="production")
    assert Reference.parse(f"a@sha256:{D}") == Reference("a", digest=D)


@pytest.mark.parametrize(
    "text", ["a@", "a@@1", "@1", "a@-1", "a@1.0", "a@٣", "a@99999999999", "a@sha256:xyz", "a@SHA256:" + D]
)
def test_any_other_reference_is_refused(text: str) -> None:
    with pytest.raises(AssayError) as caught:
        Reference.parse(text)
    assert isinstance(caught.value, (UsageError, MalformedInput))


# -- digests and times


@pytest.mark.parametrize("text", ["", "ab", "AB" * 32, D + "\n", f"sha512:{D}", f"sha256:sha256:{D}", D + "0", " " + D])
def test_a_digest_has_exactly_one_spelling(text: str) -> None:
    with pytest.raises(MalformedInput):
        read_digest(text)
    assert not is_digest(text) and not is_digest(7)


def test_a_digest_is_shown_and_read_back() -> None:
    assert read_digest(shown(D)) == read_digest(D) == D and short(D) == D[:12]
    assert digest_of({"a": 1}) == sha256(b'{"a":1}')


@pytest.mark.parametrize(
    "text",
    ["2026-11-22", "2026-11-22T18:00:00", "2026-11-22T18:00:00+00:00", "2026-11-22 18:00:00Z", "2026-13-01T00:00:00Z",
     "2026-11-22T25:00:00Z", "2026-11-22T18:00:00.1234567Z", "2026-11-22T18:00:00z", "", None, 7, "2026-11-22T18:00:00Z\n",
     "２０２６-11-22T18:00:00Z"],
)  # fmt: skip
def test_a_time_in_another_form_is_refused(text: str) -> None:
    with pytest.raises(MalformedInput):
        instant(text)


def test_times_are_written_and_read_in_utc() -> None:
    moment = datetime(2026, 11, 22, 18, 0, 0, 123456, tzinfo=UTC)
    assert stamp(moment) == "2026-11-22T18:00:00Z" and stamp_ms(moment) == "2026-11-22T18:00:00.123Z"
    assert instant("2026-11-22T18:00:00.5Z") == moment.replace(microsecond=500_000)
    assert instant(stamp_ms(moment)) == moment.replace(microsecond=123_000)


@pytest.mark.parametrize("text", ["", "7", "d", "-1d", "1.5h", "7 d", "7D", "1234567s", "٣d", "7d\n", None])
def test_a_duration_in_another_form_is_refused(text: str) -> None:
    with pytest.raises(MalformedInput):
        duration(text)


def test_durations_and_ages_are_said_as_people_say_them() -> None:
    assert [duration(t) for t in ("90s", "15m", "24h", "7d")] == [
        timedelta(seconds=90), timedelta(minutes=15), timedelta(days=1), timedelta(days=7),
    ]  # fmt: skip
    assert [age_text(s) for s in (40, 3 * 3600, 12 * 86400, 150)] == ["40 s", "3 h", "12 d", "2 min"]


# -- statements


def payload(**changes: object) -> bytes:
    value = {"_type": STATEMENT_TYPE, "predicateType": "urn:x:y:v1", "predicate": {},
             "subject": [{"name": "a", "digest": {"sha256": D}}]}  # fmt: skip
    return json.dumps(value | changes).encode()


@pytest.mark.parametrize(
    "changes",
    [{"_type": "https://in-toto.io/Statement/v0.1"}, {"_type": None}, {"predicateType": 7}, {"predicate": []},
     {"predicate": "x"}, {"subject": []}, {"subject": {}}, {"subject": None}, {"subject": [None]}, {"subject": [{}]},
     {"subject": [{"digest": {"sha1": D}}]}, {"subject": [{"digest": {"sha256": D.upper()}}]},
     {"subject": [{"digest": {"sha256": 7}}]}, {"subject": [{"digest": D}]}],
)  # fmt: skip
def test_a_statement_of_another_shape_is_refused(changes: dict[str, object]) -> None:
    with pytest.raises(MalformedInput):
        Statement.parse(payload(**changes))


@pytest.mark.parametrize("count", [MAX_SUBJECTS + 1, 100_000])
def test_more_than_a_thousand_subjects_are_refused(count: int) -> None:
    with pytest.raises(MalformedInput, match="statement"):
        Statement.parse(payload(subject=[{"digest": {"sha256": D}}] * count))


def test_a_million_subjects_are_refused_by_size_alone() -> None:
    with pytest.raises(MalformedInput, match="too large"):
        Statement.parse(
            b'{"_type":"' + STATEMENT_TYPE.encode() + b'","subject":[' + b'{"digest":{}},' * 2_000_000 + b"{}]}"
        )


def test_the_bytes_as_signed_name_the_statement_even_if_not_canonical() -> None:
    spaced = payload()
    assert Statement.parse(spaced).digest == sha256(spaced) != Statement.parse(Statement.parse(spaced).payload[:-1] + b" }").digest  # fmt: skip


def test_a_statement_is_read_back_from_its_payload() -> None:
    made = Statement((Subject("a", D), Subject("b", "cd" * 32)), "urn:x:y:v1", {"n": 1})
    assert Statement.parse(made.payload) == made and made.subject == D


# -- errors, answers, outcomes


def every_error() -> list[type[AssayError]]:
    found, waiting = [], [AssayError]
    while waiting:
        kind = waiting.pop()
        found.append(kind)
        waiting += kind.__subclasses__()
    return [kind for kind in found if kind.__module__ == errors.__name__]


def test_every_error_has_its_own_code_and_the_exit_code_of_its_drawing() -> None:
    kinds = [kind for kind in every_error() if kind is not AssayError]
    assert len({kind.code for kind in kinds}) == len(kinds)
    for kind in kinds:
        line = next(text for text in (errors.__doc__ or "").splitlines() if f" {kind.__name__} " in text)
        assert kind.code in line and line.endswith(f"exit {kind.exit_code}")


def test_an_error_says_what_why_and_how_to_fix_it() -> None:
    assert str(UsageError("what", "why", "fix")) == "what  [A-USAGE]\n  why   why\n  fix   fix"
    assert str(UsageError("what")) == "what  [A-USAGE]"


def test_only_allow_ends_with_zero() -> None:
    assert [answer.exit_code for answer in Answer] == [0, 1, 3]


def test_values_become_json_without_nulls() -> None:
    assert as_json([Skipped("a", "b"), Severity.HIGH, {"x": (1, None)}]) == [
        {"what": "a", "reason": "b"}, "high", {"x": [1, None]},
    ]  # fmt: skip
    assert [severity.rank for severity in Severity] == [0, 1, 2, 3]
    assert canonical(as_json(Severity.LOW)) == b'"low"'


def test_core_does_no_input_or_output() -> None:
    """The import contract forbids the modules; this one also forbids the builtin."""
    for path in (Path(errors.__file__).parent).glob("*.py"):
        assert "open(" not in path.read_text("utf-8").replace("def open(", "")
