"""Credentials in what readers of model files meet: whole texts, and names with values from headers, properties and pickles.

A fact names the kind of credential, its public prefix and its length, never the value or a fingerprint: facts go into signed
statements, and the same bytes give the same facts.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from assay.core.errors import MalformedInput
from assay.core.outcomes import Severity
from assay.formats.facts import Fact
from assay.formats.secrets.facts import SecretFact
from assay.formats.secrets.glance import SHORTEST, may_hold_secret, names_a_secret

MAX_TOLD = 100


def secrets_in_pairs(pairs: Iterable[tuple[str, str]], where: str) -> list[Fact]:
    """Credentials in named values, such as the keys of a header; `where` says what they belong to."""
    return secrets_in_words("\n".join(f'"{name}": "{value}"' for name, value in pairs), where)


def secrets_in_constants(texts: Iterable[str], where: str) -> list[Fact]:
    """Credentials in constants in order, where a name may stand right before its value, as in a pickled dictionary."""
    texts = list(texts)
    long = "\n".join(text for text in texts if len(text) >= SHORTEST)
    if not (long and may_hold_secret(long)) and not names_a_secret("\n".join(texts)):
        return []
    pairs = zip(["", *texts], texts, strict=False)
    lines = [f'"{name}": "{text}"' if len(name) < 64 and names_a_secret(name) else text for name, text in pairs]
    return secrets_in_words("\n".join(lines), where)


def secrets_in_words(text: str, where: str) -> list[Fact]:
    """Credentials in one text."""
    if not may_hold_secret(text):
        return []
    # NOTE: late, since the rules are compiled on import, and most files hold no text that could be a credential.
    from assay.formats.secrets.engine import secrets_in

    return list(_told(secrets_in(text, where), where))


def secrets_in_text_file(data: bytes, path: str) -> list[Fact]:
    """Credentials in a file of text, notebooks cell by cell with their outputs."""
    if not may_hold_secret(data.decode("utf-8", "replace")):
        return []
    from assay.formats.secrets.files import secrets_in_file

    return list(_told(secrets_in_file(data, path), ""))


def _told(found: Iterator[SecretFact], where: str) -> Iterator[Fact]:
    """Facts about what is severe; a bound that ended the search is a fact too, because the rest was not looked at."""
    told = 0
    try:
        for one in found:
            if one.severity.rank >= Severity.HIGH.rank and (told := told + 1) <= MAX_TOLD:
                place = (
                    where or (one.where.partition("!")[2] and f"{one.where.partition('!')[2]}, ") + f"line {one.line}"
                )
                yield Fact("secret", "", None, (f"{place}: {one.name} {one.masked}",))
    except MalformedInput as error:
        yield Fact("limit", "", None, (f"{error.what}: {error.why}"[:300],))
