"""Attack files that are drawn: a drawn stream, in drawn containers, forged in a drawn way, under a drawn name.

`composed(count, seed)` gives files and what is to be expected of them; `plain(count, seed)` gives benign twins made by the
same draws without payload and forgery. Nobody chose the cases, so they say more of the readers than those written by hand.
Sources: CVE-2025-10156, GHSA-w8jq (zip fields), CVE-2025-1889 (extensions), arXiv 2508.19774 (containers); APPNOTE 6.3.10.
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from random import Random

from tests.corpus.model_file.attacks import Case, gguf, npy_of_objects, tensors, zipped
from tests.corpus.model_file.composed_streams import Writer, drawn_stream
from tests.corpus.model_file.seven_zip import COPY, LZMA, LZMA2, seven_zip

NAMES = (
    "m.pkl",
    "m.pt",
    "m.bin",
    "m.ckpt",
    "m.joblib",
    "m.dat",
    "model",
    "m.txt",
    "m.json",
    "m.npy",
    "m.npz",
    "m.zip",
    "m.h5",
    "m.onnx",
    "m.safetensors",
    "m.tar.gz",
    "README.md",
    "config.yaml",
    "m.gguf",
    "data.csv",
    "weights.png",
    "m.7z",
    "m.keras",
    ".hidden",
    "m.nemo",
    "m.skops",
)
METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)


def lz4_frame(data: bytes) -> bytes:
    """An LZ4 frame of stored blocks with their sizes; the checksum of the header is xxHash32 of its two bytes."""
    return b"\x04\x22\x4d\x18\x60\x40\x82" + struct.pack("<I", len(data) | 1 << 31) + data + bytes(4)


def zstd(data: bytes) -> bytes:
    """One Zstandard frame of raw blocks, so that the corpus needs no library."""
    blocks = [data[i : i + 65536] for i in range(0, len(data), 65536)] or [b""]
    out = b"\x28\xb5\x2f\xfd\xa0" + struct.pack("<I", len(data))
    return out + b"".join(struct.pack("<I", len(b) << 3 | (i == len(blocks) - 1))[:3] + b for i, b in enumerate(blocks))


def torch_zip(data: bytes, choice: Random) -> bytes:
    root = choice.choice(["archive", "m", "model_1"])
    members = {
        f"{root}/data.pkl": data,
        f"{root}/byteorder": b"little",
        f"{root}/data/0": bytes(16),
        f"{root}/version": b"3\n",
    }
    return zipped(members, choice.choice(METHODS[:2]))


def plain_zip(data: bytes, choice: Random) -> bytes:
    name = choice.choice(["m.pkl", "a/b/c.bin", "weights", "data/model.joblib", "x.txt", "nested/m.pt"])
    return zipped({"readme.txt": b"hello\n", name: data}, choice.choice(METHODS))


def odd_tar(data: bytes, choice: Random) -> bytes:
    buffer = io.BytesIO()
    form = choice.choice([tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
    with tarfile.open(fileobj=buffer, mode="w", format=form) as new:
        for name, content in (
            ("model_config.yaml", b"a: 1\n"),
            (choice.choice(["model_weights.ckpt", "m.pkl", "d/" * 60 + "x.bin"]), data),
        ):
            info = tarfile.TarInfo(name)
            info.size = len(content)
            new.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


CONTAINERS: dict[str, Callable[[bytes, Random], bytes]] = {
    "torch-zip": torch_zip,
    "zip": plain_zip,
    "tar": odd_tar,
    "gzip": lambda d, r: gzip.compress(d, r.randrange(10), mtime=0),
    "bzip2": lambda d, r: bz2.compress(d),
    "xz": lambda d, r: lzma.compress(d, check=r.choice([0, 1, 4, 10])),
    "lzma": lambda d, r: lzma.compress(d, lzma.FORMAT_ALONE),
    "zlib": lambda d, r: zlib.compress(d, r.randrange(10)),
    "npy-objects": lambda d, r: npy_of_objects(d),
    "npz-objects": lambda d, r: zipped({"a.npy": npy_of_objects(d)}, r.choice(METHODS[:2])),
    "7z": lambda d, r: seven_zip({"r.txt": b"hello\n", "m.pkl": d}, r.choice([COPY, LZMA, LZMA2]), r.random() < 0.5),
    "zstd": lambda d, r: zstd(d),
    "lz4": lambda d, r: lz4_frame(d),
}


def central_field(data: bytes, at: int, value: bytes) -> bytes:
    """An archive whose first central header has other bytes at a place."""
    start = data.index(b"PK\x01\x02")
    return data[: start + at] + value + data[start + at + len(value) :]


FORGERIES: dict[str, Callable[[bytes, Random], bytes]] = {
    "central-crc": lambda d, r: central_field(d, 16, r.randbytes(4)),
    "local-crc": lambda d, r: d[:14] + r.randbytes(4) + d[18:],
    "central-flag": lambda d, r: central_field(d, 8, struct.pack("<H", 1 << r.randrange(16))),
    "local-flag": lambda d, r: d[:6] + struct.pack("<H", 1 << r.randrange(16)) + d[8:],
    "local-method": lambda d, r: d[:8] + struct.pack("<H", r.choice([8, 12, 14, 93, 99])) + d[10:],
    "central-method": lambda d, r: central_field(d, 10, struct.pack("<H", r.choice([0, 8, 12, 97]))),
    "local-size": lambda d, r: d[:18] + struct.pack("<II", r.randrange(9), r.randrange(9)) + d[26:],
    "central-size": lambda d, r: central_field(d, 24, struct.pack("<I", r.randrange(99))),
    "local-name": lambda d, r: d[:30] + b"Z" + d[31:],
    "version": lambda d, r: central_field(d, 6, b"\xff\x00"),
    "directory-mark": lambda d, r: central_field(d, 38, b"\x10\0\xff\x41"),
    "prefix": lambda d, r: r.randbytes(r.randrange(1, 300)) + d,
    "tail": lambda d, r: d + r.randbytes(r.randrange(1, 300)),
    "comment": lambda d, r: commented(d, r.randbytes(40)),
    "end-in-comment": lambda d, r: commented(d, zipped({"a.txt": b"x"})),
    "other-archive-before": lambda d, r: zipped({"a.txt": b"x"}) + d,
    "other-archive-behind": lambda d, r: d + zipped({"a.txt": b"x"}),
    "count": lambda d, r: d[:-14] + struct.pack("<HH", 1, 1) + d[-10:],
    "gap": lambda d, r: d[: d.index(b"PK\x01\x02")] + r.randbytes(9) + d[d.index(b"PK\x01\x02") :],
    "central-offset": lambda d, r: central_field(d, 42, struct.pack("<I", r.randrange(len(d)))),
    "zip64-sizes": lambda d, r: central_field(d, 20, b"\xff" * 8),
    "png-before": lambda d, r: b"\x89PNG\r\n\x1a\n" + bytes(64) + d,
    "gguf-before": lambda d, r: gguf({"general.architecture": "llama"}) + d,
    "safetensors-before": lambda d, r: tensors(
        {"w": {"dtype": "U8", "shape": [len(d)], "data_offsets": [0, len(d)]}}, d
    ),
    "pickle-before": lambda d, r: b"\x80\x04}." + d,
    "zeros-before": lambda d, r: bytes(512) + d,
}


def commented(data: bytes, comment: bytes) -> bytes:
    """An archive with a comment."""
    return data[:-2] + struct.pack("<H", len(comment)) + comment


STREAM_FORGERIES: dict[str, Callable[[bytes, Random], bytes]] = {
    "no-STOP": lambda d, r: d[:-1],
    "garbage-for-STOP": lambda d, r: d[:-1] + b"\xff\xfe",
    "underflow": lambda d, r: d[:-1] + b"0" * 9 + b".",
    "trailing": lambda d, r: d + r.randbytes(r.randrange(1, 99)),
    "second-stream": lambda d, r: b"\x80\x04N." + d,
    "third-stream": lambda d, r: b"\x80\x02N.I1\n." + d,
    "frame-that-lies": lambda d, r: (
        d[:2] + b"\x95" + struct.pack("<Q", r.randrange(1 << 40)) + d[2:] if d[:1] == b"\x80" else d
    ),
    "megabyte-before": lambda d, r: b"\x80\x04B" + struct.pack("<I", 1 << 20) + bytes(1 << 20) + b"0" + d,
    "in-constant": lambda d, r: b"\x80\x04B" + struct.pack("<I", len(d)) + d + b".",
    "many-values-before": lambda d, r: b"\x80\x02(" + b"K\x01" * 5000 + b"l0" + d,
    "json-before": lambda d, r: b'{"a": 1}\n' + d,
    "newlines-before": lambda d, r: b"\n\n" + d,
}
SILENT = frozenset(
    {"in-constant", "json-before", "newlines-before", "second-stream", "third-stream", "safetensors-before"}
)


def drawn_container(choice: Random, around: list[str]) -> str:
    """A container; arrays of objects hold pickles only, so they are never drawn around something else."""
    return choice.choice([name for name in sorted(CONTAINERS) if not around or not name.startswith("np")])


def composed(count: int, seed: int) -> Iterator[Case]:
    """Attack files. `needs_proof` where a plain unpickler of the file itself must print the mark."""
    choice = Random(f"composed {seed}")
    for number in range(count):
        technique, data = drawn_stream(choice)
        words, proves, is_core = [technique], True, True
        if choice.random() < 0.25:
            forgery = choice.choice(sorted(STREAM_FORGERIES))
            data, proves, is_core = STREAM_FORGERIES[forgery](data, choice), forgery not in SILENT, False
            words.append(forgery)
        for _ in range(choice.choice([0, 0, 1, 1, 2, 3])):
            container = drawn_container(choice, words[1:])
            data, proves = CONTAINERS[container](data, choice), False
            words.append(container)
            if container in ("zip", "torch-zip", "npz-objects") and choice.random() < 0.5:
                forgery = choice.choice(sorted(FORGERIES))
                data, is_core = FORGERIES[forgery](data, choice), False
                words.append(forgery)
        yield Case(f"composed-{seed}-{number}-{'+'.join(words)}", choice.choice(NAMES), data, is_core, proves)


def benign_value(choice: Random, depth: int = 0) -> object:
    """A plain value, as people pickle them."""
    if depth < 3 and choice.random() < 0.5:
        items = [benign_value(choice, depth + 1) for _ in range(choice.randrange(5))]
        return choice.choice([items, tuple(items), {f"k{i}": item for i, item in enumerate(items)}])
    return choice.choice([None, 5, "os.system", "linear", b"\x80\x04weights", 3])


def plain(count: int, seed: int) -> Iterator[Case]:
    """Benign files by the same draws: the instructions vary and the containers nest, but nothing is forged or called."""
    choice = Random(f"plain {seed}")
    for number in range(count):
        writer, words = Writer(choice, is_tidy=True), list[str]()
        data, name = writer.stream(benign_value(choice)), choice.choice(["m.pkl", "m.bin", "m.ckpt", "model"])
        for _ in range(choice.choice([0, 1, 1, 2])):
            container = drawn_container(choice, words)
            data = CONTAINERS[container](data, choice)
            words.append(container)
        yield Case(f"plain-{seed}-{number}-{'+'.join(words)}", name, data)
