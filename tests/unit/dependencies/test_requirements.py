"""Requirements files: what is pinned is read exactly, and everything else says what it is instead of vanishing."""

from __future__ import annotations

import pytest

from assay.formats.dependencies.includes import listings_of
from assay.formats.dependencies.requirements import read_requirements, requirement


def listed(text: str) -> list[tuple[str, str | None, str]]:
    return [(d.name, d.version, d.rule) for d in read_requirements(text.encode(), "r.txt").dependencies]


@pytest.mark.parametrize(
    ("line", "name", "version"),
    [
        ("numpy==2.1.0", "numpy", "2.1.0"),
        ("Django[argon2, bcrypt] == 3.2 ; python_version > '3.8'", "Django", "3.2"),
        ("torch==2.1.0+cu118 --hash=sha256:ab --hash=sha256:cd", "torch", "2.1.0+cu118"),
        ("odd===2013-01-01", "odd", "2013-01-01"),
        ("a_b.c==1!2.0rc1", "a_b.c", "1!2.0rc1"),
        ("numpy (==1.0)", "numpy", "1.0"),
    ],
)
def test_a_pinned_line_is_read_exactly(line: str, name: str, version: str) -> None:
    assert listed(line) == [(name, version, "")]


@pytest.mark.parametrize("line", ["numpy", "numpy>=1", "numpy==1.*", "numpy==1,<2", "numpy~=1.4", "numpy!=1.0"])
def test_a_line_that_allows_several_versions_is_unpinned(line: str) -> None:
    assert listed(line) == [("numpy", None, "unpinned")]


@pytest.mark.parametrize(
    "line",
    ["-e .", "--editable git+https://x/y", "git+https://u:secret@example.org/x", "./local", "== 1.0", "numpy==1.0 extra words",
     "--unknown-option", "numpy=1.0", "&&&"],
)  # fmt: skip
def test_a_line_that_is_not_understood_is_listed_as_unread_without_its_text(line: str) -> None:
    (found,) = read_requirements(line.encode(), "r.txt").dependencies[:1]
    assert found.rule == "unread" and found.version is None and found.problem
    assert "secret" not in found.name + found.problem


def test_a_direct_address_has_no_released_version() -> None:
    assert requirement("x @ https://example.org/x-1.0-py3-none-any.whl", "r").rule == "direct"


def test_options_comments_and_continuations_are_lines_of_pip() -> None:
    text = "# c\n--index-url https://x\n-f links\nnumpy==1.0 \\\n  --hash=sha256:aa\\\n\n  # d\nflask==2.0 # why\n"
    assert listed(text) == [("numpy", "1.0", ""), ("flask", "2.0", "")]
    assert read_requirements(text.encode(), "r").dependencies[0].where == "r:4"


@pytest.mark.parametrize("data", [b"\xff\xfen\x00", b"num\x00py==1", b"\x80"])
def test_a_file_that_is_no_text_is_one_unread_dependency(data: bytes) -> None:
    (found,) = read_requirements(data, "r.txt").dependencies
    assert found.rule == "unread"


def test_includes_are_followed_inside_the_root_and_refused_outside() -> None:
    files = {
        "a/requirements.txt": b"-r ../base.txt\n-c http://x/c.txt\n-r ../../etc/passwd\n-r /etc/passwd\n--requirement=gone.txt\n",
        "base.txt": b"numpy==1.0\n-r a/requirements.txt\n",
    }
    found = listings_of("a/requirements.txt", files.get, set())
    everything = [d for one in found for d in one.dependencies]
    assert [d.name for d in everything if not d.problem] == ["numpy"]
    assert len([d for d in everything if d.rule == "unread"]) == 4
