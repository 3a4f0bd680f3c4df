"""Bills of materials in JSON: CycloneDX 1.2 to 1.7, SPDX 2.2 and 2.3, SPDX 3.0.

A component counts by its package URL. A library without one is unknown; a model, a dataset, a file or the described
product itself is no package of a registry and is left out by name.
Source: CycloneDX 1.7 (ECMA-424); SPDX 2.3 section 7; SPDX 3.0.1 Software profile.
"""

from __future__ import annotations

from collections.abc import Iterator

from assay.core.canonical import Json
from assay.core.errors import MalformedInput
from assay.formats.dependencies.purl import NOT_PACKAGES, read_purl
from assay.formats.dependencies.values import Dependency, Listing, plain_text, unpinned, unread

_NO_PACKAGES = frozenset({"machine-learning-model", "data", "file", "cryptographic-asset"})
_SPDX_NO_PACKAGES = frozenset({"FILE", "SOURCE", "ARCHIVE", "MODEL", "DATA"})
_SPDX3_OTHERS = frozenset({"ai_AIPackage", "dataset_DatasetPackage"})
_MAX_COMPONENTS = 1_000_000


def read_bill(value: Json, where: str) -> Listing:
    """The packages of a bill that was parsed already.

    Raises:
        MalformedInput: it is none of the three.
    """
    if isinstance(value, dict) and value.get("bomFormat") == "CycloneDX":
        return _listing("cyclonedx", _cyclonedx(value, where))
    if isinstance(value, dict) and str(value.get("spdxVersion", "")).startswith("SPDX-2"):
        return _listing("spdx", _spdx2(value, where))
    if is_spdx3(value):
        return _listing("spdx", _spdx3(value, where))
    raise MalformedInput(f"{where} is no bill of materials", "neither CycloneDX nor SPDX in JSON")


def is_spdx3(value: Json) -> bool:
    """Whether a JSON-LD document names SPDX 3 as its context."""
    context = value.get("@context") if isinstance(value, dict) else None
    named = context if isinstance(context, list) else [context]
    return any(isinstance(text, str) and "spdx.org/rdf/3" in text for text in named)


def _listing(format: str, found: Iterator[Dependency | str]) -> Listing:
    listed = list(found)
    return Listing(
        format,
        tuple(item for item in listed if isinstance(item, Dependency)),
        left_out=tuple(item for item in listed if isinstance(item, str)),
    )


def _cyclonedx(value: Json, where: str) -> Iterator[Dependency | str]:
    waiting = [(value.get("components", []), where)]
    for _ in range(_MAX_COMPONENTS):
        if not waiting:
            return
        components, place = waiting.pop()
        if not isinstance(components, list):
            yield unread(place, "`components` is no list")
            continue
        for number, item in enumerate(components, 1):
            here = f"{place}#{number}"
            if not isinstance(item, dict):
                yield unread(here, "a component is no object")
                continue
            yield _component(item.get("purl"), item, item.get("type") in _NO_PACKAGES, here)
            if item.get("components"):
                waiting.append((item["components"], here))
    yield unread(where, "too many components")


def _component(purl: Json, item: Json, is_no_package: bool, where: str) -> Dependency | str:
    name = plain_text(item.get("name")) or where
    if purl is None:
        if is_no_package:
            return name
        return Dependency("", name, None, where, "it has no package URL, so no advisory can be matched", "no-purl")
    found = read_purl(purl)
    if found is None:
        return Dependency("", name, None, where, "its package URL cannot be read", "no-purl")
    if found.type in NOT_PACKAGES:
        return name
    version = found.version or plain_text(item.get("version") or item.get("versionInfo")) or None
    if not found.ecosystem:
        reason = f"packages of type {found.type[:40]!r} are not matched by this release"
        return Dependency("", found.name, version, where, reason, "ecosystem")
    if version is None:
        return unpinned(found.ecosystem, found.name, where)
    return Dependency(found.ecosystem, found.name, version, where)


def _spdx2(value: Json, where: str) -> Iterator[Dependency | str]:
    packages = value.get("packages", [])
    if not isinstance(packages, list):
        yield unread(where, "`packages` is no list")
        return
    described = _described(value)
    for number, item in enumerate(packages, 1):
        here = f"{where}#{number}"
        if not isinstance(item, dict):
            yield unread(here, "a package is no object")
            continue
        refs = item.get("externalRefs", [])
        purls = [
            ref.get("referenceLocator")
            for ref in (refs if isinstance(refs, list) else [])
            if isinstance(ref, dict) and ref.get("referenceType") == "purl"
        ]
        if not purls and item.get("SPDXID") in described:
            yield plain_text(item.get("name")) or here
            continue
        is_no_package = item.get("primaryPackagePurpose") in _SPDX_NO_PACKAGES
        for purl in purls or [None]:
            yield _component(purl, item, is_no_package, here)


def _described(value: Json) -> set[str]:
    """The products that the document is about."""
    listed = value.get("documentDescribes", [])
    found = {item for item in listed if isinstance(item, str)} if isinstance(listed, list) else set()
    relations = value.get("relationships", [])
    for item in relations if isinstance(relations, list) else []:
        if isinstance(item, dict) and item.get("relationshipType") == "DESCRIBES":
            found.add(str(item.get("relatedSpdxElement")))
    return found


def _spdx3(value: Json, where: str) -> Iterator[Dependency | str]:
    graph = value.get("@graph", [value])
    if not isinstance(graph, list):
        yield unread(where, "`@graph` is no list")
        return
    roots = {
        root
        for item in graph
        if isinstance(item, dict) and item.get("type") == "SpdxDocument" and isinstance(item.get("rootElement"), list)
        for root in item["rootElement"]
        if isinstance(root, str)
    }
    for number, item in enumerate(graph, 1):
        kind = item.get("type") if isinstance(item, dict) else None
        if kind not in ("software_Package", *_SPDX3_OTHERS):
            continue
        purl = item.get("software_packageUrl") or _identifier(item.get("externalIdentifier"))
        own = item.get("spdxId") in roots and purl is None
        versioned = {"name": item.get("name"), "version": item.get("software_packageVersion")}
        yield _component(purl, versioned, own or kind in _SPDX3_OTHERS, f"{where}#{number}")


def _identifier(listed: Json) -> Json:
    for item in listed if isinstance(listed, list) else []:
        if isinstance(item, dict) and item.get("externalIdentifierType") == "packageUrl":
            return item.get("identifier")
    return None
