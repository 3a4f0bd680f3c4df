"""Text from bytes, and which language its name tells."""

from __future__ import annotations

import codecs
import re

MAX_TEXT_BYTES = 64 << 20
_CONTROLS = re.compile(r"[\x00-\x08\x0e-\x1a\x1c-\x1f]")
_LANGUAGES = {
    "shell": ("sh", "bash", "zsh", "fish", "ksh", "ps1", "bat", "cmd", "mk", "makefile"),
    "C or C++": ("c", "h", "cc", "cpp", "cxx", "hpp", "cu", "cuh", "m", "mm"), "JavaScript": ("js", "mjs", "cjs", "ts", "tsx", "jsx", "vue"),
    "Cython": ("pyx", "pxd", "pxi"), "R": ("r", "rmd"), "Julia": ("jl",), "Rust": ("rs",), "Go": ("go",), "Java or Kotlin": ("java", "kt", "scala", "groovy"),
    "Ruby": ("rb",), "PHP": ("php",), "Perl": ("pl", "pm"), "Lua": ("lua",), "Swift": ("swift",), "C#": ("cs",), "Fortran": ("f", "f90", "pyf"),
    "SQL": ("sql",),
}  # fmt: skip
_BY_ENDING = {ending: language for language, endings in _LANGUAGES.items() for ending in endings}


def decoded_text(data: bytes) -> str | None:
    """The text of a file, None for binary data: UTF-8, UTF-16 with its mark, else one byte a character without controls."""
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        try:
            return data.decode("utf-16")
        except UnicodeDecodeError:
            return None
    if b"\x00" in data:
        return None
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        text = data.decode("latin-1")
        return (
            None
            if len(_CONTROLS.findall(text[:100_000]))
            or sum(c > "\x7f" for c in text[:100_000]) * 3 > len(text[:100_000])
            else text
        )
    return None if len(_CONTROLS.findall(text[:100_000])) * 100 > len(text[:100_000]) else text


def language_of(path: str, text: str) -> str:
    """The programming language that a name or first line tells; "python", "" for data and prose."""
    name = path.rpartition("/")[2].lower()
    ending = name.rpartition(".")[2] if "." in name else name
    first = text[:200].split("\n", 1)[0]
    if (
        ending in ("py", "pyw", "pyi")
        or name in ("sconstruct", "sconscript", "wscript")
        or (first.startswith("#!") and "python" in first)
    ):
        return "python"
    if first.startswith("#!"):
        return "shell"
    return _BY_ENDING.get(ending, "")
