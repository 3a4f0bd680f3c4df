"""What the firewall catches, what it disturbs, and what it costs, beside LLM Guard 0.3.16.

Cross-source: weights are trained here without the files that they are then tested on; thresholds come from calibration text
alone. The shipped weights are trained on those files too, so no figure of the shipped weights on them is printed. Documents
are split by their context: the width of windows was chosen on one half of the contexts, and figures are of the other. BIPIA rows
share contexts, so their intervals come from drawing contexts again (bootstrap); all others are Wilson's, 95 %. The generator's
families of jailbreaks were written after looking at half of spikee's templates, so that figure is one of development.
Time is CPU time of one thread; peer and Assay take turns. How to run:
    .venv/bin/python bench/firewall.py [--texts DIR] [--data DIR] [--seed N] [--held-out DIR] [--no-peer]
(--texts holds the labelled files, by default shared/data/llm beside the checkout; --held-out weights trained before)
"""

from __future__ import annotations

import json
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from claims import HERE, Claim, Unmeasured, child, median, options, scratch, show
from firewall_data import contexts, folder_of, is_held_out, planted, rows, texts
from peers.environment import peer_python

sys.path.insert(0, str(HERE.parent))
from assay.firewall import Firewall, Role, Segment, Source, ready_policy
from assay.formats.text.fold import folded
from assay.formats.text.personal import personal_data_in
from assay.runtime.firewall.model.linear import Linear
from assay.statistics.intervals import share_interval

TESTED_ON = ("bastioncorpus", "spikee_seeds", "yanismiraoui_multilingual_attacks")
PII_KINDS = {
    "CREDIT_CARD": "card",
    "EMAIL_ADDRESS": "email",
    "IBAN_CODE": "iban",
    "US_SSN": "us-ssn",
    "IP_ADDRESS": "ip",
    "PHONE_NUMBER": "phone",
}
PEER = "LLM Guard 0.3.16"


def main() -> int:
    parser = options(__doc__)
    parser.add_argument("--texts", type=Path, help="folder with the labelled texts")
    parser.add_argument("--held-out", type=Path, help="folder with weights that were trained without the tested files")
    parser.add_argument("--no-peer", action="store_true", help="leave LLM Guard out")
    asked = parser.parse_args()
    claims: list[Claim] = []
    notes: list[str] = []
    with scratch(asked.data) as work:
        for part in (
            lambda: detection(folder_of(asked.texts), asked.held_out or work, asked.seed, asked.held_out is None),
            lambda: personal(asked.texts, asked.seed),
            lambda: speed(asked.texts, asked.seed, asked.no_peer),
            size,
        ):
            try:
                said, told = part()
            except Unmeasured as error:
                said, told = [], [f"not measured: {error}"]
            claims += said
            notes += told
    show(claims, notes)
    return 0 if all(claim.met for claim in claims) else 1


def detection(folder: Path, weights: Path, seed: int, is_trained_here: bool) -> tuple[list[Claim], list[str]]:
    """Recall on foreign sources at a threshold set before, and what of harmless text is hit at it."""
    if is_trained_here:
        command = [
            sys.executable,
            HERE.parent / "tools" / "train_firewall.py",
            "--data",
            folder,
            "--output",
            weights,
            "--seed",
            str(seed),
        ]
        done = subprocess.run(
            [*map(str, command), *(part for name in TESTED_ON for part in ("--without", name))], check=False
        )
        if done.returncode:
            raise Unmeasured("training failed; it needs the extra `ml`")
    prompts, documents = (_model(weights, kind) for kind in ("prompts", "documents"))
    plain = texts(folder, "benign_instructions_train")
    plain = random.Random(seed).sample(plain, min(5000, len(plain)))
    attacks = {name: _attacks(folder, name) for name in TESTED_ON}
    hard = [str(row["text"]) for row in rows(folder, "bastioncorpus") if row["label"] == 0]
    claims, notes = [], []
    for what, model, found, target, better in (
        ("recall on yanismiraoui (4 languages)", prompts, attacks["yanismiraoui_multilingual_attacks"], 0.55, "higher"),
        ("recall on bastioncorpus", prompts, attacks["bastioncorpus"], 0.55, "higher"),
        ("recall on spikee jailbreaks (many languages)", prompts, attacks["spikee_seeds"], 0.97, "higher"),
        ("false positives on plain instructions", prompts, plain, 0.02, "lower"),
        ("false positives on hard benign prompts", prompts, hard, 0.05, "lower"),
    ):
        hits = sum(model.score(folded(text)).value >= 0.5 for text in found)
        claims.append(Claim(f"firewall: {what}", hits / len(found), "share", target, better))
        notes.append(f"{what}: {hits} of {len(found)}, {_range(hits, len(found))}")
    told, said = _documents(folder, documents, seed)
    return claims + told, [*notes, *said, *_by_language(folder, prompts)]


