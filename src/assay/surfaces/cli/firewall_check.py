"""`assay firewall check`: JSON lines in, one verdict a line out.

    {"id": 1, "text": "...", "role": "user", "source": "document"}
    {"id": 1, "action": "block", "score": 0.98, "findings": [{"scanner", "rule", "start", "end", "score", "action", "refs"}], ...}

A line that cannot be understood gets an answer too, with `error` and no action; it counts as undecided. Fields beyond these
are left alone. `text` stands in an answer where something was redacted; `undecided` where a scanner did not run, with why.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import BinaryIO, Final

from assay.core.canonical import Json, parse
from assay.core.errors import AssayError, MalformedInput
from assay.runtime.firewall.firewall import Firewall
from assay.runtime.firewall.values import Action, Role, Segment, Source, Verdict

MAX_LINE_BYTES: Final = 4 << 20
_SOURCE_OF = {
    Role.SYSTEM: Source.OPERATOR,
    Role.USER: Source.USER,
    Role.ASSISTANT: Source.OUTPUT,
    Role.TOOL: Source.TOOL,
}
_ROLE_OF = {Source.OPERATOR: Role.SYSTEM, Source.OUTPUT: Role.ASSISTANT, Source.TOOL: Role.TOOL}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of `check`."""
    group = parser.add_argument_group("check")
    group.add_argument("--route", metavar="NAME", default="default", help="the route of the policy; default `default`")


def check(firewall: Firewall, route: str, lines: BinaryIO, note: Callable[[str], None]) -> int:
    """Answers every line; 1 if any text was not simply allowed, else 3 if anything stayed undecided, else 0."""
    has_findings = is_undecided = False
    number = 0
    for number, line in enumerate(_lines(lines), 1):
        answer, verdict = _answer(firewall, route, number, line)
        print(
            json.dumps(answer, ensure_ascii=False).encode("utf-8", "backslashreplace").decode(),
            flush=sys.stdout.isatty(),
        )
        is_undecided = is_undecided or verdict is None or bool(verdict.reason)
        has_findings = has_findings or (verdict is not None and bool(verdict.hits))
    if number == 0:
        note('no text came, so nothing was checked; one JSON object a line is read, such as {"text": "..."}')
    return 1 if has_findings else 3 if is_undecided else 0


def _lines(file: BinaryIO) -> Iterator[bytes]:
    """Lines that hold something; of one that is too long the first bytes, which no reader takes for whole."""
    while line := file.readline(MAX_LINE_BYTES + 1):
        if len(line) > MAX_LINE_BYTES:
            while (rest := file.readline(MAX_LINE_BYTES)) and not rest.endswith(b"\n"):
                pass
        if line.strip():
            yield line


def _answer(firewall: Firewall, route: str, number: int, line: bytes) -> tuple[Json, Verdict | None]:
    name: Json = None
    try:
        value = parse(line, what=f"line {number}", max_bytes=MAX_LINE_BYTES, max_depth=8)
        name = value.get("id") if isinstance(value, dict) else None
        verdict = firewall.check(_segment(value, number), route)
    except AssayError as error:
        return {"id": name, "line": number, "error": {"code": error.code, "what": error.what, "why": error.why}}, None
    return _said(name if name is not None else number, verdict), verdict


def _segment(value: Json, number: int) -> Segment:
    if not isinstance(value, dict) or not isinstance(value.get("text"), str):
        raise MalformedInput(f"line {number} holds no text", 'expected an object such as {"id": 1, "text": "..."}')
    role, source = (_word(value, number, name, of) for name, of in (("role", Role), ("source", Source)))
    if role is None:
        role = _ROLE_OF.get(Source(source), Role.USER) if source else Role.USER
    return Segment(value["text"], Role(role), Source(source) if source else _SOURCE_OF[Role(role)])


def _word(value: Mapping[str, Json], number: int, name: str, known: type[Role] | type[Source]) -> str | None:
    said = value.get(name)
    if said is not None and said not in list(known):
        raise MalformedInput(f"line {number}: {name} {str(said)[:40]!r} is unknown", f"known: {', '.join(known)}")
    return said


def _said(name: Json, verdict: Verdict) -> Json:
    findings = [
        {"scanner": hit.scanner, "rule": hit.rule, "start": hit.start, "end": hit.end, "score": round(hit.score, 6),
         "action": str(hit.action), "refs": list(hit.refs)}
        for hit in verdict.hits
    ]  # fmt: skip
    said: dict[str, Json] = {
        "id": name,
        "action": str(verdict.action),
        "score": round(verdict.score, 6),
        "findings": findings,
    }
    if verdict.proposed is not verdict.action:
        said["proposed"] = str(verdict.proposed)
    if verdict.action is Action.REDACT:
        said["text"] = verdict.text
    if verdict.undecided:
        said["undecided"] = [{"scanner": r.name, "state": str(r.state), "why": r.why} for r in verdict.undecided]
    return said
