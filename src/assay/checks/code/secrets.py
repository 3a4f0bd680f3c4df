"""Credentials in the text of a tree: code, notebooks with their outputs, configuration, environment files, pictures' notes.

One verdict a file, for the question of this check alone. Clean: every character was searched. Unknown: it holds a credential of high
severity. Inconclusive, with a skip: binary data, or a text on which a bound ended the search.

A finding never holds the value. It names the kind, the public prefix and a keyed fingerprint (HMAC-SHA-256), by which two places with one
secret can be told from two secrets. The key is the option `fingerprint_key` (64 hex digits, kept secret, the same for a workspace); without
it the key is drawn anew in every run, and fingerprints of different runs cannot be compared.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from assay.checks.file_by_file import Looked, file_by_file
from assay.core.assets import Asset, Kind
from assay.core.checks import Context, Family, check
from assay.core.errors import MalformedInput, UsageError
from assay.core.outcomes import Finding, Outcome, Severity, Verdict
from assay.formats.secrets.facts import REFS, REMEDY, SecretFact

MAX_FILE_BYTES = 64 << 20


@check("code.secrets", kinds={Kind.CODE, Kind.INFRASTRUCTURE, Kind.PROMPT}, version=1, family=Family.SCAN, maps_to=REFS[1:],
       defaults={"fingerprint_key": ""})  # fmt: skip
def secrets(asset: Asset, context: Context) -> Iterator[Outcome]:
    """Credentials in code, configuration, notebooks and prompts.

    Yields a verdict for every file, a finding for every credential up to 800, and a skip for what was not searched.

    A `fingerprint_key` that is not 64 hex digits is wrong use, and the check fails.

    Limits: finds shapes it has rules for; a plain word as a password is found only beside a telling name.
    """
    key = _key(str(context.options.get("fingerprint_key", "")))
    yield from file_by_file(asset, context, lambda data, path: _look(data, path, key), max_bytes=MAX_FILE_BYTES)


def _look(data: bytes, path: str, key: bytes | None) -> Looked:
    # Imported where a file is looked at: compiling its tables takes 50 ms, and listing all checks stays instant.
    from assay.formats.secrets.files import format_of, secrets_in_file

    facts: list[SecretFact] = []
    reason = ""
    try:
        for fact in secrets_in_file(data, path, key=key):
            facts.append(fact)
    except MalformedInput as error:
        reason = f"{error.what}: {error.why}"
    is_bad = any(fact.severity.rank >= Severity.HIGH.rank for fact in facts)
    verdict = Verdict.UNKNOWN if is_bad else Verdict.INCONCLUSIVE if reason else Verdict.CLEAN
    return Looked(format_of(data, path) or "binary", verdict, tuple(map(_finding, facts)), reason)


def _finding(fact: SecretFact) -> Finding:
    proof = ", proved by its checksum or structure" if fact.is_proved else ""
    summary = f"{fact.name} {fact.masked}{proof}; fingerprint {fact.fingerprint}"
    return Finding(fact.rule, fact.severity, f"{fact.where}:{fact.line}", summary, REMEDY, REFS)


def _key(given: str) -> bytes | None:
    if not given:
        return None
    if not re.fullmatch(r"[0-9a-fA-F]{64}", given):
        raise UsageError(
            "fingerprint_key is not a key", "64 hex digits are needed", "make one with `openssl rand -hex 32`"
        )
    return bytes.fromhex(given)
