"""Reads any file as every loader might: all formats whose marks fit, inside one another, with bounds. Bytes in, facts out.

    facts = read_facts(data, "models/m.pkl")          # FileFacts("pickle", (Fact("global", ...), ...))

The format is found by content. An archive is recognised at the start, at the end and behind a prefix; where another format
stands before it, the file is both. Nothing is imported, unpickled, rendered, run, or written to disk.
"""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterator

from assay.core.errors import MalformedInput
from assay.formats.binary_models import known_binary
from assay.formats.chat_template import template_facts
from assay.formats.compressed import compression_of, inflated
from assay.formats.facts import Fact, FileFacts, within
from assay.formats.gguf_file import MAGIC as GGUF_MAGIC
from assay.formats.gguf_file import gguf_facts
from assay.formats.graph_file import graph_text_facts, onnx_facts, tensorflow_facts
from assay.formats.hdf5.headers import begins_at
from assay.formats.hdf5_file import hdf5_facts
from assay.formats.npy_file import MAGIC as NPY_MAGIC
from assay.formats.npy_file import MAX_HEADER_BYTES, read_npy_header
from assay.formats.pickle_file import PickleFile, acts_as_pickle
from assay.formats.pickle_machine import Data
from assay.formats.safetensors_file import check_safetensors, looks_like_safetensors
from assay.formats.skops_file import allowed_types, skops_facts
from assay.formats.text_file import DATA_SUFFIXES, text_facts
from assay.formats.torch_archive import is_small_record, is_tensor_record, kind_of, script_facts, without_script_classes
from assay.formats.zip_members import Member, contents, walk

MAX_DEPTH = 8
MAX_TOTAL_BYTES = 4 << 30
MAX_PROBED_BYTES = 1 << 20
MAX_PICKLE_GUESS = 64 << 20
PICKLE_SUFFIXES = (
    ".pkl",
    ".pickle",
    ".pt",
    ".pth",
    ".ckpt",
    ".joblib",
    ".dat",
    ".data",
    ".bin",
    ".p",
    ".pk",
    ".debug_pkl",
)
_EXPECTED = {
    ".safetensors": {"safetensors"}, ".gguf": {"gguf"}, ".npy": {"npy"}, ".npz": {"npz", "zip"}, ".onnx": {"onnx"}, ".json": {"json", "keras-config"},
    ".skops": {"skops"}, ".keras": {"keras"}, ".h5": {"hdf5", "keras-h5"},
    ".hdf5": {"hdf5", "keras-h5"}, ".txt": {"text", "lightgbm", "json", "yaml"}, ".md": {"text"},
}  # fmt: skip


class _Budget:
    """Bytes that may still be inflated in one file."""

    def __init__(self) -> None:
        self.left = MAX_TOTAL_BYTES


def read_facts(data: Data, path: str) -> FileFacts:
    """All facts of one file's bytes; never raises for bytes, whatever they are."""
    if not len(data) and not path.lower().endswith(DATA_SUFFIXES):
        return FileFacts("empty", (Fact("unrecognised", "", None, ("the file is empty",)),))
    found = _read(data, path, 0, _Budget())
    suffix = "." + path.lower().rpartition(".")[2]
    if suffix in _EXPECTED and found.format not in _EXPECTED[suffix] and not found.facts:
        return FileFacts(
            found.format, (Fact("misnamed", "", None, (f"named {suffix}, holds {found.format or 'no known format'}",)),)
        )
    return found


def _read(data: Data, path: str, depth: int, budget: _Budget) -> FileFacts:
    if depth > MAX_DEPTH:
        return FileFacts("nested", (Fact("limit", "", None, (f"nested more than {MAX_DEPTH} levels deep",)),))
    try:
        first = _by_start(data, path, depth, budget)
    except MalformedInput as error:
        kind = "tensors" if error.what in _TENSOR_ERRORS else "malformed"
        first = FileFacts(_magic_name(data, path), (Fact(kind, "", None, (f"{error.what}: {error.why}"[:300],)),))
    if data[:2] == b"PK" and first.format in _ZIPS:
        return first
    return _with_archive(data, path, depth, budget, _with_hdf5(data, first))


_TENSOR_ERRORS = ("safetensors tensors leave a hole or overlap", "safetensors buffer does not end with its last tensor")
_ZIPS = frozenset({"zip", "skops", "keras", "torch-package", "torch-export", "torchscript", "torch-zip", "npz"})


def _with_archive(data: Data, path: str, depth: int, budget: _Budget, first: FileFacts) -> FileFacts:
    """Adds the archive that readers find which begin at a file's end."""
    if first.format in _ZIPS or b"PK" not in data[max(0, len(data) - 22 - 0xFFFF) :]:
        return first
    hidden = _zip(data, path, depth, budget)
    if hidden is None:
        return first
    if first.format in ("", "binary", "text"):
        return FileFacts(hidden.format, (*hidden.facts, Fact("gap", "", 0, ("bytes stand before the archive",))))
    both = Fact("polyglot", "", None, (f"{first.format} and {hidden.format}, for readers that begin at the end",))
    return FileFacts(first.format, (both, *first.facts, *hidden.facts))


