"""Lock files, environments and bills of many tools, written as those tools write them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from assay.formats.dependencies.installed import read_metadata
from assay.formats.dependencies.purl import purl_of, read_purl
from assay.formats.dependencies.recognise import is_dependency_file, read_listing
from assay.formats.dependencies.values import Listing

Rows = list[tuple[str, str, str | None, str]]


def rows(listing: Listing) -> Rows:
    return [(d.ecosystem, d.name, d.version, d.rule) for d in listing.dependencies]


def read(text: str | dict[str, Any], path: str) -> Listing:
    return read_listing((text if isinstance(text, str) else json.dumps(text)).encode(), path)


def test_pylock() -> None:
    text = """lock-version = "1.0"
created-by = "x"
[[packages]]
name = "attrs"
version = "25.1.0"
[[packages]]
name = "mine"
directory = {path = "."}
[[packages]]
name = "fork"
version = "1.0"
vcs = {type = "git", url = "https://x"}
[[packages]]
name = "loose"
"""
    found = read(text, "pylock.dev.toml")
    assert rows(found) == [
        ("PyPI", "attrs", "25.1.0", ""),
        ("PyPI", "fork", "1.0", "direct"),
        ("PyPI", "loose", None, "unpinned"),
    ]
    assert found.left_out == ("mine",)


def test_uv_lock() -> None:
    text = """version = 1
