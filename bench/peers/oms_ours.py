"""Assay's side of `oms.py`, with the same orders; it also runs in the peer's environment, where blake3 is installed."""

import json
import sys
import time
from pathlib import Path

from assay.app.sign import sign_path, verify_path_oms
from assay.evidence.blobs import write_whole
from assay.evidence.keys import load_p256


def main() -> None:
    for line in sys.stdin:
        order = json.loads(line)
        wall, cpu = time.perf_counter(), time.process_time()
        (sign if order["verb"] == "sign" else verify)(order)
        print(json.dumps({"wall_s": time.perf_counter() - wall, "cpu_s": time.process_time() - cpu}), flush=True)


def sign(order: dict[str, str]) -> None:
    key = load_p256(Path(order["key"]), bytes)
    write_whole(Path(order["signature"]), sign_path(Path(order["model"]), key).bundle)


def verify(order: dict[str, str]) -> None:
    assert verify_path_oms(Path(order["model"]), Path(order["signature"]), Path(order["public"])).ok


if __name__ == "__main__":
    main()
