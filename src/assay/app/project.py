"""The project file `assay.yaml`: what a repository ships, which checks run with which options, which policies and lists decide.

Read once and frozen. An unknown key is an error that names its line and the nearest known key.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from importlib import resources
from pathlib import Path

from assay.app.register import Description
from assay.checks.model_file.lists import AddedList, read_list
from assay.core.assets import Kind, check_name
from assay.core.canonical import Json
from assay.core.errors import UsageError
from assay.formats.yaml_nodes import Node
from assay.formats.yaml_strict import load_located
from assay.policy.documents import read_policy
from assay.policy.grammar import Policy

FILE_NAME = "assay.yaml"
MAX_FILE_BYTES = 256 << 10
_DECLARED = {
    "target": "target", "positive": "positive", "sensitive": "sensitive", "features": "features", "immutable": "immutable",
    "predictor": "predictor", "interface": "interface", "task": "task", "model": "base", "base": "base", "card": "card", "lock": "lock",
    "trained_on": "trainedOn", "tested_on": "testedOn", "built_by": "builtBy", "served_by": "servedBy",
}  # fmt: skip
_ORIGIN = {
    "uri": "uri",
    "revision": "revision",
    "licence": "licence",
    "external": "external",
    "retrieved_on": "retrievedOn",
}
_ASSET_KEYS = (*_DECLARED, "kind", "path", "origin", "labels", "ignore", "symlinks")
_LISTS = ("sensitive", "features", "immutable", "trained_on", "tested_on")


@dataclass(frozen=True)
class ProjectAsset:
    """An asset of the project file: where its bytes lie and what is declared of it."""

    path: Path
    about: Description


@dataclass(frozen=True)
class Project:
    """A project file. `folder` is where it lies; paths in it are relative to that. `lists` are `PATH@sha256:HEX`."""

    folder: Path
    name: str = ""
    assets: Mapping[str, ProjectAsset] = field(default_factory=dict)
    options: Mapping[str, Mapping[str, Json]] = field(default_factory=dict)
    policies: tuple[Path, ...] = ()
    lists: tuple[str, ...] = ()

    def asset(self, name: str) -> ProjectAsset:
        """An asset by name.

        Raises:
            UsageError: the file does not name it.
        """
        found = self.assets.get(name)
        if found is None:
            known = ", ".join(self.assets) or "none"
            raise UsageError(
                f"{FILE_NAME} does not name an asset {name!r}",
                f"it names {known}",
                f"add it to {self.folder / FILE_NAME}",
            )
        return found

    def check_options(self, check_id: str) -> Mapping[str, Json]:
        """Options of a check: those of every matching pattern, later ones over earlier ones."""
        merged: dict[str, Json] = {}
        for pattern, options in self.options.items():
            if fnmatchcase(check_id, pattern):
                merged |= options
        return merged

    @property
    def checks(self) -> tuple[str, ...]:
        """The patterns of checks that the project asks for; () means every check that fits."""
        return tuple(self.options)

    def read_lists(self) -> tuple[AddedList, ...]:
        """The allow-lists that the project adds for scans of model files.

        Raises:
            UsageError: one cannot be read, is no allow-list, or is not the one that was reviewed.
        """
        return tuple(map(read_list, self.lists))

    def read_policies(self, only: Path | None = None) -> tuple[Policy, ...]:
        """The policies of the project, or the one in `only`.

        Raises:
            UsageError: a file cannot be read or is no policy.
        """
        return tuple(read_policy_file(path) for path in ([only] if only else self.policies))


def find_project(start: Path) -> Project:
    """The nearest project file upward from `start`; an empty project if there is none.

    Raises:
        UsageError: the file is not well formed.
    """
    for folder in (start.absolute(), *start.absolute().parents):
        if (folder / FILE_NAME).is_file():
            return read_project(folder / FILE_NAME)
    return Project(start.absolute())


def read_project(path: Path) -> Project:
    """Reads one project file.

    Raises:
        UsageError: names the line and what is wrong there.
    """
    top = Node((document := load_located(_bytes(path), path.name)).value, (), document, path.name)
    part = top.fields(("project", "assets", "checks", "policies", "lists"))
    folder = path.parent.absolute()
    assets = {name: _asset(name, node, folder) for name, node in _entries(part.get("assets")).items()}
    return Project(
        folder,
        part["project"].text() if "project" in part else "",
        assets,
        {
            pattern: dict(node.value or {})
            for pattern, node in _entries(part.get("checks")).items()
            if _is_mapping(node)
        },
        tuple(_policy_path(folder, text) for text in part["policies"].texts()) if "policies" in part else (),
        tuple(_list(node, folder) for node in part["lists"].items()) if "lists" in part else (),
    )


def read_policy_file(path: Path) -> Policy:
    """Reads a policy file.

    Raises:
        UsageError: it cannot be read, or is no policy.
    """
    return read_policy(_bytes(path), os.path.relpath(path))


def _policy_path(folder: Path, text: str) -> Path:
    """A path, or `pack:NAME` for a ready policy that comes with Assay."""
    if not text.startswith("pack:"):
        return folder / text
    packs = Path(str(resources.files("assay.policy"))) / "packs"
    known = sorted(path.stem for path in packs.glob("*.yaml") if not path.stem.endswith(".test"))
    name = text.removeprefix("pack:")
    if name not in known:
        raise UsageError(f"there is no ready policy {name[:80]!r}", f"there are {', '.join(known)}")
    return packs / f"{name}.yaml"


def _list(node: Node, folder: Path) -> str:
    """An allow-list with the digest of the bytes that somebody reviewed."""
    part = node.fields(("file", "sha256"), required=("file", "sha256"))
    digest = part["sha256"].text(r"(sha256:)?[0-9a-f]{64}", "the sha256 of the file").removeprefix("sha256:")
    return f"{folder / part['file'].text()}@sha256:{digest}"


def _asset(name: str, node: Node, folder: Path) -> ProjectAsset:
    part = node.fields(_ASSET_KEYS, required=("kind", "path"))
    declared = {
        _DECLARED[key]: list(part[key].texts()) if key in _LISTS else part[key].value
        for key in _DECLARED
        if key in part
    }
    origin = {_ORIGIN[k]: v.value for k, v in part["origin"].fields(tuple(_ORIGIN)).items()} if "origin" in part else {}
    about = Description(
        check_name(name),
        Kind(part["kind"].choice(tuple(Kind))),
        declared,
        origin,
        {key: item.text() for key, item in _entries(part.get("labels")).items()},
        part["ignore"].texts() if "ignore" in part else (),
        part["symlinks"].choice(("refuse", "content")) if "symlinks" in part else "refuse",
    )
    return ProjectAsset(folder / part["path"].text(), about)


def _entries(node: Node | None) -> Mapping[str, Node]:
    return node.entries() if node is not None else {}


def _is_mapping(node: Node) -> bool:
    if node.value is not None:
        node.entries()
    return True


def _bytes(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise UsageError(f"cannot read {path}", str(error), "check the path") from error
