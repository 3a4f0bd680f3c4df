"""The reference tool as a process that answers: one JSON order a line in, wall and CPU seconds out.

Runs in the peer's own environment, so it imports nothing of ours. An order is
`{"verb": "sign" or "verify", "model", "key", "public", "signature", "method": "files" or "shards", "algorithm"}`.
"""

import json
import sys
import time

from model_signing import hashing, signing, verifying

SHARD_BYTES = 64 << 20


def main() -> None:
    for line in sys.stdin:
        order = json.loads(line)
        wall, cpu = time.perf_counter(), time.process_time()
        (sign if order["verb"] == "sign" else verify)(order)
        print(json.dumps({"wall_s": time.perf_counter() - wall, "cpu_s": time.process_time() - cpu}), flush=True)


def sign(order: dict[str, str]) -> None:
    config = signing.Config().use_elliptic_key_signer(private_key=order["key"]).set_hashing_config(how(order))
    config.sign(order["model"], order["signature"])


def verify(order: dict[str, str]) -> None:
    config = verifying.Config().use_elliptic_key_verifier(public_key=order["public"]).set_hashing_config(how(order))
    config.verify(order["model"], order["signature"])


def how(order: dict[str, str]) -> hashing.Config:
    if order["method"] == "files":
        return hashing.Config().use_file_serialization(hashing_algorithm=order["algorithm"])
    return hashing.Config().use_shard_serialization(hashing_algorithm=order["algorithm"], shard_size=SHARD_BYTES)


if __name__ == "__main__":
    main()
