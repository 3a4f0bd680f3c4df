"""Trains the firewall's linear models and writes them with their card.

    python tools/train_firewall.py --data FOLDER                    writes src/assay/runtime/firewall/model/
    python tools/train_firewall.py --data FOLDER --without spikee_seeds --output OTHER      for measurement

Only files whose licence is clear are read, and text that the generator beside this script draws. Two models come out:
`prompts` for what people type, `documents` for what an assistant reads, where any order to it is an attack.
Thresholds are set on benign text that was not trained on, for each number of windows.
"""

from __future__ import annotations

import argparse
import ast
import hashlib
import json
import random
import re
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from importlib.metadata import Distribution, distributions
from pathlib import Path
from pydoc_data.topics import topics
from typing import Any

import numpy as np
import sklearn
from firewall_texts import Generator, Text
from scipy.sparse import csr_matrix
from sklearn.linear_model import LogisticRegression

from assay.formats.text.fold import folded
from assay.runtime.firewall.model import features
from assay.runtime.firewall.model.linear import BUCKETS, Linear, bucket_of, window_starts

HERE = Path(__file__).resolve().parent
TARGET = HERE.parent / "src" / "assay" / "runtime" / "firewall" / "model"
LICENCES = {"slabs_train": "MIT", "slabs_validation": "MIT", "yanismiraoui_multilingual_attacks": "Apache-2.0", "bastioncorpus": "MIT",
            "spikee_seeds": "Apache-2.0", "pii_synth_v2": "MIT"}  # fmt: skip
COUNTS = {"benign": 14_000, "role": 3_000, "attack": 14_000, "jailbreak": 7_000, "document": 2_500, "poisoned": 5_000}
FPR = {"prompts": 0.008, "documents": 0.12}
WINDOW = {
    "prompts": 64,
    "documents": 12,
}  # words of a window to learn from; an order in a document is a sentence or two
LOOKED_AT = {"prompts": 64, "documents": 6}  # words of a window when scoring; a few words already tell an order
USED = {
    "benign": {"prompts": 1.0},
    "role": {"prompts": 1.0},
    "attack": {"prompts": 1.0, "documents": 0.5},
    "jailbreak": {"prompts": 1.0},
    "document": {"prompts": 0.3, "documents": 1.0},
    "poisoned": {"documents": 1.0},
}
CONTRAST = {"prompts": 0.0, "documents": 0.5}
STRENGTHS = {"prompts": 4.0, "documents": 0.5}  # inverse of the penalty
LIBRARY_DOCS = 1_500
PARTS = {"train": (0, 1), "calibrate": (2,), "test": (3,)}  # of packages, by the digest of their names
FREE, COPYLEFT = re.compile("MIT|BSD|Apache|ISC|PSF|Unlicense"), re.compile("GPL|General Public|MPL|Mozilla")
_SENTENCE = re.compile(r"(?<=[.!?:]) |\n+")
features.word_of = lru_cache(maxsize=400_000)(features.word_of)  # words repeat in training


@dataclass
class Rows:
    """Windows as features, with labels, weights and where they are from."""

    features: list[Counter[int]] = field(default_factory=list)
    words: list[int] = field(default_factory=list)
    labels: list[int] = field(default_factory=list)
    weights: list[float] = field(default_factory=list)

    def add(self, tokens: Sequence[str], label: int, weight: float = 1.0) -> None:
        found, words = features.features_of(tokens)
        if words:
            self.features.append(Counter(found))
            self.words.append(words)
            self.labels.append(label)
            self.weights.append(weight)

    def matrix(self) -> csr_matrix:
        ends = np.cumsum([0, *(len(row) for row in self.features)])
        columns = np.fromiter((i for row in self.features for i in row), np.int32, ends[-1])
        values = np.fromiter(
            (n / words**0.5 for row, words in zip(self.features, self.words, strict=True) for n in row.values()),
            np.float32,
            ends[-1],
        )
        return csr_matrix((values, columns, ends), shape=(len(self.features), 1 << features.BITS))


