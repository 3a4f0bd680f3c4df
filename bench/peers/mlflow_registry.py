"""MLflow's model registry on SQLite, embedded; runs in MLflow's own environment and prints one JSON object.

A round is four durable calls: create a name with its first version, create a second version, tag it, read it back.
MLflow needs a call of its own to create the name, so a round has five requests. Nothing of it is signed or hashed.
How to run: PYTHON_OF_MLFLOW bench/peers/mlflow_registry.py FOLDER --rounds 200 --reads 500
"""

import argparse
import json
import logging
import statistics
import time
from pathlib import Path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="an empty folder for the store")
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--reads", type=int, default=500)
    asked = parser.parse_args()
    asked.folder.mkdir(parents=True)
    start = time.perf_counter()
    from mlflow import MlflowClient

    imported = time.perf_counter()
    for noisy in ("mlflow", "alembic"):
        logging.getLogger(noisy).setLevel(logging.ERROR)
    store = f"sqlite:///{asked.folder.absolute()}/mlflow.db"
    client = MlflowClient(tracking_uri=store, registry_uri=store)
    client.search_registered_models()
    opened = time.perf_counter()
    source = asked.folder / "model"
    source.mkdir()
    for number in range(3):
        round_trip(client, f"warm-{number}", str(source))
    started = time.perf_counter()
    for number in range(asked.rounds):
        round_trip(client, f"model-{number}", str(source))
    ended = time.perf_counter()
    reads = []
    for number in range(asked.reads):
        before = time.perf_counter()
        client.get_model_version(f"model-{number % asked.rounds}", "2")
        reads.append(time.perf_counter() - before)
    print(json.dumps({
        "import_s": imported - start, "first_use_s": opened - imported,
        "rounds_per_s": asked.rounds / (ended - started), "read_p50_ms": statistics.median(reads) * 1e3,
    }))  # fmt: skip


def round_trip(client, name, source):  # type: ignore[no-untyped-def]  # types live in the peer's environment
    client.create_registered_model(name)
    client.create_model_version(name, source)
    client.create_model_version(name, source)
    client.set_model_version_tag(name, "2", "team", "risk")
    version = client.get_model_version(name, "2")
    assert version.tags == {"team": "risk"}


if __name__ == "__main__":
    main()
