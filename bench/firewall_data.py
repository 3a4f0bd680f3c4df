"""Texts for the benchmark of the firewall: labelled files of a data folder, and personal data made from a seed.

Made values have valid check digits, stand in contexts of their own, and have look-alikes that fail one rule each.
"""

from __future__ import annotations

import json
import random
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from assay.formats.text.checksums import is_iban, is_luhn
from assay.formats.yaml_strict import load_yaml
from claims import HERE, Unmeasured

sys.path.insert(0, str(HERE.parent / "tools"))
from train_firewall import readmes


@dataclass(frozen=True)
class Planted:
    """A text and the exact spans of personal data in it: (kind, start, end)."""

    text: str
    spans: frozenset[tuple[str, int, int]]


def folder_of(stated: Path | None) -> Path:
    """The folder with the labelled files.

    Raises:
        Unmeasured: it is not there.
    """
    folder = stated or HERE.parent.parent / "shared" / "data" / "llm"
    if not folder.is_dir():
        raise Unmeasured(f"there is no folder {folder.name} with labelled texts; pass --texts DIR")
    return folder


def rows(folder: Path, name: str) -> list[dict[str, object]]:
    """The rows of one file."""
    return [json.loads(line) for line in (folder / f"{name}.jsonl").read_text("utf-8").splitlines()]


def texts(folder: Path, name: str, **wanted: object) -> list[str]:
    """The texts of the rows whose fields are as `wanted`."""
    return [
        str(row["text"]) for row in rows(folder, name) if all(row.get(key) == value for key, value in wanted.items())
    ]


def package_prose(seed: int, count: int) -> list[str]:
    """Paragraphs of what installed packages tell of themselves, of those packages that nothing was trained or calibrated on.

    Harmless prose full of orders to the reader.
    """
    found = readmes("test")
    return random.Random(seed).sample(found, min(count, len(found)))


def harmless_requests(*, is_hard: bool) -> list[str]:
    """Requests written by hand for this benchmark: in English with the words of attacks, or plain ones in 13 other languages."""
    said = load_yaml((HERE / "harmless_prompts.yaml").read_bytes(), "harmless_prompts.yaml")
    return [text for name, given in said.items() if (name == "hard") is is_hard for text in given]


def contexts(found: list[dict[str, object]]) -> list[str]:
    """For each row of injected and clean documents the context it was made from, told by how the clean document begins or ends."""
    plain = [re.sub(r"\W+", " ", str(row["text"]).lower()).strip() for row in found]
    begins: dict[str, str] = {}
    ends: dict[str, str] = {}
    for text, row in zip(plain, found, strict=True):
        if row["label"] == 0:
            ends.setdefault(text[-60:], begins.setdefault(text[:60], text))
    return [begins.get(text[:60]) or ends.get(text[-60:]) or text for text in plain]


def is_held_out(context: str) -> bool:
    """Whether a context is of the half that nobody looked at when windows were chosen."""
    return int(sha256(context.encode()).hexdigest(), 16) % 2 == 1


def planted(seed: int, count: int) -> Iterator[Planted]:
    """Texts with one value of a kind each, with a look-alike, or with both."""
    rng = random.Random(seed)
    kinds = list(_VALUES)
    for i in range(count):
        kind = kinds[i % len(kinds)]
        lead, tail = rng.choice(_CONTEXTS[kind]), rng.choice(_TAILS)
        if i // len(kinds) % 3 == 2:
            yield Planted(f"{lead.replace(_SLOT, _look_alike(rng))}{tail}", frozenset())
            continue
        value = _VALUES[kind](rng)
        start = lead.index(_SLOT)
        yield Planted(f"{lead.replace(_SLOT, value)}{tail}", frozenset([(kind, start, start + len(value))]))


def _digits(rng: random.Random, count: int) -> str:
    return "".join(rng.choice("0123456789") for _ in range(count))


def _card(rng: random.Random) -> str:
    prefix, length = rng.choice(
        [
            ("4", 16),
            ("51", 16),
            ("55", 16),
            ("37", 15),
            ("34", 15),
            ("6011", 16),
            ("3530", 16),
            ("36", 14),
            ("2223", 16),
        ]
    )
    body = prefix + _digits(rng, length - len(prefix) - 1)
    number = next(body + d for d in "0123456789" if is_luhn(body + d))
    mark = rng.choice(["", "", " ", "-"])
    return mark.join(number[i : i + 4] for i in range(0, length, 4)) if length == 16 else number


