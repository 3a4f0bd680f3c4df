"""`assay sign` and `assay verify --oms`: signatures in the OpenSSF Model Signing format, made and verified.

Such a signature says who signed exactly these files. It does not say that they may run; that is what a gate decides.
Verification compares the signed list with every file below the path: nothing is left out, whatever the signature says
should be ignored. The one exception is the signature file itself, if it lies inside under a name that was signed as
ignored: no signature can list its own digest.
"""

from __future__ import annotations

import stat
from dataclasses import dataclass
from pathlib import Path

from assay.app.workspace import Passphrase
from assay.core.assets import Differences, Kind
from assay.core.digests import Digest
from assay.core.errors import StorageError, UsageError
from assay.evidence.blobs import write_whole
from assay.evidence.files import FoundFile, Seen, find_files, manifest_of
from assay.evidence.hash_cache import HashCache
from assay.evidence.keys import P256Key, check_key_name, load_p256
from assay.evidence.oms import (
    MAX_OMS_BYTES,
    ONE_FILE,
    ModelKey,
    ModelSignature,
    model_statement,
    open_model_signature,
    refuse_git,
    sign_model,
)
from assay.evidence.pieces import Piece, hash_pieces

_SUFFIX = ".oms.json"
_MAX_PEM_BYTES = 64 << 10


@dataclass(frozen=True)
class SignedModel:
    """A new signature. `subject` is the OMS name of the tree, the same as the reference tool would give."""

    bundle: bytes
    name: str
    subject: Digest
    statement: Digest
    key_id: str
    files: int
    size_bytes: int
    is_from_cache: bool


@dataclass(frozen=True)
class ModelAnswer:
    """Whether files are exactly what a signature by the given key lists."""

    signed: ModelSignature
    key_id: str
    differences: Differences
    files: int

    @property
    def ok(self) -> bool:
        """Whether every file was signed and is as it was signed."""
        return not self.differences


def sign_path(path: Path, key: P256Key, *, cache: Path | None = None, seen: Seen = lambda _: None) -> SignedModel:
    """Signs a file or folder. `cache` is a workspace's file of remembered digests; without it every byte is read.

    Raises:
        UsageError: nothing is there, or the folder holds files of git.
        MalformedInput: a name, link or device that is refused, or no file.
        ChangedMeanwhile: a file changed while it was read.
    """
    is_one_file = _is_one_file(path)
    if not is_one_file:
        refuse_git(_listed(path))
    memory = HashCache(cache, path) if cache else None
    try:
        manifest = manifest_of(path, Kind.MODEL, memory=memory, seen=seen)
    finally:
        if memory:
            memory.close()
    name = path.absolute().name or path.resolve().name
    statement = model_statement(name, manifest.entries, is_one_file=is_one_file)
    bundle = sign_model(statement, key)
    return SignedModel(bundle, name, statement.subject, statement.digest, key.public.key_id, len(manifest.entries),
                       manifest.size_bytes, memory is not None and memory.is_used)  # fmt: skip


def output_of(path: Path, wanted: Path | None) -> Path:
    """Where the signature goes: `wanted`, or beside the path.

    Raises:
        UsageError: inside what is signed, where it would be an unsigned file.
    """
    whole = path.resolve()
    output = wanted or whole.with_name(f"{whole.name}{_SUFFIX}")
    if output.resolve().is_relative_to(whole):
        raise UsageError(f"the signature cannot lie at {output}", "it would be an unsigned file among the signed ones",
                         f"write it beside: -o {whole.name}{_SUFFIX}")  # fmt: skip
    return output


def verify_path_oms(path: Path, signature: Path, public_key: Path, *, seen: Seen = lambda _: None) -> ModelAnswer:
    """Verifies a file or folder with a signature of ours or of the reference tool.

    Raises:
        UsageError: a file is not there, or the key is none that signs models.
        EvidenceError: the signature is not by the given key.
        MalformedInput: the signature does not follow the format, or a file has a refused name or is a link.
        MissingExtra: the signature needs blake3.
        ChangedMeanwhile: a file changed while it was read.
    """
    key = ModelKey.read(_read(public_key, _MAX_PEM_BYTES))
    signed = open_model_signature(_read(signature, MAX_OMS_BYTES), key)
    symlinks = "content" if signed.allow_symlinks else "refuse"
    found = {file.path: file for file in _found(path, symlinks)}
    itself = _own_name(path, signature)
    if itself in signed.ignored and itself not in signed.by_path:
        found.pop(itself, None)
    return ModelAnswer(signed, key.key_id, _compare(signed, found, symlinks, seen), len(found))


