"""Dockerfiles as instructions: continuation lines joined, comments and the escape directive honoured, heredocs kept with their RUN.

Source: Docker documentation, "Dockerfile reference".
"""

from __future__ import annotations

import json
import re
import shlex
from dataclasses import dataclass

from assay.core.errors import MalformedInput

MAX_LINES = 20_000
_HEREDOC = re.compile(r"<<-?\s{0,3}[\"']?([A-Za-z_]\w{0,40})[\"']?")
_KNOWN = frozenset(
    [
        "FROM",
        "RUN",
        "CMD",
        "LABEL",
        "MAINTAINER",
        "EXPOSE",
        "ENV",
        "ADD",
        "COPY",
        "ENTRYPOINT",
        "VOLUME",
        "USER",
        "WORKDIR",
        "ARG",
        "ONBUILD",
        "STOPSIGNAL",
        "HEALTHCHECK",
        "SHELL",
    ]
)


@dataclass(frozen=True)
class Instruction:
    """One instruction: its keyword in capitals and the rest as one line."""

    keyword: str
    rest: str
    line: int

    def words(self) -> list[str]:
        """The words of the exec form or the shell form, flags such as `--mount` left out."""
        rest = re.sub(r"^(--\w[\w-]*(=\S*)?\s+)+", "", self.rest)
        if rest.startswith("["):
            try:
                value = json.loads(rest)
                return [str(word) for word in value] if isinstance(value, list) else []
            except ValueError:
                pass
        try:
            return shlex.split(rest)
        except ValueError:
            return rest.split()


def instructions_of(text: str) -> tuple[Instruction, ...]:
    """All instructions.

    Raises:
        MalformedInput: a line that begins with no known instruction, no FROM, or too many lines.
    """
    lines = text.replace("\r\n", "\n").split("\n")
    if len(lines) > MAX_LINES:
        raise MalformedInput("Dockerfile is too long", f"{len(lines)} lines, at most {MAX_LINES}")
    escape = "`" if re.match(r"#\s*escape\s*=\s*`", lines[0], re.IGNORECASE) else "\\"
    found: list[Instruction] = []
    at = 0
    while at < len(lines):
        start, held, at = at, *_logical(lines, at, escape)
        if held.strip():
            found.append(_instruction(held.strip(), start + 1))
    if not any(one.keyword == "FROM" for one in found):
        raise MalformedInput("Dockerfile cannot be read", "there is no FROM in it")
    return tuple(found)


def _logical(lines: list[str], at: int, escape: str) -> tuple[str, int]:
    """One instruction with its continuations and heredocs, and where the next begins."""
    held = ""
    while at < len(lines):
        line = lines[at]
        at += 1
        if line.lstrip().startswith("#") or (held and not line.strip()):
            continue
        if line.rstrip().endswith(escape):
            held += line.rstrip()[:-1] + " "
            continue
        held += line
        break
    for mark in _HEREDOC.findall(held) if held.lstrip()[:4].upper() in ("RUN ", "COPY", "ADD ") else ():
        while at < len(lines):
            at += 1
            if lines[at - 1].strip() == mark:
                break
            held += "\n" + lines[at - 1]
    return held, at


def _instruction(text: str, line: int) -> Instruction:
    keyword, _, rest = text.partition(" ")
    if keyword.upper() not in _KNOWN:
        raise MalformedInput("Dockerfile cannot be read", f"line {line}: {keyword[:40]!r} is no instruction")
    if keyword.upper() == "ONBUILD":
        return _instruction(rest.strip(), line)
    return Instruction(keyword.upper(), rest.strip(), line)
