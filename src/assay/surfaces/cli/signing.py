"""`assay sign`, and `assay verify --oms`."""

from __future__ import annotations

import argparse
from pathlib import Path

from assay.app.sign import ModelAnswer, output_of, sign_path, signing_key, verify_path_oms
from assay.core.digests import shown
from assay.core.errors import UsageError
from assay.evidence.blobs import write_whole
from assay.evidence.oms import GIT_NAMES, ONE_FILE
from assay.surfaces.cli.progress import hashing
from assay.surfaces.cli.session import Session

ABOUT = {"sign": "Writes an OpenSSF Model Signing v1.0 signature of a file or folder, which other tools verify too."}
_SHOWN = 20


def add_arguments(command: str, parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of `sign`."""
    parser.add_argument("path", type=Path, metavar="PATH", help="a file or folder")
    parser.add_argument("-o", "--output", type=Path, metavar="FILE", help="default PATH.oms.json, beside PATH")
    parser.add_argument("--key", metavar="NAME|FILE", help="a P-256 key; default the only one of the workspace")


def add_verify_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds what `verify` needs for signatures in the OMS format."""
    parser.add_argument("--oms", type=Path, metavar="FILE", help="verify this OpenSSF Model Signing signature of PATH")
    parser.add_argument("--public-key", type=Path, metavar="PEM", help="the signer's key; needed with --oms")


def run(command: str, options: argparse.Namespace) -> int:
    """Runs `sign`."""
    session = Session(options)
    output = output_of(options.path, options.output)
    key = signing_key(session.folder, options.key, session.passphrase)
    has_cache = (session.folder / "trust.pin").exists() and not options.dry_run
    with hashing(session, options.path.name) as seen:
        made = sign_path(options.path, key, cache=session.folder / "hashes.sqlite" if has_cache else None, seen=seen)
    if not options.dry_run:
        write_whole(output, made.bundle)
    session.show("sign", {
        "name": made.name, "output": str(output), "subject": shown(made.subject), "statement": shown(made.statement),
        "key_id": made.key_id, "files": made.files, "size_bytes": made.size_bytes, "hash_cache": made.is_from_cache,
        "dry_run": options.dry_run,
    }, f"{output}: {made.name}, {_files(made.files)}, {made.size_bytes} bytes, signed by key {made.key_id[:12]}…\n"
       f"verify with: assay verify {options.path} --oms {output} --public-key PEM\n"
       f"         or: model_signing verify key {options.path} --signature {output} --public_key PEM")  # fmt: skip
    return 0


def verify_oms(session: Session) -> int:
    """Runs `verify --oms`.

    Raises:
        UsageError: no key, or options that ask for what such a signature cannot say.
    """
    options = session.options
    asked = [
        flag for flag in ("stage", "asset", "bundle", "trust", "max_age", "policy") if getattr(options, flag, None)
    ]
    if asked:
        raise UsageError("--oms stands alone", "a model signature says who signed these files, nothing of decisions",
                         f"leave out --{asked[0].replace('_', '-').replace('asset', 'as')}")  # fmt: skip
    if not options.oms:
        raise UsageError("--public-key goes with --oms", "statements are verified with the keys of the trust policy")
    if not options.public_key:
        raise UsageError("which key?", "the algorithm and the signer come from your key, never from the signature",
                         "add --public-key PEM, taken from the signer")  # fmt: skip
    path = Path(options.target)
    with hashing(session, path.name) as seen:
        answer = verify_path_oms(path, options.oms, options.public_key, seen=seen)
    signed, differ = answer.signed, answer.differences
    session.show("oms", {
        "ok": answer.ok, "signed_name": signed.name, "subject": shown(signed.subject), "key_id": answer.key_id,
        "method": "files" if signed.shard_size is None else "shards", "hash_type": signed.hash_type,
        "files": answer.files, "added": list(differ.added), "missing": list(differ.missing), "changed": list(differ.changed),
    }, lambda: _text(path, answer))  # fmt: skip
    return 0 if answer.ok else 1


def _text(path: Path, answer: ModelAnswer) -> str:
    signed, differ = answer.signed, answer.differences
    named = f"{path}: signed by key {answer.key_id[:12]}… as {signed.name!r}"
    if answer.ok:
        return f"{named}, {_files(answer.files)}, exactly these bytes ({signed.hash_type})"
    lines = [f"{named}, REFUSED: the files differ"]
    for label, names in (("added", differ.added), ("missing", differ.missing), ("changed", differ.changed)):
        lines += [f"  {label:8s} {name!r}" for name in names[:_SHOWN]]
        lines += [f"  {label:8s} {len(names) - _SHOWN} more"] if len(names) > _SHOWN else []
    lines += [f"  why      {said}" for said in _explained(answer)]
    return "\n".join(lines)


def _files(count: int) -> str:
    return "1 file" if count == 1 else f"{count} files"


def _explained(answer: ModelAnswer) -> list[str]:
    """What surprises people who know the reference tool."""
    signed, added, said = answer.signed, answer.differences.added, []
    if signed.is_one_file and answer.differences.missing:
        said.append("a single file was signed, not a folder")
    if not signed.is_one_file and ONE_FILE in added:
        said.append("a folder was signed, not a single file")
    if any(name.split("/", 1)[0] in (*GIT_NAMES, *signed.ignored) for name in added):
        said.append("the signature asks to ignore some of them; Assay ignores nothing, as code can hide there")
    if signed.shard_size is not None and any(name not in signed.by_path for name in added):
        said.append("signatures in shards leave out empty files; sign again by whole files")
    return said
