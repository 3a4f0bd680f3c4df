"""Trains a bag-of-words classifier of film reviews and writes it with skops, with the reviews that it was and was not trained on.

usage: train.py FOLDER_WITH_REVIEWS OUT STRENGTH [--keep SHARE]

FOLDER_WITH_REVIEWS holds stsa.binary.train and stsa.binary.test: a label (0 or 1), a blank and a review on each line.
"""

import argparse
import json
from pathlib import Path

import skops.io
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline


def reviews(path: Path) -> tuple[list[str], list[int]]:
    lines = path.read_text("utf-8", "replace").splitlines()
    return [line[2:] for line in lines], [int(line[0]) for line in lines]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("strength", type=float)
    parser.add_argument("--keep", type=float, default=1.0, help="share of the training reviews to use")
    asked = parser.parse_args()
    texts, labels = reviews(asked.data / "stsa.binary.train")
    kept = int(len(texts) * asked.keep)
    model = make_pipeline(
        TfidfVectorizer(sublinear_tf=True, min_df=2), LogisticRegression(C=asked.strength, max_iter=1000)
    )
    model.fit(texts[:kept], labels[:kept])
    asked.out.mkdir(parents=True, exist_ok=True)
    skops.io.dump(model, asked.out / "reviews.skops")
    held_out = reviews(asked.data / "stsa.binary.test")
    data = Path("data")
    data.mkdir(exist_ok=True)
    for name, (said, meant) in (("train", (texts, labels)), ("test", held_out)):
        lines = (json.dumps({"review": text, "label": label}) for text, label in zip(said, meant, strict=True))
        (data / f"{name}.jsonl").write_text("\n".join(lines) + "\n", "utf-8")
    print(f"{kept} reviews, accuracy on {len(held_out[0])} others {model.score(*held_out):.3f}")


main()
