"""Versions, ranges and scores: the examples of the standards, and every way in which a range can mislead."""

from __future__ import annotations

import pytest

from assay.checks.dependency.ranges import reach
from assay.formats.dependencies.cvss import base_score, grade
from assay.formats.dependencies.osv import Affected, Range
from assay.formats.dependencies.versions import is_understood, same_version, semver_key


def affects(
    version: str,
    *events: tuple[str, str],
    versions: tuple[str, ...] = (),
    ecosystem: str = "PyPI",
    type: str = "ECOSYSTEM",
) -> bool | None:
    ranges = (Range(type, events),) if events else ()
    return reach(Affected(ecosystem, "x", tuple(same_version(ecosystem, v) for v in versions), ranges), version).hits


def test_semver_precedence_is_that_of_the_specification() -> None:
    ordered = [
        "1.0.0-alpha",
        "1.0.0-alpha.1",
        "1.0.0-alpha.beta",
        "1.0.0-beta",
        "1.0.0-beta.2",
        "1.0.0-beta.11",
        "1.0.0-rc.1",
        "1.0.0",
        "1.0.1",
        "1.2.0",
        "2.0.0",
    ]
    keys = [semver_key(text) for text in ordered]
    assert keys == sorted(keys) and len(set(keys)) == len(keys)
    assert semver_key("v1.2.3+build") == semver_key("1.2.3") and semver_key("1") == semver_key("1.0.0")


@pytest.mark.parametrize(
    "text", ["", "x", "1.0.0.0", "1.0.0-", "1..0", "^1.0.0", "1.0.0-a..b", "1" * 30, "latest", "١.٠.٠"]
)
def test_what_is_no_semver_is_not_guessed(text: str) -> None:
    assert not is_understood("npm", text)


def test_spellings_of_one_version_are_one() -> None:
    assert same_version("PyPI", "1.0") == same_version("PyPI", "v1.0.0") == same_version("PyPI", "1")
    assert same_version("PyPI", "1.0-RC1") == same_version("PyPI", "1rc1") != same_version("PyPI", "1.0")
    assert same_version("PyPI", "10.0") != same_version("PyPI", "1")
    assert same_version("PyPI", "0.8.7p1") == "0.8.7p1"
    assert same_version("npm", "v1.0.0+b") == "1.0.0"


def test_ranges_begin_and_end_where_they_say() -> None:
    fixed = (("introduced", "1.0"), ("fixed", "2.0"))
    assert [affects(v, *fixed) for v in ("0.9", "1.0", "1.0.0", "1.9", "2.0rc1", "2.0", "3")] == [
        False,
        True,
        True,
        True,
        True,
        False,
        False,
    ]
    last = (("introduced", "0"), ("last_affected", "2.0"))
    assert [affects(v, *last) for v in ("0.0.dev0", "2.0", "2.0.1")] == [True, True, False]
    limit = (("introduced", "1.0"), ("limit", "2.0"))
    assert [affects(v, *limit) for v in ("1.5", "2.0")] == [True, False]
    assert affects("99", ("introduced", "1.0"), ("limit", "*")) is True


def test_unordered_and_touching_events_never_hide_a_version() -> None:
    events = (("fixed", "3.0"), ("introduced", "2.0"), ("fixed", "2.0"), ("introduced", "1.0"))
    assert [affects(v, *events) for v in ("0.9", "1.0", "1.5", "2.0", "2.5", "3.0")] == [
        False,
        True,
        True,
        True,
        True,
        False,
    ]
    assert affects("1.0", ("last_affected", "1.0"), ("introduced", "1.0")) is True
    assert affects("1.1", ("last_affected", "1.0"), ("introduced", "1.0")) is False


def test_a_local_build_is_read_as_the_public_version_too() -> None:
    assert affects("1.13.0+cu117", ("introduced", "0"), ("last_affected", "1.13.0")) is True
    assert affects("2.0+cu118", versions=("2.0.0",)) is True
    assert affects("2.0+cu118", ("introduced", "0"), ("fixed", "2.0")) is False


def test_listed_or_in_range_is_enough() -> None:
    assert affects("5.0", ("introduced", "1.0"), ("fixed", "2.0"), versions=("5.0",)) is True
    assert affects("1.5", ("introduced", "1.0"), ("fixed", "2.0"), versions=("5.0",)) is True
    assert affects("3.0", ("introduced", "1.0"), ("fixed", "2.0"), versions=("5.0",)) is False


