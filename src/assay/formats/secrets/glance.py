"""Whether a text may hold a credential at all: literal anchors only, so that most texts cost microseconds and compile no pattern."""

from __future__ import annotations

import re
from functools import cache

from assay.formats.secrets.rules import RULES

NAME_ANCHORS = ("passw", "pwd", "secret", "token", "api_key", "apikey", "api-key", "access_key", "accesskey", "access-key", "private_key",
                "auth_key", "credential", "passphrase", "account_key", "accountkey", "encryption_key", "signing_key", "master_key")  # fmt: skip


URL, NAMES = "url", "names"
SHORTEST = 16  # characters of the shortest credential that has a shape of its own
_IN_EVERY_NAME = ("pass", "pwd", "secret", "token", "key", "credential")


def may_hold_secret(text: str) -> bool:
    """False only where no rule could speak: neither an anchor, nor a name that tells of a secret, nor an address with a password."""
    has_shape = len(text) >= SHORTEST and any(anchor in text for anchor in _anchors())
    return has_shape or ("://" in text and "@" in text) or names_a_secret(text)


def names_a_secret(text: str) -> bool:
    """Whether a name in it tells of a secret, such as `api_key`."""
    lowered = text.lower()
    return any(part in lowered for part in _IN_EVERY_NAME) and any(name in lowered for name in NAME_ANCHORS)


@cache
def _anchors() -> tuple[str, ...]:
    return tuple(anchor for rule in RULES for anchor in rule.anchors)


def occurring(text: str) -> frozenset[str]:
    """The ids of rules whose anchor stands in a text, `URL` where an address does, `NAMES` where a name tells of a secret."""
    found = {rule.id for rule in RULES if any(anchor in text for anchor in rule.anchors)}
    found |= {URL} if "://" in text else set()
    return frozenset(found | ({NAMES} if names_a_secret(text) else set()))


def anchor_patterns() -> list[tuple[str, str]]:
    """The same question as patterns by answer, for whoever asks it of many texts through an automaton."""
    shapes = [(rule.id, "|".join(map(re.escape, rule.anchors))) for rule in RULES]
    return [*shapes, (URL, "://"), (NAMES, "(?i)" + "|".join(map(re.escape, NAME_ANCHORS)))]
