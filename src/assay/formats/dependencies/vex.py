"""What VEX documents say of a vulnerability in a product: the newest claim that applies counts.

Signed statements carry OpenVEX; a CycloneDX document is turned into it before somebody signs. Whether a statement may count
(signature, role) was decided before it comes here.
Source: OpenVEX specification 0.2.0, sections "Statement" and "Product"; CycloneDX 1.7, `vulnerabilities` and `analysis.state`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from assay.core.canonical import Json
from assay.core.digests import Digest
from assay.core.errors import MalformedInput
from assay.formats.dependencies.ecosystems import normalised
from assay.formats.dependencies.purl import PackageUrl, read_purl
from assay.formats.dependencies.values import Dependency
from assay.formats.dependencies.versions import same_version

VEX_TYPE = "https://openvex.dev/ns"
SETTLING = ("not_affected", "fixed")
STATUSES = (*SETTLING, "affected", "under_investigation")
OPENVEX_CONTEXT = "https://openvex.dev/ns/v0.2.0"
_STATUS_OF = {
    "not_affected": "not_affected", "false_positive": "not_affected", "resolved": "fixed", "resolved_with_pedigree": "fixed",
    "exploitable": "affected", "in_triage": "under_investigation",
}  # fmt: skip


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


def openvex_of(document: Json, where: str) -> Json:
    """An OpenVEX document, from OpenVEX or CycloneDX in JSON; whoever signs it says exactly this.

    Raises:
        MalformedInput: neither of the two, or an entry without vulnerability or with a status that does not exist, or none at all.
    """
    if isinstance(document, dict) and document.get("bomFormat") == "CycloneDX":
        entries = _list(document.get("vulnerabilities"))
        refs = _refs(document.get("components"))
        found = [_from_cyclonedx(item, refs, where) for item in entries]
        made: Json = {"@context": OPENVEX_CONTEXT, "statements": found}
    elif isinstance(document, dict) and str(document.get("@context", "")).startswith(VEX_TYPE):
        made = document
    else:
        raise MalformedInput(f"{where} is no VEX document", "neither OpenVEX nor CycloneDX in JSON")
    listed = made.get("statements")
    claims = list(claims_in(made, "", ""))
    if not claims or not isinstance(listed, list) or len(claims) != len(listed):
        said = len(listed) if isinstance(listed, list) else 0
        raise MalformedInput(f"{where} cannot be used", f"{said - len(claims) if claims else 'all'} of {said} entries name no "
                             "vulnerability or no status that exists")  # fmt: skip
    return made


def _from_cyclonedx(item: Json, refs: Mapping[str, str], where: str) -> Json:
    said = item if isinstance(item, dict) else {}
    analysis = said.get("analysis")
    state = analysis.get("state") if isinstance(analysis, dict) else None
    if not isinstance(state, str) or state not in _STATUS_OF:
        raise MalformedInput(
            f"{where} cannot be used", f"{str(said.get('id'))[:80]!r} has no analysis with a state that exists"
        )
    targets = [one.get("ref") for one in _list(said.get("affects")) if isinstance(one, dict)]
    unknown = [ref for ref in targets if refs.get(str(ref), ref) == ref and read_purl(ref) is None]
    if unknown:  # without its package the claim would cover everything
        raise MalformedInput(
            f"{where} cannot be used",
            f"it affects {str(unknown[0])[:80]!r}, which is no package URL and no component here",
        )
    aliases = [
        one["id"] for one in _list(said.get("references")) if isinstance(one, dict) and isinstance(one.get("id"), str)
    ]
    made: dict[str, Json] = {
        "vulnerability": {"name": said.get("id"), "aliases": aliases},
        "status": _STATUS_OF[state],
        "products": [{"@id": refs.get(str(ref), ref)} for ref in targets],
    }
    detail = analysis.get("detail") if isinstance(analysis, dict) else None
    return made | ({"impact_statement": detail} if isinstance(detail, str) else {})


def _refs(components: Json) -> dict[str, str]:
    """Package URLs by the reference under which a bill speaks of them."""
    return {
        one["bom-ref"]: one["purl"]
        for one in _list(components)
        if isinstance(one, dict) and isinstance(one.get("bom-ref"), str) and isinstance(one.get("purl"), str)
    }


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