def _documents(folder: Path, model: Linear, seed: int) -> tuple[list[Claim], list[str]]:
    """Orders hidden in documents, on the contexts that nobody looked at: at the threshold set before, and at 5 % false positives."""
    found = rows(folder, "bipia_indirect_train")
    scored = [
        (context, row["label"] == 1, model.score(folded(str(row["text"]))))
        for row, context in zip(found, contexts(found), strict=True)
        if is_held_out(context)
    ]
    clean = [(context, score) for context, is_injected, score in scored if not is_injected]
    injected = [(context, score) for context, is_injected, score in scored if is_injected]
    limit = sorted(score.raw for _, score in clean)[int(0.95 * len(clean))]
    claims, notes = [], []
    for what, hits, target, better in (
        ("false positives on clean documents (BIPIA)", [(c, s.value >= 0.5) for c, s in clean], 0.05, "lower"),
        ("recall on injected documents (BIPIA), threshold fixed before", [(c, s.value >= 0.5) for c, s in injected], 0.60, "higher"),
        ("recall on injected documents at 5 % false positives", [(c, s.raw > limit) for c, s in injected], 0.60, "higher"),
    ):  # fmt: skip
        share = sum(hit for _, hit in hits) / len(hits)
        claims.append(Claim(f"firewall: {what}", share, "share", target, better))
        low, high = _drawn_again(hits, seed)
        count = len({context for context, _ in hits})
        notes.append(f"{what}: {share:.3f} of {len(hits)} rows of {count} contexts, {low:.3f} to {high:.3f}")
    return claims, notes


def _drawn_again(hits: Sequence[tuple[str, bool]], seed: int) -> tuple[float, float]:
    """The middle 95 % of shares when whole contexts are drawn again 2,000 times."""
    by_context: dict[str, list[bool]] = {}
    for context, hit in hits:
        by_context.setdefault(context, []).append(hit)
    sums = [(sum(found), len(found)) for found in by_context.values()]
    rng = random.Random(seed)
    shares = []
    for _ in range(2000):
        drawn = rng.choices(sums, k=len(sums))
        shares.append(sum(hit for hit, _ in drawn) / sum(count for _, count in drawn))
    shares.sort()
    return shares[49], shares[1949]


def _by_language(folder: Path, model: Linear) -> Iterator[str]:
    """Recall by language, where a file says which."""
    found: dict[str, list[bool]] = {}
    for row in rows(folder, "bastioncorpus"):
        if row["label"] == 1:
            found.setdefault(str(row["lang"]), []).append(model.score(folded(str(row["text"]))).value >= 0.5)
    for language, hits in sorted(found.items()):
        yield f"bastioncorpus, {language}: {sum(hits)} of {len(hits)}"
    templates = {
        str(row["text"]): str(row["id"]) for row in rows(folder, "spikee_seeds") if row["label"] == "jailbreaks"
    }
    for what, is_meant in (("English", False), ("Zulu, Irish, Gaelic and Albanian", True)):
        told = [t for t, name in templates.items() if name.endswith(("-zu", "-ga", "-gd", "-sq")) is is_meant]
        caught = sum(model.score(folded(text)).value >= 0.5 for text in told)
        yield f"spikee jailbreaks, {what}: {caught} of {len(told)}, {_range(caught, len(told))}"


def _attacks(folder: Path, name: str) -> list[str]:
    wanted = "jailbreaks" if name == "spikee_seeds" else 1
    return sorted(set(texts(folder, name, label=wanted)))


def _model(folder: Path, kind: str) -> Linear:
    said = json.loads((folder / "card.json").read_text("utf-8"))["models"][kind]
    data = (folder / said["file"]).read_bytes()
    return Linear(
        data, said["scale"], said["bias"], said["thresholds"], said["slope"], said["window"], said["contrast"]
    )


def personal(folder: Path | None, seed: int) -> tuple[list[Claim], list[str]]:
    """Recall and precision with exact spans, on made texts and on those of presidio-research."""
    made = [(case.text, set(case.spans)) for case in planted(seed, 3000)]
    claims, notes = _spans("made values", made)
    try:
        foreign = [
            (
                str(row["full_text"]),
                {(PII_KINDS[s["type"]], s["start"], s["end"]) for s in row["spans"] if s["type"] in PII_KINDS},
            )  # type: ignore[index, attr-defined]
            for row in rows(folder_of(folder), "pii_synth_v2")
        ]
        more, told = _spans("presidio-research (development data)", foreign)
        return claims + more, notes + told
    except Unmeasured as error:
        return claims, [*notes, str(error)]