def rows_of(data: Path, name: str) -> Iterator[tuple[str, int]]:
    """Texts and labels of one file; 1 is an attack."""
    for line in (data / f"{name}.jsonl").read_text("utf-8").splitlines():
        row = json.loads(line)
        if name == "spikee_seeds":
            if row["label"] != "instructions":
                yield row["text"], int(row["label"] == "jailbreaks")
        elif name == "pii_synth_v2":
            yield row["full_text"], 0
        else:
            yield row["text"], int(row["label"])


def normal(text: str) -> str:
    return re.sub(r"\W+", " ", folded(text)).strip()


def library_docs(part: str) -> list[str]:
    """Docstrings and reference texts that come with Python and scikit-learn; a tenth of the modules is kept for calibration."""
    texts: dict[str, str] = {}
    for name, text in topics.items():
        for i, piece in enumerate(re.split(r"\n{2,}", text)):
            texts[f"topics.{name}.{i // 3}"] = texts.get(f"topics.{name}.{i // 3}", "") + piece + "\n\n"
    for root in (Path(json.__file__).parents[1], Path(sklearn.__file__).parent):
        for path in sorted(root.rglob("*.py")):
            if not {"test", "tests", "site-packages", "idle_test"} & set(path.parts[len(root.parts) :]):
                texts |= {f"{path.relative_to(root)}:{n}": text for n, text in enumerate(_docstrings(path))}
    wanted = [
        text
        for name, text in sorted(texts.items())
        if (hash_of(name.partition(":")[0]) % 10 == 0) == (part == "calibrate")
    ]
    return random.Random(0).sample(wanted, min(LIBRARY_DOCS, len(wanted)))


def readmes(part: str) -> list[str]:
    """Paragraphs in which installed packages of a free licence tell of themselves: full of orders to the reader, none to a model.

    `part` is `train`, `calibrate` or `test`; a package is in one of them.
    """
    found: set[str] = set()
    for package in distributions():
        told, licence = package.metadata.get_payload(), licence_of(package)
        is_free = FREE.search(licence) and not COPYLEFT.search(licence)
        is_other = package.name.lower() != "assay"  # whose own words change with each commit
        if isinstance(told, str) and is_free and is_other and hash_of(package.name.lower()) % 4 in PARTS[part]:
            pieces = re.split(r"\n\s*\n", told)
            found.update(piece.strip() for piece in pieces if 150 < len(piece) < 1500 and "  " not in piece)
    return sorted(found)


def bundled_texts() -> dict[str, str]:
    """For the card: which texts of libraries are read, and the digest of these texts, as versions differ."""
    read = "\0".join([*library_docs("train"), *readmes("train")])
    said = f"docstrings and topics of Python {sys.version.split()[0]} (PSF-2.0), scikit-learn {sklearn.__version__} (BSD-3-Clause)"
    return {
        "texts": f"{said}; READMEs of installed packages under MIT, BSD, Apache, ISC, PSF or Unlicense",
        "sha256": hashlib.sha256(read.encode()).hexdigest(),
    }


def licence_of(package: Distribution) -> str:
    """What a package says of its licence, in a line."""
    said = [package.metadata.get("License-Expression") or "", (package.metadata.get("License") or "")[:60]]
    return " ".join([*said, *(line for line in package.metadata.get_all("Classifier") or [] if "License" in line)])


def _docstrings(path: Path) -> list[str]:
    try:
        nodes = ast.walk(ast.parse(path.read_text("utf-8", "replace")))
        return [
            d
            for n in nodes
            if isinstance(n, (ast.Module, ast.ClassDef, ast.FunctionDef)) and len(d := ast.get_docstring(n) or "") > 60
        ]
    except (SyntaxError, ValueError, RecursionError):
        return []


def hash_of(text: str) -> int:
    return int(hashlib.sha256(text.encode()).hexdigest()[:8], 16)


def windows(text: str, width: int) -> Iterator[list[str]]:
    """The windows of a text, as scoring cuts them."""
    tokens = features.tokens_of(folded(text))
    words = [i for i, token in enumerate(tokens) if not features.is_stop(token)]
    for start in window_starts(len(words), width) if words else ():
        last = min(start + width, len(words)) - 1
        yield tokens[words[start] : words[last] + 1]


