"""Structure that no writer makes and no broken download explains: a key twice, counts beyond any file, offsets behind the end.

A reader that trusts such a field reads or writes outside of its memory, or sees another file than the next reader does. So this
is not merely malformed: the file was made to break a reader, or is damaged in a way that does the same.
Source: CVE-2024-21802 and CVE-2024-23496 (GGUF counts and sizes), CVE-2024-23605 (GGUF arrays); CWE-1284, CWE-190, CWE-436;
Trail of Bits, "Audit of the Safetensors Library", 2023 (duplicate keys, overlapping tensors, polyglots).
"""

from __future__ import annotations

from assay.core.errors import MalformedInput
from assay.formats.facts import Fact


class Impossible(MalformedInput):
    """A field that says what the file cannot hold, or what another field contradicts."""


def broken_fact(error: MalformedInput, member: str = "", at: int | None = None) -> Fact:
    """What a reader that gave up tells: the kind that it gives as its reason, `impossible` for such a field, else `malformed`."""
    kind = error.reason or ("impossible" if isinstance(error, Impossible) else "malformed")
    return Fact(kind, member[:200], at, (f"{error.what}: {error.why}"[:300],))