def _iban(rng: random.Random) -> str:
    country, length = rng.choice(
        [("DE", 22), ("FR", 27), ("ES", 24), ("NL", 18), ("GB", 22), ("IT", 27), ("PL", 28), ("CH", 21)]
    )
    inner = _digits(rng, length - 4)
    if country in ("NL", "GB"):
        inner = "ABNA" + inner[4:]
    if country == "IT":
        inner = "X" + inner[1:]
    number = next(f"{country}{check:02d}{inner}" for check in range(2, 99) if is_iban(f"{country}{check:02d}{inner}"))
    return " ".join(number[i : i + 4] for i in range(0, length, 4)) if rng.random() < 0.5 else number


def _ssn(rng: random.Random) -> str:
    area = rng.choice([n for n in range(1, 900) if n != 666])
    return f"{area:03d}-{rng.randint(1, 99):02d}-{rng.randint(1, 9999):04d}"


def _email(rng: random.Random) -> str:
    name = rng.choice(["ana.lopez", "j_smith", "kofi+news", "mei-ling", "o.brien99", "x"])
    return f"{name}@{rng.choice(['mail', 'post.corp', 'uni-x', 'a1'])}.{rng.choice(['com', 'org', 'co.uk', 'de', 'museum', 'io'])}"


def _phone(rng: random.Random) -> str:
    a, b, c = rng.randint(201, 989), rng.randint(200, 999), rng.randint(1000, 9998)
    return rng.choice(
        [
            f"+1 {a}-{b}-{c}",
            f"({a}) {b}-{c}",
            f"{a}-{b}-{c}",
            f"{a}.{b}.{c}",
            f"+44 20 {c} {rng.randint(1000, 9998)}",
            f"+49 30 {rng.randint(100000, 998987)}",
            f"+33 1 {_pairs(rng, 4)}",
            f"0{rng.randint(1, 6)} {_pairs(rng, 4)}",
            f"020 {c} {rng.randint(1000, 9998)}",
            f"+91 {rng.randint(70000, 99998)} {rng.randint(10000, 99998)}",
            f"+86 138 {c} {rng.randint(1000, 9998)}",
            f"0{rng.randint(151, 179)} {rng.randint(1000000, 9999899)}",
        ]
    )


def _pairs(rng: random.Random, count: int) -> str:
    return " ".join(f"{rng.randint(10, 98)}" for _ in range(count))


def _ip(rng: random.Random) -> str:
    if rng.random() < 0.7:
        return ".".join(str(rng.randint(1, 254)) for _ in range(4))
    return (
        ":".join(f"{rng.randint(4096, 65535):x}" for _ in range(8))
        if rng.random() < 0.5
        else f"2001:db8::{rng.randint(4096, 65535):x}:{rng.randint(1, 9999):x}"
    )


def _look_alike(rng: random.Random) -> str:
    n = rng.randint(1000, 9999)
    return rng.choice(
        [
            f"2024-0{rng.randint(1, 9)}-1{rng.randint(0, 9)}",
            f"v{rng.randint(1, 9)}.{rng.randint(0, 20)}.{rng.randint(0, 20)}",
            f"${n},{rng.randint(100, 999)}.00",
            f"{n} items",
            f"12:{rng.randint(10, 59)}:{rng.randint(10, 59)}",
            f"id-{n}-{n}-{rng.randint(10, 99)}ab",
            f"{rng.randint(0, 9)}.{_digits(rng, 9)}",
            "user at example dot com",
            f"#{n}{n}",
            f"{rng.randint(1, 9)} {rng.randint(100, 999)} 000 dollars",
            f"{n}x{n}",
            f"ISBN 978-0-{n}-{n}-{rng.randint(0, 9)}",
            f"256.{rng.randint(300, 999)}.1.1",
            f"000-{rng.randint(10, 99)}-{n}",
        ]
    )


_SLOT = "\0"
_VALUES: dict[str, Callable[[random.Random], str]] = {
    "card": _card,
    "iban": _iban,
    "us-ssn": _ssn,
    "email": _email,
    "phone": _phone,
    "ip": _ip,
}
_CONTEXTS = {
    "card": ["I paid with \0", "charge \0", "the number on the front reads \0", "Karte \0", '{"pan": "\0"'],
    "iban": ["transfer it to \0", "IBAN: \0", "Konto \0", "account \0"],
    "us-ssn": ["SSN \0", "her social is \0", "taxpayer \0", "on the form: \0"],
    "email": ["write to \0", "<\0>", "contact=\0", "From: Ana (\0)", "mailto:\0"],
    "phone": ["call \0", "you reach me at \0", "Tel. \0", "my new mobile is \0", "fax: \0", "Office \0"],
    "ip": ["from \0", "the server \0", "blocked address \0", "ping \0", "client_ip=\0"],
}
_TAILS = [" please.", "\nthanks", ", ok?", " and tell me when it is done", "", " (urgent)", "; next line"]