def labelled_windows(text: Text, width: int) -> Iterator[tuple[list[str], int]]:
    """The windows of a generated text; those that hold most of an attack are attacks, those that touch one are left out."""
    if text.attack is None:
        yield from ((tokens, 0) for tokens in windows(text.text, width))
        return
    start, end = text.attack
    before, said = (features.tokens_of(folded(part)) for part in (text.text[:start], text.text[start:end]))
    all_tokens = features.tokens_of(folded(text.text))
    words = [i for i, token in enumerate(all_tokens) if not features.is_stop(token)]
    first = sum(not features.is_stop(token) for token in before)
    last = first + sum(not features.is_stop(token) for token in said)
    for at in window_starts(len(words), width) if words else ():
        upto = min(at + width, len(words))
        held = max(0, min(upto, last) - max(at, first))
        if held == 0 or held >= 0.6 * min(last - first, width):
            yield all_tokens[words[at] : words[upto - 1] + 1], int(held > 0)


def training_rows(data: Path, names: Sequence[str], seed: int, seen: set[str]) -> dict[str, Rows]:
    rows = {"prompts": Rows(), "documents": Rows()}
    for name in names:
        weight = 4.0 if name == "bastioncorpus" else 1.0
        for text, label in rows_of(data, name):
            if normal(text) in seen or name == "slabs_validation":
                continue
            seen.add(normal(text))
            for kind in ("prompts", "documents") if label or name == "pii_synth_v2" else ("prompts",):
                for tokens in windows(text, WINDOW[kind]):
                    rows[kind].add(tokens, label, weight)
    docs, prose = library_docs("train"), readmes("train")
    for texts, heavy in ((docs, 1.0), (prose, 2.0)):
        for kind, weight in (("prompts", 0.3), ("documents", heavy)):
            for tokens in (tokens for text in texts for tokens in windows(text, WINDOW[kind])):
                rows[kind].add(tokens, 0, weight)
    generator = Generator(seed, [*docs, *prose])
    for kind, count in COUNTS.items():
        for _ in range(count):
            text = getattr(generator, kind)()
            if kind == "benign" and normal(text.text) in seen:
                continue
            seen.add(normal(text.text))
            for model, weight in USED[kind].items():
                for tokens, label in labelled_windows(text, WINDOW[model]):
                    rows[model].add(tokens, label, weight)
    return rows


def fit(rows: Rows, strength: float, seed: int) -> tuple[np.ndarray, float]:
    model = LogisticRegression(C=strength, class_weight="balanced", max_iter=300, random_state=seed)
    model.fit(rows.matrix(), np.array(rows.labels), sample_weight=np.array(rows.weights))
    return model.coef_[0], float(model.intercept_[0])


def quantised(weights: np.ndarray) -> tuple[bytes, float]:
    """Signed bytes and their unit; the largest hundredth of a percent is cut so that the rest keeps its digits."""
    scale = float(np.quantile(np.abs(weights[weights != 0]), 0.9995)) / 127
    return np.clip(np.rint(weights / scale), -127, 127).astype(np.int8).tobytes(), scale


def calibration_texts(data: Path, kind: str, seed: int, seen: set[str]) -> Iterator[str]:
    """Benign text of every length that was not trained on."""
    generator, rng = Generator(seed + 1000), random.Random(seed + 1)
    draw = generator.benign if kind == "prompts" else generator.document
    texts = [draw().text for _ in range(6000 if kind == "prompts" else 1500)]
    if kind == "prompts":
        texts = [text for text in texts if normal(text) not in seen][:3000]
        texts += [text for text, label in rows_of(data, "slabs_validation") if not label]
    else:
        texts += library_docs("calibrate") + readmes("calibrate")
        yield from (rng.choice(_SENTENCE.split(text)) for text in texts)
    yield from texts
    for pieces in (8, 14, 24, 40, 90):
        for _ in range(150):
            yield "\n".join(rng.choices(texts, k=pieces))