def _with_hdf5(data: Data, first: FileFacts) -> FileFacts:
    """Adds the HDF5 file that stands behind a block of 512 bytes or a doubling of it, where its readers look too."""
    at = begins_at(data)
    if not at:
        return first
    behind = hdf5_facts(data, at)
    if first.format in ("", "binary"):
        return FileFacts(behind.format, (*behind.facts, *PickleFile(bytes(data[:at])).search(0)))
    both = Fact("polyglot", "", None, (f"{first.format} and {behind.format}, for readers that look behind its block",))
    return FileFacts(first.format, (both, *first.facts, *behind.facts))


def _by_start(data: Data, path: str, depth: int, budget: _Budget) -> FileFacts:
    start = bytes(data[:600])
    if start[:4] in (b"PK\x03\x04", b"PK\x05\x06"):
        return _zip(data, path, depth, budget) or FileFacts(
            "zip", (Fact("malformed", "", None, ("it begins as an archive and has no directory",)), *_searched(data))
        )
    if start.startswith(NPY_MAGIC):
        return FileFacts("npy", tuple(_npy(data)))
    if start.startswith(GGUF_MAGIC):
        return FileFacts("gguf", tuple(gguf_facts(data)))
    if looks_like_safetensors(start, len(data)):
        return _safetensors(data)
    if start[257:262] == b"ustar" or (len(data) >= 1024 and _is_old_tar(start)):
        return FileFacts("tar", tuple(_tar(data, depth, budget)))
    if found := known_binary(data, len(data)):
        return found
    if start[:1] == b"\x80" and len(start) > 1 and start[1] <= 5:
        return _pickle(data, depth, budget)
    if name := compression_of(start):
        return _compressed(data, path, name, depth, budget)
    return _rest(data, path, depth, budget)


def _rest(data: Data, path: str, depth: int, budget: _Budget) -> FileFacts:
    """No magic: an old pickle, a protocol buffer, text, or nothing that is known."""
    if len(data) <= MAX_PICKLE_GUESS and acts_as_pickle(data):
        return _pickle(data, depth, budget)
    is_message = len(data) <= 2 << 30 and data[:1] in (b"\x08", b"\x0a", b"\x12")
    if is_message and (found := onnx_facts(data) or tensorflow_facts(data)):
        return found
    if len(data) <= MAX_PICKLE_GUESS and (text := text_facts(bytes(data), path)) is not None:
        if path.lower().endswith((".pbtxt", ".prototxt")) and (
            graph := graph_text_facts(bytes(data).decode("utf-8", "replace"))
        ):
            return graph
        return text
    return FileFacts(
        "binary", (Fact("unrecognised", "", None, ("of no format that this version knows",)), *_searched(data))
    )


def _searched(data: Data) -> list[Fact]:
    """Streams inside of what nobody understands; only what would act is told."""
    return PickleFile(data).search(0)


def _pickle(data: Data, depth: int, budget: _Budget) -> FileFacts:
    reader = PickleFile(data, lambda inner: list(_read(inner, "", depth + 1, budget).facts))
    facts = reader.read()
    return FileFacts(reader.format, tuple(facts))


def _compressed(data: Data, path: str, name: str, depth: int, budget: _Budget) -> FileFacts:
    found = inflated(data, name)
    budget.left -= len(found.data)
    problem = [Fact(found.problem[0], "", None, (found.problem[1],))] if found.problem else []
    if budget.left < 0:
        problem.append(Fact("limit", "", None, (f"more than {MAX_TOTAL_BYTES} bytes inflated",)))
        return FileFacts(name, tuple(problem))
    if not found.data:
        return FileFacts(name, tuple(problem))
    inner = _read(found.data, _inner_name(path), depth + 1, budget)
    noise = [] if not found.problem else [f for f in inner.facts if f.kind != "unrecognised"]
    return FileFacts(f"{inner.format}+{name}", (*problem, *within(f"<{name}>", noise if problem else inner.facts)))


def _inner_name(path: str) -> str:
    stem, dot, suffix = path.rpartition(".")
    return stem if dot and suffix.lower() in ("gz", "bz2", "xz", "z", "lzma") else path


def _npy(data: Data) -> Iterator[Fact]:
    header = read_npy_header(bytes(data[: MAX_HEADER_BYTES + 12]))
    if header.has_objects:
        reader = PickleFile(data)
        yield from reader.read(header.start)
    elif header.start + header.data_bytes > len(data):
        raise MalformedInput("npy data are cut short", f"{header.data_bytes} bytes expected")
    elif header.start + header.data_bytes < len(data):
        end = header.start + header.data_bytes
        yield Fact("trailing", "", end, (f"{len(data) - end} bytes follow the array",))
        yield from PickleFile(data).search(end)


def _safetensors(data: Data) -> FileFacts:
    found = check_safetensors(io.BytesIO(data) if isinstance(data, bytes) else _as_file(data), len(data))
    texts = [
        fact
        for key, text in found.metadata.items()
        if "{%" in text or "{{" in text
        for fact in template_facts(text, key[:80])
    ]
    return FileFacts("safetensors", tuple(texts))


