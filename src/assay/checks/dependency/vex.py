"""What signed OpenVEX statements say of a vulnerability in a product: the newest claim that applies counts.

Whether a statement may count (signature, role) was decided before it comes here.
Source: OpenVEX specification 0.2.0, sections "Statement" and "Product".
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from assay.core.canonical import Json
from assay.core.digests import Digest
from assay.formats.dependencies.ecosystems import normalised
from assay.formats.dependencies.purl import PackageUrl, read_purl
from assay.formats.dependencies.values import Dependency
from assay.formats.dependencies.versions import same_version

VEX_TYPE = "https://openvex.dev/ns"
SETTLING = ("not_affected", "fixed")
STATUSES = (*SETTLING, "affected", "under_investigation")


@dataclass(frozen=True)
class Claim:
    """One statement of a VEX document about `subject`; `products` and `parts` are the package URLs that it names."""

    subject: Digest
    statement: Digest
    names: frozenset[str]
    status: str
    products: tuple[PackageUrl, ...]
    parts: tuple[PackageUrl, ...]

    def is_about(self, dependency: Dependency, subject: Digest | None) -> bool:
        """Whether the claim covers a dependency of `subject`.

        About another or no asset it covers only a product that is the very package. About this asset it covers the
        parts that it names, or all of it if it names none.
        """
        if any(_is_same(product, dependency) for product in self.products):
            return True
        if subject is None or subject != self.subject:
            return False
        return any(_is_same(part, dependency) for part in self.parts) or not (self.parts or self.products)


def claims_in(predicate: Json, subject: Digest, statement: Digest) -> Iterator[Claim]:
    """The claims of one document, in its order; what is malformed claims nothing."""
    listed = predicate.get("statements") if isinstance(predicate, dict) else None
    for item in listed if isinstance(listed, list) else []:
        if not isinstance(item, dict) or item.get("status") not in STATUSES:
            continue
        names = frozenset(_names(item.get("vulnerability")))
        products = [one for one in _list(item.get("products")) if isinstance(one, (dict, str))]
        parts = [part for one in products if isinstance(one, dict) for part in _list(one.get("subcomponents"))]
        if names:
            yield Claim(subject, statement, names, item["status"], tuple(_purls(products)), tuple(_purls(parts)))


def settled(
    claims: Sequence[Claim], dependency: Dependency, names: frozenset[str], subject: Digest | None
) -> Claim | None:
    """The newest claim (the last) about a vulnerability in a dependency, if it says that it does not matter."""
    for claim in reversed(claims):
        if claim.names & names and claim.is_about(dependency, subject):
            return claim if claim.status in SETTLING else None
    return None


def _is_same(product: PackageUrl, dependency: Dependency) -> bool:
    ecosystem = dependency.ecosystem
    if product.ecosystem != ecosystem or normalised(ecosystem, product.name) != normalised(ecosystem, dependency.name):
        return False
    if product.version is None:
        return True
    said = dependency.version
    return said is not None and same_version(ecosystem, product.version) == same_version(ecosystem, said)


def _names(vulnerability: Json) -> Iterator[str]:
    if isinstance(vulnerability, str):
        yield vulnerability
    elif isinstance(vulnerability, dict):
        for name in (vulnerability.get("name"), *_list(vulnerability.get("aliases"))):
            if isinstance(name, str) and name:
                yield name


def _purls(items: Iterable[Json]) -> Iterator[PackageUrl]:
    for item in items:
        named = [item]
        if isinstance(item, dict):
            identifiers = item.get("identifiers")
            named = [item.get("@id"), identifiers.get("purl") if isinstance(identifiers, dict) else None]
        found = [purl for text in named if (purl := read_purl(text)) is not None and purl.ecosystem]
        yield from found[:1]


def _list(value: Json) -> list[Json]:
    return value if isinstance(value, list) else []
