"""Shell lines: downloads that go straight into an interpreter."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from assay.formats.code import rules
from assay.formats.code.facts import Problem, problem

_FETCH = re.compile(r"\b(?:curl|wget|fetch|iwr|invoke-webrequest|aria2c)\b", re.IGNORECASE)
_PIPE = re.compile(
    r"\|\s{0,9}(?:sudo\s{1,4}(?:-\w{1,4}\s{1,4})?)?(?:env\s{1,4})?(?:/(?:usr/)?bin/)?(?:ba|z|da|k|a)?(?:sh|python3?|perl|ruby|node|iex)\b"
)
_NESTED = re.compile(
    r"(?:\b(?:ba|z|da)?sh\s{1,4}(?:-c\s{1,4})?|\beval\s{1,4}|\bsource\s{1,4}|\.\s{1,4}|\bpython3?\s{1,4}-c\s{1,4})[\"']?(?:<\(|\$\(|`)\s{0,9}(?:curl|wget)\b"
)
_INSECURE = re.compile(
    r"\b(?:curl\b[^|;&\n]{0,200}\s(?:-k|--insecure)\b|wget\b[^|;&\n]{0,200}--no-check-certificate|pip3?\s{1,4}install\b[^|;&\n]{0,200}--trusted-host)"
)
MAX_LINE = 1_000_000


def shell_problems(lines: Iterable[tuple[int, str]]) -> Iterator[Problem]:
    """Problems of numbered lines; a line that goes on after a backslash should be joined before."""
    for number, line in lines:
        if _NESTED.search(line) or ((fetch := _FETCH.search(line)) and _PIPE.search(line, fetch.end())):
            yield problem(rules.DOWNLOAD_PIPE, rules.DOWNLOAD_PIPE.title, number)
        if _INSECURE.search(line):
            yield problem(rules.NO_TLS, f"{rules.NO_TLS.title}: in a shell command", number)


def joined_lines(text: str) -> Iterator[tuple[int, str]]:
    """Numbered lines without comments; those that end in a backslash are joined to the next."""
    start, held = 1, ""
    for number, line in enumerate(text.split("\n"), 1):
        if not held:
            start = number
        if line.lstrip().startswith("#"):
            continue
        if line.rstrip().endswith("\\") and len(held) < MAX_LINE:
            held += line.rstrip()[:-1] + " "
            continue
        yield start, held + line
        held = ""
    if held:
        yield start, held