def _as_file(data: Data) -> io.BytesIO:
    """A mapped file's header as a file; the tensors themselves are not read."""
    length = int.from_bytes(data[:8], "little")
    return io.BytesIO(bytes(data[: 8 + min(length, 100 << 20)]))


def _zip(data: Data, path: str, depth: int, budget: _Budget) -> FileFacts | None:
    found = walk(data)
    if found is None:
        return None
    kind = kind_of(member.name for member in found.members)
    facts = list(found.facts)
    for member in found.members:
        if budget.left < 0:
            facts.append(Fact("limit", "", None, (f"more than {MAX_TOTAL_BYTES} bytes inflated",)))
            break
        facts += _member(data, member, kind, depth, budget)
    if kind == "skops":
        facts += _skops(bytes(data))
    if len(found.members) == 0:
        facts.append(Fact("malformed", "", None, ("an archive without members",)))
    return FileFacts(kind, tuple(facts))


def _member(data: Data, member: Member, kind: str, depth: int, budget: _Budget) -> list[Fact]:
    """Facts of one member, read as both of its headers say."""
    name = member.name
    if name.endswith("/") and member.central.size == 0:
        return []
    if is_tensor_record(name, kind) and member.is_plain:
        return within(name, _raw_record(data, member))
    facts: list[Fact] = []
    for content, odd in contents(data, member):
        budget.left -= len(content)
        facts += odd
        if is_small_record(name, kind) and len(content) < 4096:
            continue
        if kind == "torchscript" and name.endswith(".py"):
            facts += script_facts(content.decode("utf-8", "replace"))
            continue
        if (
            is_tensor_record(name, kind)
            or (kind == "skops" and name == "schema.json")
            or (kind == "torchscript" and name.endswith(".debug_pkl"))
        ):
            continue
        inner = _read(content, name, depth + 1, budget)
        facts += without_script_classes(inner.facts) if kind == "torchscript" else inner.facts
    return within(name[:200], facts)


def _raw_record(data: Data, member: Member) -> list[Fact]:
    """Tensor bytes: not interpreted, unless they begin as something that a loader would run."""
    start = bytes(data[member.central.start : member.central.start + 64])
    if start[:1] != b"\x80" or start[1:2] > b"\x05":
        return []
    return PickleFile(
        bytes(data[member.central.start : member.central.start + min(member.central.packed, MAX_PROBED_BYTES)])
    ).search(0)


def _skops(data: bytes) -> list[Fact]:
    facts = skops_facts(io.BytesIO(data), len(data))
    allowed = allowed_types()
    found = [
        Fact("skops-type", "", None, (t.loader, t.qualified, t.qualified in allowed.get(t.loader, ())))
        for t in facts.types
    ]
    return found + [Fact("unexamined", "", None, (f"skops: {problem}",)) for problem in facts.problems]


def _is_old_tar(start: bytes) -> bool:
    """Whether a header without magic has the right sum (old tar, as very old torch files are)."""
    try:
        said = int(start[148:156].strip(b" \x00") or b"x", 8)
    except ValueError:
        return False
    return said == sum(start[:148]) + 8 * 32 + sum(start[156:512])


def _tar(data: Data, depth: int, budget: _Budget) -> Iterator[Fact]:
    """Members of a tar archive; links and devices are told, names never used as paths."""
    count = 0
    try:
        with tarfile.open(fileobj=io.BytesIO(data) if isinstance(data, bytes) else data, mode="r:") as archive:
            for item in archive:
                count += 1
                if count > 100_000:
                    yield Fact("limit", "", None, ("more than 100000 members",))
                    return
                yield from _tar_member(archive, item, depth, budget)
    except (tarfile.TarError, OSError, ValueError, EOFError, RecursionError) as error:
        yield Fact("malformed", "", None, (f"tar: {str(error)[:120]}",))


def _tar_member(archive: tarfile.TarFile, item: tarfile.TarInfo, depth: int, budget: _Budget) -> Iterator[Fact]:
    name = item.name[:200]
    if item.name.startswith("/") or ".." in item.name.split("/"):
        yield Fact("slip", name, None, ("a name that leads outside",))
    if not (item.isfile() or item.isdir()):
        yield Fact("special", name, None, (f"a link or device to {item.linkname[:80]!r}",))
        return
    budget.left -= item.size
    if not item.isfile():
        return
    if item.size > 256 << 20 or budget.left < 0:
        yield Fact("limit", name, None, ("a member is too large",))
        return
    stream = archive.extractfile(item)
    yield from within(name, _read(stream.read() if stream else b"", item.name, depth + 1, budget).facts)


def _magic_name(data: Data, path: str) -> str:
    for magic, name in ((NPY_MAGIC, "npy"), (GGUF_MAGIC, "gguf"), (b"PK", "zip")):
        if data[: len(magic)] == magic:
            return name
    return "safetensors" if looks_like_safetensors(bytes(data[:16]), len(data)) else "binary"
