"""Judges one file of a code tree: Python and notebooks by their trees, shell by its lines, all text by its hidden characters."""

from __future__ import annotations

from assay.core.errors import MalformedInput
from assay.formats.code import rules
from assay.formats.code.facts import Judged, Problem, judged, problem
from assay.formats.code.invisible import hidden_characters
from assay.formats.code.media import whole_picture
from assay.formats.code.notebook import Cell, cells_of
from assay.formats.code.shell import joined_lines, shell_problems
from assay.formats.code.source import decode_source, parse_source
from assay.formats.code.texts import decoded_text, language_of
from assay.formats.code.unsafe import problems_in


def judged_code(data: bytes, path: str) -> Judged:
    """What one file of a code tree is, and what is wrong with it."""
    if path.endswith(".ipynb"):
        return _notebook(data)
    text = decoded_text(data)
    is_python = language_of(path, text or data[:200].decode("latin-1")) == "python"
    if is_python:
        return _python(data)
    if text is None:
        if picture := whole_picture(data):
            return judged(picture, ())
        return judged("binary", (), "binary data of a kind that is not read in code; register models as models")
    problems = list(hidden_characters(text, is_code=bool(language_of(path, text))))
    if language_of(path, text) == "shell":
        problems += shell_problems(joined_lines(text))
    return judged(language_of(path, text) or "text", problems)


def _python(data: bytes) -> Judged:
    try:
        text = decode_source(data)
    except MalformedInput as error:
        found = (problem(rules.ODD_ENCODING, error.why, 1),) if "unusual encoding" in error.what else ()
        return judged("python", found, f"{error.what}: {error.why}")
    problems = list(hidden_characters(text, is_code=True))
    try:
        problems += problems_in([parse_source(text)])[0]
    except MalformedInput as error:
        return judged("python", problems, f"{error.what}: {error.why}")
    return judged("python", problems)


def _notebook(data: bytes) -> Judged:
    try:
        cells = cells_of(data)
    except MalformedInput as error:
        return judged("notebook", (), f"{error.what}: {error.why}")
    problems: list[Problem] = []
    trees, numbers, refused = [], [], []
    for cell in cells:
        problems += _text_of(cell)
        if not cell.python.strip():
            continue
        try:
            trees.append(parse_source(cell.python))
            numbers.append(cell.number)
        except MalformedInput as error:
            refused.append(f"cell {cell.number}: {error.what}: {error.why}")
    for number, found in zip(numbers, problems_in(trees), strict=True):
        problems += [one.within(f"cell{number}") for one in found]
    return judged("notebook", problems, "; ".join(refused[:3])[:600])


def _text_of(cell: Cell) -> list[Problem]:
    found = [*hidden_characters(cell.text, is_code=cell.kind == "code"), *shell_problems(cell.shell)]
    return [one.within(f"cell{cell.number}") for one in found]
