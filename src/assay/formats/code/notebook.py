"""Jupyter notebooks: their code cells as Python, their magics and shell lines set apart, their outputs as text.

A line `%magic` or `!command` becomes `pass`, so line numbers stay; `%%bash` and its like make a whole cell no Python.
Source: nbformat 4.5 schema; IPython documentation, "Built-in magic commands".
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass

from assay.core.canonical import Json
from assay.core.errors import MalformedInput

MAX_NOTEBOOK_BYTES = 64 << 20
_KEEPS_PYTHON = frozenset(
    {
        "time",
        "timeit",
        "capture",
        "prun",
        "memit",
        "mprun",
        "python",
        "python3",
        "px",
        "heat",
        "skip",
        "snakeviz",
        "debug",
    }
)
_LINE_MAGIC = re.compile(r"([ \t]*)([%!?].*|[\w.]+\?{1,2}[ \t]*)$")
_ASSIGNED_MAGIC = re.compile(r"([ \t]*[\w.,\[\] ]{1,80}=[ \t]*)([!%](?![=%]).*)$")


@dataclass(frozen=True)
class Cell:
    """One cell. `python` is "" where it holds none; `shell` are its shell lines with their line numbers."""

    number: int
    kind: str
    text: str
    python: str
    shell: tuple[tuple[int, str], ...]
    outputs: str


def cells_of(data: bytes) -> tuple[Cell, ...]:
    """All cells, numbered from 1.

    Raises:
        MalformedInput: no notebook of format 3 or 4, or too large or deep.
    """
    if len(data) > MAX_NOTEBOOK_BYTES:
        raise MalformedInput("notebook is too large", f"{len(data)} bytes, at most {MAX_NOTEBOOK_BYTES} are read")
    try:
        value = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise MalformedInput("notebook cannot be read", str(error)[:200]) from error
    cells = _list_of_cells(value)
    is_python = _language(value) in ("", "python", "ipython", "python3", "xpython")
    return tuple(_cell(number, cell, is_python) for number, cell in enumerate(cells, 1))


def _list_of_cells(value: Json) -> list[Json]:
    if isinstance(value, dict) and isinstance(value.get("cells"), list):
        return list(value["cells"])
    if isinstance(value, dict) and isinstance(value.get("worksheets"), list):
        return [cell for sheet in value["worksheets"] if isinstance(sheet, dict) for cell in _list_of_cells(sheet)]
    raise MalformedInput("notebook cannot be read", "it has no list of cells")


def _language(value: Json) -> str:
    found = value
    for key in ("metadata", "language_info", "name"):
        found = found.get(key, {}) if isinstance(found, dict) else {}
    return found.lower() if isinstance(found, str) else ""


def _cell(number: int, cell: Json, is_python: bool) -> Cell:
    if not isinstance(cell, dict):
        raise MalformedInput("notebook cannot be read", f"cell {number} is no object")
    kind = str(cell.get("cell_type", ""))
    text = _joined(cell.get("source", cell.get("input", "")))
    outputs = "\n".join(_texts(cell.get("outputs", [])))
    if kind != "code" or not is_python:
        return Cell(number, kind, text, "", (), outputs)
    python, shell = _split(text)
    return Cell(number, kind, text, python, shell, outputs)


def _joined(source: Json) -> str:
    return "".join(str(line) for line in source) if isinstance(source, list) else str(source)


def _texts(value: Json) -> Iterator[str]:
    """Every string of the outputs, images and other base64 aside."""
    waiting = [value]
    while waiting:
        item = waiting.pop()
        if isinstance(item, str):
            yield item
        elif isinstance(item, list):
            if all(isinstance(part, str) for part in item):
                yield "".join(item)
            else:
                waiting += reversed(item)
        elif isinstance(item, dict):
            waiting += [
                part for key, part in item.items() if not str(key).startswith(("image/", "application/pdf", "video/"))
            ]


def _split(text: str) -> tuple[str, tuple[tuple[int, str], ...]]:
    """Python with every magic replaced, and the shell lines."""
    lines = text.splitlines()
    first = next((n for n, line in enumerate(lines) if line.strip()), 0)
    if lines and lines[first].lstrip().startswith("%%"):
        name = lines[first].lstrip()[2:].split()[0] if lines[first].strip() != "%%" else ""
        if name == "writefile" and lines[first].rstrip().endswith(".py"):
            return "\n".join(["", *lines[first + 1 :]]), ()
        if name not in _KEEPS_PYTHON:
            is_shell = name in ("bash", "sh", "script", "!", "system", "sx")
            return "", tuple(enumerate(lines[first + 1 :], first + 2)) if is_shell else ()
        lines[first] = ""
    shell: list[tuple[int, str]] = []
    python = [_python_line(number, line, shell) for number, line in enumerate(lines, 1)]
    return "\n".join(python), tuple(shell)


def _python_line(number: int, line: str, shell: list[tuple[int, str]]) -> str:
    if found := _LINE_MAGIC.match(line):
        if found.group(2).startswith("!"):
            shell.append((number, found.group(2)[1:]))
        return f"{found.group(1)}pass"
    if found := _ASSIGNED_MAGIC.match(line):
        shell.append((number, found.group(2)[1:]))
        return f"{found.group(1)}None"
    return line
