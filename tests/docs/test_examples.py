"""The worked examples do what their page says, on the real data where they are there."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DATA = ROOT.parent / "shared" / "data" / "evaluation"
EXAMPLES = ROOT / "examples"


def run(folder: Path, words: list[str], expected: int) -> str:
    environment = os.environ | {"ASSAY_STATE": str(folder / "state"), "PYTHONWARNINGS": "ignore"}
    done = subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == expected, (words, done.stdout, done.stderr)
    return done.stdout


@pytest.mark.skipif(not (DATA / "stsa.binary.train").exists(), reason="the reviews are not beside the checkout")
def test_a_worse_judge_of_reviews_is_refused_by_the_rows_that_it_lost(tmp_path: Path) -> None:
    shutil.copytree(EXAMPLES / "texts", folder := tmp_path / "texts")
    assay = [sys.executable, "-m", "assay.surfaces.cli.main"]

    def train(share: str) -> list[str]:
        return [sys.executable, "train.py", str(DATA), "build/sentiment", "3", "--keep", share]

    run(folder, [*assay, "init", "--no-passphrase"], 0)
    run(folder, [sys.executable, "train.py", str(DATA), "build/first", "3"], 0)
    run(folder, [*assay, "register", "reviews-train", "reviews-test", "training"], 0)
    run(folder, [*assay, "train", "--produces", "sentiment=build/sentiment", "--", *train("1.0")], 0)
    run(folder, [*assay, "check", "sentiment"], 0)
    assert "ALLOW" in run(folder, [*assay, "promote", "sentiment", "--to", "production"], 0)
    run(folder, [*assay, "train", "--produces", "sentiment=build/sentiment", "--", *train("0.3")], 0)
    run(folder, [*assay, "check", "sentiment"], 0)
    said = run(folder, [*assay, "gate", "sentiment", "--to", "production"], 1)
    assert "DENY" in said and "accuracy-kept" in said and "lost" in said


@pytest.mark.skipif(
    not (DATA / "mnist-t10k-images-idx3-ubyte.gz").exists(), reason="the digits are not beside the checkout"
)
def test_a_reader_of_digits_is_attacked_through_its_gradients(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    shutil.copytree(EXAMPLES / "images", folder := tmp_path / "images")
    text = (
        (folder / "assay.yaml")
        .read_text("utf-8")
        .replace("rows: 300", "rows: 40")
        .replace("queries: 200", "queries: 40")
    )
    (folder / "assay.yaml").write_text(text, "utf-8")
    assay = [sys.executable, "-m", "assay.surfaces.cli.main"]
    run(folder, [*assay, "init", "--no-passphrase"], 0)
    run(folder, [sys.executable, "train.py", str(DATA), "build/digits", "1"], 0)
    run(folder, [*assay, "register"], 0)
    said = run(folder, [*assay, "check", "digits"], 0)
    assert "evasion.robust_accuracy" in said and "corruptions.accuracy" in said
    assert "evasion.robust_accuracy" in run(folder, [*assay, "gate", "digits", "--to", "production"], 1)