def save_p256(folder: Path, name: str, key: P256Key, passphrase: bytes | None) -> Path:
    """Writes a private key and its public half, which is PEM for other tools with the key id below; returns the latter."""
    path = folder / "keys" / f"{check_key_name(name)}.pem"
    key.save(path, passphrase)
    public = path.with_suffix(".pub")
    # NOTE: PEM readers skip text outside the block; the workspace reads the last word, as of its other keys.
    write_whole(public, f"{key.public.public}\n{key.public.key_id}\n".encode())
    return public


def signing_key(folder: Path, wanted: str | None, passphrase: Passphrase) -> P256Key:
    """The P-256 key called `wanted`, the key in the file `wanted`, or the only one of the workspace in `folder`.

    Raises:
        UsageError: there is none, or more than one and none was named.
        EvidenceError: it cannot be opened, or is of another type.
    """
    if wanted and ("/" in wanted or wanted.endswith(".pem")):
        path = Path(wanted)
    elif wanted:
        path = folder / "keys" / f"{check_key_name(wanted)}.pem"
    else:
        path = _only_key(folder)
    return load_p256(path, lambda: passphrase(path.stem))


def _only_key(folder: Path) -> Path:
    publics = sorted((folder / "keys").glob("*.pub"))
    keys = [public.with_suffix(".pem") for public in publics if public.read_bytes().startswith(b"-----BEGIN")]
    if len(keys) != 1:
        raise UsageError("which key?", f"there are {len(keys)} P-256 keys in {folder / 'keys'}",
                         "name one with --key" if keys else "make one with `assay key new NAME --type p256`")  # fmt: skip
    return keys[0]


def _is_one_file(path: Path) -> bool:
    try:
        return stat.S_ISREG(path.lstat().st_mode)
    except OSError as error:
        raise UsageError(f"there is nothing to read at {path}", str(error)) from error


def _listed(folder: Path) -> list[str]:
    try:
        return [item.name for item in folder.iterdir()] if folder.is_dir() else []
    except OSError as error:
        raise StorageError(f"cannot list {folder}", str(error)) from error


def _found(path: Path, symlinks: str) -> list[FoundFile]:
    """Every file; a single one is called as the format calls it."""
    files = list(find_files(path, symlinks=symlinks))
    return files if path.is_dir() else [FoundFile(ONE_FILE, file.where, file.size) for file in files]


def _own_name(path: Path, signature: Path) -> str | None:
    """Where the signature lies below the signed folder."""
    whole, own = path.resolve(), signature.resolve()
    return own.relative_to(whole).as_posix() if own != whole and own.is_relative_to(whole) else None


def _compare(signed: ModelSignature, found: dict[str, FoundFile], symlinks: str, seen: Seen) -> Differences:
    expected = signed.by_path
    added, missing = tuple(sorted(set(found) - set(expected))), tuple(sorted(set(expected) - set(found)))
    common = sorted(set(expected) & set(found))
    changed = {path for path in common if (end := expected[path][-1].end) is not None and end != found[path].size}
    wanted = [(resource, Piece(found[path], resource.start, found[path].size if resource.end is None else resource.end))
              for path in common if path not in changed for resource in expected[path]]  # fmt: skip
    wanted.sort(key=lambda pair: pair[1].start - pair[1].end)  # largest first, so that threads finish together
    digests = hash_pieces([piece for _, piece in wanted], signed.hash_type, symlinks=symlinks, seen=seen)
    changed |= {
        resource.path for (resource, _), digest in zip(wanted, digests, strict=True) if resource.digest != digest
    }
    return Differences(added, missing, tuple(sorted(changed)))


def _read(path: Path, max_bytes: int) -> bytes:
    """One byte more than allowed is read, so that the parser sees that it is too much."""
    try:
        with path.open("rb") as file:
            return file.read(max_bytes + 1)
    except OSError as error:
        raise UsageError(f"cannot read {path}", str(error)) from error
