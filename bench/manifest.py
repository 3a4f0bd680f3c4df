"""From bytes to a manifest: the cost beside plain SHA-256 of the same files, and registering again after a small edit.

The limit is a plain hashlib loop (1 MiB `readinto`) over the same files with as many threads, taking turns with ours in
one run. CPU seconds are compared, because wall times move with whatever else the machine does. The files lie in the
page cache: what is measured is the work, not the disk.
How to run: .venv/bin/python bench/manifest.py                                  2 GB in three layouts, about 2 minutes
            .venv/bin/python bench/manifest.py --mb 64 --repeats 3              smoke test
"""

from __future__ import annotations

import argparse
import hashlib
import os
import random
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from assay.app.init import create_workspace
from assay.app.register import Description, register
from assay.app.workspace import Workspace
from assay.core.assets import Kind
from assay.evidence.files import manifest_of
from claims import HERE, Claim, Took, Unmeasured, median, options, scratch, show, took

LAYOUTS = ("one", "many", "mixed")
NOTES_FILE = "NOTES.txt"
MIB = 1 << 20
# Since when a file must have been still before the hash cache remembers it.
STILL_S = 2.2


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--mb", type=int, default=2048, help="size of the folder")
    parser.add_argument("--layout", choices=LAYOUTS, help="one layout only")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--register", action="store_true", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.register:
        again(asked.data)
        return
    claims: list[Claim] = []
    for layout in [asked.layout] if asked.layout else LAYOUTS:
        with scratch(asked.data) as folder:
            files = make_files(folder / "model", layout, asked.mb, asked.seed)
            made = time.perf_counter()
            claims.append(hashing(folder / "model", files, layout, asked.repeats))
            time.sleep(max(0.0, STILL_S - (time.perf_counter() - made)))
            claims += registering(folder, layout, asked.repeats)
    show(claims, [f"{asked.mb} MB a layout, medians of {asked.repeats}, ours and the limit in turns"])


def make_files(folder: Path, layout: str, mb: int, seed: int) -> list[Path]:
    """`one` big file, `many` equal ones, or a few of each; and a small text file that is edited later."""
    total, chosen = mb * MIB, random.Random(seed)
    sizes = {
        "one": [total],
        "many": [total // 1000] * 1000,
        "mixed": [total // 2, *[total // 40] * 10, *[total // 4000] * 1000],
    }[layout]
    block = chosen.randbytes(MIB)
    files = []
    for number, size in enumerate(sizes):
        path = folder / f"part-{number % 10}" / f"{number:04}.bin"
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as file:
            file.write(number.to_bytes(8, "big"))
            for at in range(8, size, MIB):
                file.write(block[: min(MIB, size - at)])
        files.append(path)
    files.append(edit(folder, "first"))
    return files


def edit(folder: Path, text: str) -> Path:
    """Writes 1 KB into the small file."""
    path = folder / NOTES_FILE
    path.write_text((text + "\n").ljust(1024, "."))
    return path


def hashing(folder: Path, files: list[Path], layout: str, repeats: int) -> Claim:
    """CPU of a manifest over CPU of plain hashing, in turns."""
    ours: list[Took] = []
    limit: list[Took] = []
    largest_first = sorted(files, key=lambda file: -file.stat().st_size)
    for number in range(repeats + 1):
        work = [(ours, lambda: manifest_of(folder, Kind.MODEL)), (limit, lambda: plain(largest_first))]
        for kept, one in work if number % 2 else reversed(work):
            measured = took(one)
            if number:  # the first turn warms the page cache
                kept.append(measured)
    mine, plainly = (median([one.cpu_s for one in kept]) for kept in (ours, limit))
    walls = " and ".join(f"{median([one.wall_s for one in kept]):.2f} s" for kept in (ours, limit))
    why = f"ours {mine:.3f} CPU s, limit {plainly:.3f}; wall {walls}"
    return Claim(
        f"manifest: CPU, layout {layout}", mine / plainly, "x SHA-256", 1.05, "lower", "hashlib loop", 1.0, why
    )


def plain(files: list[Path]) -> None:
    """The limit: SHA-256 of every file, as many threads as ours."""
    with ThreadPoolExecutor(min(os.cpu_count() or 1, 8)) as pool:
        list(pool.map(plain_sha256, files))


def plain_sha256(path: Path) -> str:
    """The straightforward loop."""
    hasher, buffer = hashlib.sha256(), bytearray(MIB)
    view = memoryview(buffer)
    with path.open("rb", buffering=0) as file:
        while count := file.readinto(buffer):
            hasher.update(view[:count])
    return hasher.hexdigest()


def registering(folder: Path, layout: str, repeats: int) -> list[Claim]:
    """Registers the folder once, then again and again after an edit of the small file: in a fresh process, and here."""
    with create_workspace(folder / "workspace", state=folder / "state") as workspace:
        first = took(lambda: register(workspace, folder / "model", Description("bench/model", Kind.MODEL)))
    outside, inside = [], []
    command = [sys.executable, str(HERE / "manifest.py"), "--register", "--data", str(folder)]
    for number in range(repeats):
        edit(folder / "model", f"edit {number} from outside")
        outside.append(took(lambda: run(command)).wall_s)
        with Workspace(folder / "workspace", state=folder / "state") as workspace:
            edit(folder / "model", f"edit {number} from inside")
            inside.append(
                took(lambda w=workspace: register(w, folder / "model", Description("bench/model", Kind.MODEL))).wall_s
            )  # type: ignore[misc]
            assert len(workspace.registry.versions("bench/model")) == 2 * number + 3
    why = f"the first time took {first.wall_s:.2f} s"
    name = f"register: again after a 1 KB edit, layout {layout}"
    return [Claim(f"{name}, fresh process", median(outside), "s", 0.3, why=why),
            Claim(f"{name}, same process", median(inside), "s", 0.3)]  # fmt: skip


def again(folder: Path) -> None:
    """What the fresh process does."""
    with Workspace(folder / "workspace", state=folder / "state") as workspace:
        register(workspace, folder / "model", Description("bench/model", Kind.MODEL))


def run(command: list[str]) -> None:
    """Runs a command that must succeed."""
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        raise Unmeasured(done.stderr[-300:])


if __name__ == "__main__":
    main()
