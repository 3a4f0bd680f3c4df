from __future__ import annotations

import pytest

from assay.core.errors import UsageError
from assay.formats.yaml_strict import MAX_BYTES, load_located, load_yaml


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a: no", "no"), ("a: on", "on"), ("a: 12:30", "12:30"), ("a: 2026-01-01", "2026-01-01"), ("a: 0o17", 15),
        ("a: 0x1f", 31), ("a: 017", 17), ("a: 1_000", "1_000"), ("a: true", True), ("a: yes", "yes"), ("a: ~", None),
        ("a:", None), ("a: 'true'", "true"), ('a: "1"', "1"), ("a: 1e3", 1000.0), ("a: .5", 0.5), ("a: -3", -3),
        ("a: |\n  true\n", "true\n"), ("a: 4f1c", "4f1c"), ("a: [1, x]", [1, "x"]), ("a: {b: {}}", {"b": {}}),
    ],
)  # fmt: skip
def test_scalars_follow_the_core_schema_of_yaml_1_2(text: str, value: object) -> None:
    found = load_yaml(text.encode(), "test")["a"]
    assert found == value and type(found) is type(value)


@pytest.mark.parametrize(
    "text",
    [
        "a: &x 1\nb: *x", "a: *x", "a: !!str 1", "a: !python/object:os.system x", "a: 1\na: 2", "<<: {a: 1}", "1: a",
        "true: a", "? [a]\n: b", "null: a", "a: 1\n---\nb: 2", "%YAML 1.1\n---\na: 1", "", "# only a comment", "a: .nan",
        "a: -.inf", "a: 1e999", "a: 99999999999999999999", "a: [1, 2", "a: 'x", "\tx: 1", "a: \x00", "\ufeff\ufeffa: &b 1",
        'a: "\\ud800"', "- " * 30 + "x", "{a: " * 25 + "1" + "}" * 25, "a: " + "9" * 5000,
    ],
)  # fmt: skip
def test_whatever_two_readers_could_take_differently_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        load_yaml(text.encode(), "test")


def test_bytes_that_are_no_utf_8_or_too_many_are_refused() -> None:
    with pytest.raises(UsageError, match="UTF-8"):
        load_yaml(b"a: \xff", "test")
    with pytest.raises(UsageError, match="too large"):
        load_yaml(b"#" * (MAX_BYTES + 1), "test")


def test_every_value_keeps_its_line() -> None:
    found = load_located(b"a: 1\nb:\n  - x\n  - c:\n      d: 2\n", "test")
    assert [found.line(p) for p in (("a",), ("b",), ("b", 0), ("b", 1, "c", "d"), ("b", 7, "z"))] == [1, 2, 3, 5, 2]


def test_an_error_names_file_and_line() -> None:
    with pytest.raises(UsageError, match=r"assay\.yaml, line 3: the key 'a' a second time"):
        load_yaml(b"a: 1\nb: 2\na: 3\n", "assay.yaml")
