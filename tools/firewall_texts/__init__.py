"""Text for training the firewall's model: harmless, harmless with the words of attacks, attacks, and documents with and without
hidden orders. Everything is generated from the grammars beside this file, which were written for this project.

A grammar maps a name to alternatives; `{name}` in an alternative is replaced by one of that name's, `{{` and `}}` are braces.
"""

from __future__ import annotations

import base64
import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

HERE = Path(__file__).resolve().parent
FILES = ("benign.yaml", "attacks.yaml", "jailbreaks.yaml", "documents.yaml")
MAX_DEPTH = 12
_SLOT = re.compile(r"\{\{|\}\}|\{(\w+)\}")


@dataclass(frozen=True)
class Text:
    """A generated text. `attack` is the span of what attacks in it, None where nothing does."""

    text: str
    kind: str
    attack: tuple[int, int] | None = None


class Generator:
    """Draws texts; the same seed draws the same ones. Every other poisoned document is made of `carriers`, where there are any."""

    def __init__(self, seed: int, carriers: Sequence[str] = ()) -> None:
        self.random, self._carriers = random.Random(seed), carriers
        self.rules: dict[str, list[str]] = {}
        for file in FILES:
            self.rules |= yaml.safe_load((HERE / file).read_text("utf-8"))
        said = " ".join(text for texts in self.rules.values() for text in texts)
        self.vocabulary = sorted(set(re.findall(r"[^\W\d_]{2,}", _SLOT.sub(" ", said))))

    def one(self, name: str, depth: int = 0) -> str:
        """One text of the grammar's `name`."""
        said = self.random.choice(self.rules[name])

        def replace(found: re.Match[str]) -> str:
            if found.group(1) is None:
                return found.group()[0]
            return self.one(found.group(1), depth + 1) if depth < MAX_DEPTH else found.group(1)

        return re.sub(r" {2,}", " ", _SLOT.sub(replace, said)).strip()

    def varied(self, text: str) -> str:
        """As people type: with or without capitals and full stops, sometimes with typing errors, sometimes loud."""
        draw = self.random.random()
        if draw < 0.45:
            text = re.sub(r"(^|[.!?] )([a-z])", lambda found: found.group(1) + found.group(2).upper(), text)
        elif draw < 0.5:
            text = text.upper()
        if self.random.random() < 0.35:
            text = text.rstrip(".")
        if self.random.random() < 0.12:
            text = self._mistyped(text)
        return text

    def _mistyped(self, text: str) -> str:
        letters = list(text)
        for _ in range(1 + len(letters) // 60):
            i = self.random.randrange(max(1, len(letters) - 1))
            if letters[i].isalpha() and i + 1 < len(letters):
                letters[i : i + 2] = self.random.choice(
                    [[letters[i + 1], letters[i]], [letters[i]], [letters[i], letters[i], letters[i + 1]]]
                )
        return "".join(letters)

    def benign(self) -> Text:
        """Something harmless; half of it with the words of attacks."""
        kind = "hard" if self.random.random() < 0.5 else "plain"
        return Text(self.varied(self.one(kind)), kind)

    def attack(self) -> Text:
        """An attack by itself, sometimes after something harmless."""
        said = self.varied(self.one("attack"))
        lead = ""
        if self.random.random() < 0.15:
            lead = self.varied(self.one("plain")) + self.random.choice([" ", "\n", "\n\n", ". "])
        return Text(lead + said, "attack", (len(lead), len(lead) + len(said)))

    def jailbreak(self) -> Text:
        """A long text that talks a model out of its rules."""
        said = self.varied(self.one("jailbreak"))
        return Text(said, "jailbreak", (0, len(said)))

    def role(self) -> Text:
        """A long harmless text that gives a model a part to play."""
        return Text(self.varied(self.one("role")), "role")

    def document(self) -> Text:
        """A document that speaks to no assistant."""
        draws = range(self.random.choice([1, 1, 1, 2, 3]))
        parts = [self.listing() if self.random.random() < 0.35 else self.one("document") for _ in draws]
        return Text("\n\n".join(parts), "document")

    def listing(self) -> str:
        """A table or list of names whose words also stand in orders, so that no word by itself tells them apart."""
        mark = self.random.choice([" | ", ", ", "\t", "; ", "  "])
        rows = []
        for _ in range(self.random.randint(3, 14)):
            cells = [self._cell() for _ in range(self.random.randint(2, 6))]
            rows.append(mark.join(cells))
        return "\n".join(rows)

    def _cell(self) -> str:
        if self.random.random() < 0.3:
            return str(self.random.randint(1, 2030))
        words = self.random.choices(self.vocabulary, k=self.random.randint(1, 4))
        return " ".join(word.capitalize() if self.random.random() < 0.6 else word for word in words)

    def _carrier(self) -> str:
        if self._carriers and self.random.random() < 0.5:
            return "\n\n".join(self.random.choices(self._carriers, k=self.random.choice([1, 1, 2, 3])))
        return self.document().text

    def poisoned(self) -> Text:
        """A document with an order to the assistant at the start, at the end, or between two lines or sentences."""
        text = self._carrier()
        order = self.varied(self.one("order"))
        draw = self.random.random()
        if draw < 0.25:
            at = 0
        elif draw < 0.55:
            at = len(text)
        else:
            breaks = [found.end() for found in re.finditer(r"\n+|[.!?] ", text)] or [len(text)]
            at = self.random.choice(breaks)
        before, after = text[:at], text[at:]
        mark = self.random.choice(["\n", "\n\n", " ", " "])
        start = len(before) + (len(mark) if before else 0)
        whole = f"{before}{mark if before else ''}{order}{mark if after else ''}{after}"
        return Text(whole, "poisoned", (start, start + len(order)))


def texts(seed: int, counts: dict[str, int]) -> Iterator[Text]:
    """`counts` texts of each of `benign`, `attack`, `document` and `poisoned`."""
    generator = Generator(seed)
    for kind, count in counts.items():
        for _ in range(count):
            yield getattr(generator, kind)()


def encoded(text: str, how: str) -> str:
    """`text` as evasions write it, for tests and benchmarks."""
    if how == "base64":
        return base64.b64encode(text.encode()).decode()
    if how == "hex":
        return text.encode().hex()
    if how == "spaced":
        return "  ".join(" ".join(word) for word in text.split())
    if how == "zero-width":
        return "\u200b".join(text)
    if how == "tags":
        return "".join(chr(0xE0000 + ord(c)) if c.isascii() else c for c in text)
    return text.translate(str.maketrans("aeiopcxy", "аеіорсху"))
