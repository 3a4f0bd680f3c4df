"""Container images by name: whether the name is bound to bytes, and whether it is a server with known vulnerabilities."""

from __future__ import annotations

import re

from assay.core.outcomes import Severity
from assay.formats.code.facts import problem
from assay.formats.configuration import rules
from assay.formats.configuration.versions import Judgement, judge_version, product_of_image

_IMAGE = re.compile(
    r"(?P<repository>[a-zA-Z0-9.-]{1,253}(?::\d{1,5})?(?:/[a-zA-Z0-9._-]{1,128}){0,8}|[a-zA-Z0-9._-]{1,128})(?::(?P<tag>[\w][\w.-]{0,127}))?(?:@(?P<digest>sha256:[0-9a-f]{64}))?"
)
_MOVING = frozenset({"", "latest", "main", "master", "nightly", "dev", "edge", "stable", "test", "cuda", "gpu"})


def judge_image(reference: str, line: int) -> Judgement:
    """How an image is named. A name with a variable in it cannot be judged and is said to be so."""
    if reference.lower() == "scratch":
        return Judgement()
    found = _IMAGE.fullmatch(reference)
    if not found:
        return Judgement((), f"line {line}: the image name {reference[:60]!r} is not understood")
    repository, tag, digest = found["repository"].removeprefix("docker.io/"), found["tag"] or "", found["digest"]
    product = product_of_image(repository)
    known = judge_version(product, tag, line) if product and not (digest and not tag) else Judgement()
    if product and digest and not tag:
        known = Judgement(
            (), f"line {line}: the digest of {repository} does not tell its version, so it may be vulnerable"
        )
    if digest:
        return known
    moving = tag in _MOVING
    text = f"{reference[:120]} has {'no fixed tag' if moving else 'a tag but no digest'}"
    pinned = problem(rules.UNPINNED_IMAGE, text, line, Severity.MEDIUM if moving else Severity.LOW)
    return Judgement((pinned, *known.problems), known.unknown)