[[package]]
name = "app"
version = "0.1.0"
source = { virtual = "." }
[[package]]
name = "numpy"
version = "2.1.0"
source = { registry = "https://example.org/simple" }
[[package]]
name = "lib"
version = "0.1.0"
source = { directory = "../lib" }
"""
    found = read(text, "sub/uv.lock")
    assert rows(found) == [("PyPI", "numpy", "2.1.0", ""), ("PyPI", "lib", "0.1.0", "direct")]
    assert found.left_out == ("app",)


def test_poetry_and_cargo_locks() -> None:
    poetry = '[[package]]\nname = "requests"\nversion = "2.0"\n[[package]]\nname = "g"\nversion = "1"\n[package.source]\ntype = "git"\n'
    assert rows(read(poetry, "poetry.lock")) == [("PyPI", "requests", "2.0", ""), ("PyPI", "g", "1", "direct")]
    cargo = 'version = 4\n[[package]]\nname = "me"\nversion = "0.1.0"\n[[package]]\nname = "serde"\nversion = "1.0.1"\nsource = "registry+https://x"\n'
    assert rows(read(cargo, "Cargo.lock")) == [("crates.io", "serde", "1.0.1", "")]


def test_npm_locks_of_all_versions() -> None:
    three = {"lockfileVersion": 3, "packages": {
        "": {"name": "app"}, "node_modules/a": {"version": "1.0.0"}, "node_modules/@s/b": {"version": "2.0.0-rc.1"},
        "node_modules/a/node_modules/c": {"version": "3.0.0"}, "node_modules/alias": {"name": "real", "version": "4.0.0"},
        "node_modules/w": {"resolved": "packages/w", "link": True}, "packages/w": {"version": "1.0.0"},
        "node_modules/g": {"version": "1.0.0", "resolved": "git+ssh://x"}}}  # fmt: skip
    assert rows(read(three, "package-lock.json")) == [
        ("npm", "a", "1.0.0", ""), ("npm", "@s/b", "2.0.0-rc.1", ""), ("npm", "c", "3.0.0", ""), ("npm", "real", "4.0.0", ""),
        ("npm", "g", "1.0.0", "direct"),
    ]  # fmt: skip
    one = {"lockfileVersion": 1, "dependencies": {"a": {"version": "1.0.0", "dependencies": {"b": {"version": "2.0.0"}}},
                                                  "x": {"version": "npm:y@3.0.0"}, "u": {"version": "git+ssh://h/u"}}}  # fmt: skip
    assert rows(read(one, "npm-shrinkwrap.json")) == [
        ("npm", "a", "1.0.0", ""), ("npm", "y", "3.0.0", ""), ("npm", "u", None, "direct"), ("npm", "b", "2.0.0", ""),
    ]  # fmt: skip


def test_conda_files() -> None:
    text = (
        "name: x\nchannels: [conda-forge]\ndependencies:\n- python=3.11\n- conda-forge::numpy=1.26.4=py311_0\n"
        "- scipy==1.11\n- pip:\n  - torch==2.0\n  - flask\n"
    )
    assert rows(read(text, "environment.yml")) == [
        ("conda", "python", None, "unpinned"), ("conda", "numpy", "1.26.4", ""), ("conda", "scipy", "1.11", ""),
        ("PyPI", "torch", "2.0", ""), ("PyPI", "flask", None, "unpinned"),
    ]  # fmt: skip
    explicit = (
        "# platform: linux-64\n@EXPLICIT\nhttps://x/linux-64/scikit-learn-1.3.0-py311_0.conda#0aa\nhttps://x/odd\n"
    )
    assert rows(read(explicit, "conda-linux.txt"))[0] == ("conda", "scikit-learn", "1.3.0", "")
    assert rows(read(explicit, "conda-linux.txt"))[1][3] == "unread"
    lock = "version: 1\npackage:\n- {name: numpy, version: 1.26.4, manager: conda}\n- {name: torch, version: '2.0', manager: pip}\n"
    assert rows(read(lock, "conda-lock.yml")) == [("conda", "numpy", "1.26.4", ""), ("PyPI", "torch", "2.0", "")]


def test_cyclonedx_and_spdx() -> None:
    cyclonedx = {"bomFormat": "CycloneDX", "specVersion": "1.6", "metadata": {"component": {"name": "app", "type": "application"}},
                 "components": [
                     {"type": "library", "name": "numpy", "purl": "pkg:pypi/numpy@1.0?x=y#z", "components": [
                         {"type": "library", "name": "inner", "purl": "pkg:npm/%40s/inner@2.0.0"}]},
                     {"type": "library", "name": "bare", "version": "1"},
                     {"type": "machine-learning-model", "name": "bert"},
                     {"type": "library", "name": "deb", "purl": "pkg:deb/debian/openssl@3.0"},
                     {"type": "library", "name": "m", "purl": "pkg:maven/org.x/y@1.0"},
                     {"type": "library", "name": "loose", "purl": "pkg:pypi/loose"}]}  # fmt: skip
    found = read(cyclonedx, "x.cdx.json")
    assert sorted(rows(found), key=str) == sorted([
        ("PyPI", "numpy", "1.0", ""), ("", "bare", None, "no-purl"), ("", "openssl", "3.0", "ecosystem"), ("Maven", "org.x:y", "1.0", ""),
        ("PyPI", "loose", None, "unpinned"), ("npm", "@s/inner", "2.0.0", ""),
    ], key=str)  # fmt: skip
    assert found.left_out == ("bert",)
    spdx = {"spdxVersion": "SPDX-2.3", "documentDescribes": ["SPDXRef-app"], "packages": [
        {"SPDXID": "SPDXRef-app", "name": "app"},
        {"SPDXID": "SPDXRef-n", "name": "numpy", "versionInfo": "1.0",
         "externalRefs": [{"referenceType": "purl", "referenceLocator": "pkg:pypi/numpy@1.0"}]},
        {"SPDXID": "SPDXRef-b", "name": "bare"}]}  # fmt: skip
    assert rows(read(spdx, "a.spdx.json")) == [("PyPI", "numpy", "1.0", ""), ("", "bare", None, "no-purl")]
    three = {"@context": "https://spdx.org/rdf/3.0.1/spdx-context.jsonld", "@graph": [
        {"type": "software_Package", "name": "numpy", "software_packageUrl": "pkg:pypi/numpy@1.0"},
        {"type": "software_Package", "name": "bare"}, {"type": "ai_AIPackage", "name": "bert"}, {"type": "Person"}]}  # fmt: skip
    assert rows(read(three, "s.json")) == [("PyPI", "numpy", "1.0", ""), ("", "bare", None, "no-purl")]


def test_installed_metadata() -> None:
    data = b"Metadata-Version: 2.1\nName: Torch\nVersion: 2.0+cu118\nName: evil\n\nName: body\n"
    assert rows(read_metadata(data, "m")) == [("PyPI", "Torch", "2.0+cu118", "")]
    assert read_metadata(data, "m", b'{"dir_info": {"editable": true}}').left_out == ("Torch",)
    for direct in (b'{"vcs_info": {}}', b'{"dir_info": {}}', b"{", b"[]", b'{"url": "x"}'):
        assert rows(read_metadata(data, "m", direct))[0][3] == "direct"
    assert rows(read_metadata(b"\xff\x00", "m"))[0][3] == "unread"


def test_pipfile_lock_and_pyproject() -> None:
    pipfile = {"_meta": {}, "default": {"a": {"version": "==1.0"}}, "develop": {"b": {"git": "x"}}}
    assert rows(read(pipfile, "Pipfile.lock")) == [("PyPI", "a", "1.0", ""), ("PyPI", "b", None, "unpinned")]
    text = '[project]\nname="x"\ndependencies=["numpy>=1"]\n[project.optional-dependencies]\na=["torch==2.0"]\n'
    assert rows(read(text, "pyproject.toml")) == [("PyPI", "numpy", None, "unpinned"), ("PyPI", "torch", "2.0", "")]


@pytest.mark.parametrize(
    ("path", "text"),
    [("yarn.lock", "a@1:\n"), ("x.cdx.xml", "<bom/>"), ("uv.lock", "not toml ="), ("poetry.lock", "x = 1"), ("package-lock.json", "{"),
     ("package-lock.json", '{"a":1,"a":2}'), ("bom.json", "[]"), ("bom.json", "{}"), ("environment.yml", "a: &x 1"),
     ("environment.yml", "dependencies: {}"), ("environment.yml", "- " * 500), ("bom.json", "[" * 5000),
     ("pylock.toml", "a = " + "[" * 5000), ("package-lock.json", '{"lockfileVersion":3,"packages":7}')],
)  # fmt: skip
def test_a_broken_or_unsupported_file_is_unread_and_never_empty(path: str, text: str) -> None:
    assert [d.rule for d in read(text, path).dependencies] == ["unread"]


def test_names_that_tools_fix_are_recognised() -> None:
    yes = ["requirements.txt", "dev-requirements.txt", "requirements/base.txt", "a/uv.lock", "pylock.toml", "pylock.x.toml",
           "x.cdx.json", "a.spdx.json", "environment.yml", "yarn.lock", "bom.json", "constraints.txt"]  # fmt: skip
    assert all(map(is_dependency_file, yes))
    assert not any(map(is_dependency_file, ["README.txt", "x.json", "requirements.py", "model.toml", "a.yml"]))


def test_package_urls_go_both_ways() -> None:
    for ecosystem, name, version in [
        ("PyPI", "a-b", "1.0+x"),
        ("npm", "@s/p", "1.0.0"),
        ("Maven", "g:a", "1"),
        ("Go", "h.io/x/y", "v1.0.0"),
    ]:
        found = read_purl(purl_of(ecosystem, name, version))
        assert found is not None and (found.ecosystem, found.name, found.version) == (ecosystem, name, version)
    for bad in [
        "",
        "pkg:",
        "pkg:pypi",
        "pkg:pypi/",
        "pkg:/x",
        "x",
        None,
        3,
        "pkg:pypi/a%00b",
        "pkg:pypi/" + "x" * 2000,
    ]:
        assert read_purl(bad) is None
    unversioned = read_purl("pkg:npm/@s/p")
    assert unversioned is not None and (unversioned.name, unversioned.version) == ("@s/p", None)