@pytest.mark.parametrize(
    ("version", "events", "type", "ecosystem"),
    [
        ("1.0", (("introduced", "2019-09-12"),), "ECOSYSTEM", "PyPI"),
        ("nonsense!", (("introduced", "0"),), "ECOSYSTEM", "PyPI"),
        ("1.0", (("introduced", "0"), ("fixed", "abc")), "GIT", "PyPI"),
        ("1.0", (("introduced", "0"), ("fixed", "2.0")), "ECOSYSTEM", "Maven"),
        ("1.0.0.1", (("introduced", "0"), ("fixed", "2.0.0")), "SEMVER", "NuGet"),
    ],
)
def test_what_cannot_be_ordered_is_unknown(
    version: str, events: tuple[tuple[str, str], ...], type: str, ecosystem: str
) -> None:
    assert affects(version, *events, type=type, ecosystem=ecosystem) is None
    assert affects(version, *events, type=type, ecosystem=ecosystem, versions=(version,)) is True


@pytest.mark.parametrize(
    ("vector", "score"),
    [  # scores as published: CVSS v3.1 examples and NVD entries of the CVEs beside
        ("CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H", 9.8),
        ("CVSS:3.0/AV:N/AC:L/PR:N/UI:R/S:C/C:L/I:L/A:N", 6.1),  # CVE-2013-1937
        ("CVSS:3.0/AV:N/AC:L/PR:L/UI:N/S:C/C:L/I:L/A:N", 6.4),  # CVE-2013-0375
        ("CVSS:3.0/AV:N/AC:H/PR:N/UI:R/S:U/C:L/I:N/A:N", 3.1),  # CVE-2014-3566
        ("CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:C/C:H/I:H/A:H", 10.0),  # CVE-2021-44228
        ("CVSS:3.0/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:N/A:N", 7.5),  # CVE-2014-0160
        ("CVSS:3.1/AV:P/AC:H/PR:H/UI:R/S:U/C:N/I:N/A:N", 0.0),
        ("CVSS:3.1/AV:L/AC:L/PR:H/UI:N/S:U/C:L/I:L/A:L/E:P/RL:O", 4.2),
        ("AV:N/AC:L/Au:N/C:N/I:N/A:C", 7.8),  # CVE-2002-0392, worked example of CVSS v2.0
        ("AV:N/AC:L/Au:N/C:C/I:C/A:C", 10.0),  # CVE-2003-0818
        ("AV:L/AC:H/Au:N/C:C/I:C/A:C", 6.2),  # CVE-2003-0062
        ("CVSS:4.0/AV:N/AC:L/AT:N/PR:N/UI:N/VC:H/VI:H/VA:H/SC:H/SI:H/SA:H", 10.0),  # the worst of version 4.0
        ("CVSS:4.0/AV:N/AC:L/AT:N/PR:N/UI:N/VC:H/VI:H/VA:H/SC:N/SI:N/SA:N", 9.3),
        ("CVSS:4.0/AV:L/AC:L/AT:P/PR:L/UI:N/VC:H/VI:H/VA:H/SC:N/SI:N/SA:N", 7.3),  # CVE-2022-41741, FIRST's examples
        ("CVSS:4.0/AV:N/AC:L/AT:P/PR:N/UI:P/VC:H/VI:H/VA:H/SC:N/SI:N/SA:N", 7.7),  # CVE-2020-3549, FIRST's examples
        ("CVSS:4.0/AV:P/AC:H/AT:P/PR:H/UI:A/VC:L/VI:N/VA:N/SC:N/SI:N/SA:N", 1.0),
        ("CVSS:4.0/AV:N/AC:L/AT:N/PR:N/UI:N/VC:N/VI:N/VA:N/SC:N/SI:N/SA:N/E:U", 0.0),
    ],
)
def test_scores_are_those_published(vector: str, score: float) -> None:
    assert base_score(vector) == score


@pytest.mark.parametrize(
    "vector",
    [
        "",
        "CVSS:4.0/AV:N/AC:L/AT:N/PR:N/UI:N/VC:H/VI:H/VA:H/SC:N/SI:N",
        "CVSS:4.0/AV:N/AC:L/AT:N/PR:N/UI:N/VC:HL/VI:H/VA:H/SC:N/SI:N/SA:N",
        "CVSS:5.0/AV:N/AC:L/AT:N/PR:N/UI:N/VC:H/VI:H/VA:H/SC:N/SI:N/SA:N",
        "CVSS:3.1/AV:N",
        "9.8",
        "AV:N/AV:L",
        "x" * 9999,
        "CVSS:3.1/" * 40,
    ],
)
def test_a_vector_that_cannot_be_scored_has_no_number(vector: str) -> None:
    assert base_score(vector) is None


def test_grades_follow_the_table() -> None:
    assert [grade(s) for s in (0.0, 0.1, 3.9, 4.0, 7.0, 9.0, 10.0)] == [
        "none",
        "low",
        "low",
        "medium",
        "high",
        "critical",
        "critical",
    ]