def _spans(what: str, cases: Sequence[tuple[str, set[tuple[str, int, int]]]]) -> tuple[list[Claim], list[str]]:
    right = wanted = told = 0
    for text, spans in cases:
        found = {(item.kind, item.start, item.end) for item in personal_data_in(text)}
        right, wanted, told = right + len(found & spans), wanted + len(spans), told + len(found)
    claims = [
        Claim(f"firewall: personal data, recall, {what}", right / wanted, "share", 0.97, "higher"),
        Claim(f"firewall: personal data, precision, {what}", right / told, "share", 0.95, "higher"),
    ]
    return claims, [f"{what}: recall {_range(right, wanted)} of {wanted}, precision {_range(right, told)} of {told}"]


def _range(hits: int, count: int) -> str:
    found = share_interval(hits, count)
    return f"{found.low:.3f} to {found.high:.3f}"


def speed(folder: Path | None, seed: int, no_peer: bool) -> tuple[list[Claim], list[str]]:
    """CPU time a text of the whole light tier as the standard policy runs it on what people type."""
    short, long = _joined(folder, seed, 300, 1000), _joined(folder, seed, 8192, 300)
    firewall = Firewall(ready_policy())

    def check(text: str) -> object:
        return firewall.check(Segment(text, Role.USER, Source.USER))

    rounds = [timed(check, short) for _ in range(5)]
    p50, p99 = (median([found[i] for found in rounds]) for i in (0, 1))
    long_p99 = median([timed(check, long)[1] for _ in range(3)])
    peer, why = (None, "left out") if no_peer else _llm_guard(short[:200])
    claims = [
        Claim(
            "firewall: light tier, 300 characters, CPU p50",
            p50,
            "us",
            150,
            peer=PEER,
            peer_value=peer[0] if peer else None,
            why=why,
        ),
        Claim(
            "firewall: light tier, 300 characters, CPU p99",
            p99,
            "us",
            1000,
            peer=PEER,
            peer_value=peer[1] if peer else None,
            why=why,
        ),
        Claim("firewall: light tier, 8 KB, CPU p99", long_p99, "us", 5000),
        Claim(
            "firewall: texts of 300 characters a CPU second",
            1e6 / median([found[2] for found in rounds]),
            "1/s",
            5000,
            "higher",
        ),
        Claim("firewall: import in a fresh interpreter", median([_import_s() for _ in range(5)]), "s", 0.5),
    ]
    return claims, []


def timed(work: Callable[[str], object], items: Sequence[str]) -> tuple[float, float, float]:
    """Median, 99th percentile and mean of the CPU microseconds of one item."""
    took = []
    for item in items:
        start = time.thread_time_ns()
        work(item)
        took.append((time.thread_time_ns() - start) / 1000)
    took.sort()
    return took[len(took) // 2], took[int(len(took) * 0.99)], sum(took) / len(took)


def _joined(folder: Path | None, seed: int, chars: int, count: int) -> list[str]:
    try:
        source = texts(folder_of(folder), "benign_instructions_train")
    except Unmeasured:
        source = [case.text for case in planted(seed, 500)]
    rng = random.Random(seed)
    return [" ".join(rng.choices(source, k=chars // 20 + 2))[:chars] for _ in range(count)]


def _import_s() -> float:
    code = (
        "import time; a = time.process_time(); import assay.firewall, sys, json;"
        "assert 'numpy' not in sys.modules; print(json.dumps(time.process_time() - a))"
    )
    return float(child([sys.executable, "-c", code]))


def _llm_guard(items: Sequence[str]) -> tuple[tuple[float, float] | None, str]:
    """CPU p50 and p99 of LLM Guard's pipeline of four scanners that run offline, or why not."""
    try:
        found = child(
            [peer_python("llm-guard", "0.3.16"), HERE / "peers" / "llm_guard_speed.py", json.dumps(list(items))],
            timeout_s=900,
        )
        return (found["p50_us"], found["p99_us"]), ""
    except (Unmeasured, OSError, subprocess.TimeoutExpired) as error:
        return None, f"peer not measured: {str(error)[:120]}"


def size() -> tuple[list[Claim], list[str]]:
    """What the weights and their card add to the package."""
    folder = HERE.parent / "src" / "assay" / "runtime" / "firewall"
    total = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    return [Claim("firewall: size of the firewall in the package", total / 1e6, "MB", 2)], []


if __name__ == "__main__":
    sys.exit(main())
