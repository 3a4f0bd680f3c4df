"""Inputs of the speed table: a torch zip and a safetensors file of one size, and small pickles; all of them are clean."""

from __future__ import annotations

import json
import os
import pickle
import struct
import zipfile
from pathlib import Path


def _text(text: str) -> bytes:
    return b"X" + struct.pack("<I", len(text)) + text.encode()


def _number(number: int) -> bytes:
    return b"J" + struct.pack("<i", number)


def large_torch(path: Path, size: int) -> Path:
    """A checkpoint of one tensor, as torch lays it out; loads with `weights_only=True`."""
    state = (
        b"\x80\x02ccollections\nOrderedDict\n)R"
        + _text("w")
        + b"ctorch._utils\n_rebuild_tensor_v2\n(("
        + _text("storage")
    )
    state += (
        b"ctorch\nFloatStorage\n" + _text("0") + _text("cpu") + _number(size // 4) + b"tQK\x00" + _number(size // 4)
    )
    state += b"\x85K\x01\x85\x89ccollections\nOrderedDict\n)RtRs."
    block = os.urandom(1 << 20)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr("big/data.pkl", state)
        archive.writestr("big/byteorder", "little")
        archive.writestr("big/version", "3\n")
        with archive.open("big/data/0", "w", force_zip64=True) as member:
            for _ in range(size >> 20):
                member.write(block)
    return path


def large_safetensors(path: Path, size: int) -> Path:
    """One tensor of the size."""
    header = json.dumps({"w": {"dtype": "F32", "shape": [size // 4], "data_offsets": [0, size]}}).encode()
    header += b" " * (-len(header) % 8)
    block = os.urandom(1 << 20)
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(header)) + header)
        for _ in range(size >> 20):
            file.write(block)
    return path


def small_pickles(folder: Path, count: int) -> Path:
    """Pickles of plain values."""
    folder.mkdir()
    for number in range(count):
        row = {"id": number, "weights": [number / 7, 0.5, -1.0], "name": f"linear-{number}"}
        (folder / f"{number:04}.pkl").write_bytes(pickle.dumps(row, 4))
    return folder
