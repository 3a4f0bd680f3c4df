"""Text for the terminal with every control character made visible, so that no name can move the cursor or change colors."""

from __future__ import annotations


def visible(text: str) -> str:
    """`text` with its lines kept and every other character that is not printable written as an escape."""
    return "\n".join(line if line.isprintable() else "".join(map(_escaped, line)) for line in text.split("\n"))


def _escaped(letter: str) -> str:
    number = ord(letter)
    return letter if letter.isprintable() else f"\\x{number:02x}" if number < 0x100 else f"\\u{number:04x}"