def thresholds(model: Linear, texts: Sequence[str], fpr: float) -> list[float]:
    """The score that `fpr` of the texts with as many windows exceed; never lower for more windows."""
    scores: list[list[float]] = [[] for _ in range(len(BUCKETS) + 1)]
    for text in texts:
        found = model.score(folded(text))
        scores[bucket_of(found.windows)].append(found.raw)
    levels = [float(np.quantile(found, 1 - fpr)) if len(found) >= 50 else -np.inf for found in scores]
    return np.maximum.accumulate(levels).tolist()


def train(data: Path, names: Sequence[str], seed: int, output: Path, strengths: dict[str, float]) -> dict[str, Any]:
    """Trains both models and writes weights and card into `output`."""
    output.mkdir(parents=True, exist_ok=True)
    seen: set[str] = set()
    rows = training_rows(data, names, seed, seen)
    card: dict[str, Any] = {
        "schema": "assay/firewall-model/v1", "seed": seed, "licence": "Apache-2.0", "generated": COUNTS, "buckets": list(BUCKETS),
        "trained_on": [bundled_texts()],
        "calibrated_on": "generated benign text of another seed, slabs_validation (benign rows), docstrings of other modules,"
        " READMEs of other packages, single sentences of these documents", "models": {},
    }  # fmt: skip
    for name in names:
        content = (data / f"{name}.jsonl").read_bytes()
        card["trained_on"].append(
            {
                "file": f"{name}.jsonl",
                "licence": LICENCES[name],
                "rows": content.count(b"\n"),
                "sha256": hashlib.sha256(content).hexdigest(),
            }
        )
    for file in (
        "firewall_texts/attacks.yaml",
        "firewall_texts/benign.yaml",
        "firewall_texts/jailbreaks.yaml",
        "firewall_texts/documents.yaml",
        "firewall_texts/__init__.py",
    ):
        card["trained_on"].append(
            {
                "file": f"tools/{file}",
                "licence": "Apache-2.0",
                "sha256": hashlib.sha256((HERE / file).read_bytes()).hexdigest(),
            }
        )
    for kind, found in rows.items():
        weights, bias = fit(found, strengths[kind], seed)
        packed, scale = quantised(weights)
        texts = list(calibration_texts(data, kind, seed, seen))
        levels = thresholds(
            Linear(packed, scale, bias, [0.0] * 4, 1.0, LOOKED_AT[kind], CONTRAST[kind]), texts, FPR[kind]
        )
        (output / f"{kind}.bin").write_bytes(packed)
        card["models"][kind] = {
            "file": f"{kind}.bin", "sha256": hashlib.sha256(packed).hexdigest(), "scale": scale, "bias": bias, "thresholds": levels, "slope": 1.0,
            "window": LOOKED_AT[kind], "window_trained": WINDOW[kind],
            "contrast": CONTRAST[kind], "rows": len(found.labels), "attacks": sum(found.labels), "strength": strengths[kind],
            "calibration_texts": len(texts), "false_positive_rate": FPR[kind],
        }  # fmt: skip
        print(
            f"{kind}: {len(found.labels)} windows, thresholds {[round(level, 2) for level in levels]}", file=sys.stderr
        )
    for file in ("features.py", "concepts.yaml"):
        card[file] = hashlib.sha256((TARGET / file).read_bytes()).hexdigest()
    (output / "card.json").write_text(json.dumps(card, indent=1) + "\n", encoding="utf-8")
    return card


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--data", type=Path, required=True, help="folder with the files that LICENCES names, as JSON lines"
    )
    parser.add_argument(
        "--without", action="append", default=[], metavar="FILE", help="leave a file out, so that it can be tested on"
    )
    parser.add_argument("--output", type=Path, default=TARGET)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--strength",
        type=float,
        nargs=2,
        default=tuple(STRENGTHS.values()),
        help="inverse of the penalty, for prompts and documents",
    )
    options = parser.parse_args()
    names = [name for name in LICENCES if name not in options.without]
    train(
        options.data,
        names,
        options.seed,
        options.output,
        dict(zip(STRENGTHS, options.strength, strict=True)),
    )


if __name__ == "__main__":
    main()
