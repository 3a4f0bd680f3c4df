"""Files beside their signature: every way to differ is seen, and nothing is ignored."""

from __future__ import annotations

import builtins
import hashlib
import json
import os
from pathlib import Path
from types import SimpleNamespace

import pytest
from tests.unit.oms.made import FILES, KEY, bundle_of, make_folder, make_signed, payload_of, shards, statement

from assay.app.sign import output_of, sign_path, verify_path_oms
from assay.core.errors import ChangedMeanwhile, EvidenceError, MalformedInput, MissingExtra, UsageError
from assay.evidence import pieces
from assay.evidence.files import FoundFile
from assay.evidence.pieces import Piece, hash_pieces
from assay.surfaces.cli.main import main


def test_untouched_files_verify(tmp_path: Path) -> None:
    assert verify_path_oms(*make_signed(tmp_path)).ok


@pytest.mark.parametrize(
    "name", ["x.py", "d/x", ".hidden", ".git/hooks/pre-commit", ".github/x", ".gitignore", ".gitattributes"]
)
def test_an_added_file_is_refused_wherever_it_lies(tmp_path: Path, name: str) -> None:
    folder, signature, public = make_signed(tmp_path)
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).touch()
    answer = verify_path_oms(folder, signature, public)
    assert answer.differences.added == (name,)


def test_an_ignore_list_in_the_signature_hides_nothing(tmp_path: Path) -> None:
    folder, signature, public = make_signed(tmp_path)
    said = statement()
    said["predicate"]["serialization"]["ignore_paths"] = ["d", ".git", "log.txt"]
    signature.write_bytes(bundle_of(said))
    assert verify_path_oms(folder, signature, public).ok
    (folder / "log.txt").touch()
    assert verify_path_oms(folder, signature, public).differences.added == ("log.txt",)


def test_swapped_names_are_refused_though_the_subject_digest_is_the_same(tmp_path: Path) -> None:
    folder, signature, public = make_signed(tmp_path)
    (folder / "a.bin").rename(tmp_path / "x")
    (folder / "d/b.txt").rename(folder / "a.bin")
    (tmp_path / "x").rename(folder / "d/b.txt")
    assert verify_path_oms(folder, signature, public).differences.changed == ("a.bin", "d/b.txt")
    (folder / "d/c.txt").rename(folder / "d/d.txt")
    assert payload_of(sign_path(folder, KEY).bundle)["predicate"] != payload_of(signature.read_bytes())["predicate"]
    assert verify_path_oms(folder, signature, public).differences.added == ("d/d.txt",)


def test_changed_and_missing_files_are_named(tmp_path: Path) -> None:
    folder, signature, public = make_signed(tmp_path)
    (folder / "a.bin").write_bytes(b"ALPHA")
    (folder / "d/b.txt").unlink()
    found = verify_path_oms(folder, signature, public).differences
    assert (found.added, found.missing, found.changed) == ((), ("d/b.txt",), ("a.bin",))


def test_links_are_refused_unless_the_signer_allowed_them(tmp_path: Path) -> None:
    folder, signature, public = make_signed(tmp_path)
    (folder / "a.bin").rename(tmp_path / "elsewhere")
    (folder / "a.bin").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(MalformedInput, match="symbolic link"):
        verify_path_oms(folder, signature, public)
    with pytest.raises(MalformedInput, match="symbolic link"):
        sign_path(folder, KEY)
    said = statement()
    said["predicate"]["serialization"]["allow_symlinks"] = True
    signature.write_bytes(bundle_of(said))
    assert verify_path_oms(folder, signature, public).ok


def test_one_file_has_the_name_that_the_format_gives_it(tmp_path: Path) -> None:
    folder = make_folder(tmp_path)
    path, signature, public = make_signed(tmp_path, folder / "a.bin")
    assert [r["name"] for r in payload_of(signature.read_bytes())["predicate"]["resources"]] == ["."]
    assert verify_path_oms(path, signature, public).ok
    found = verify_path_oms(folder, signature, public).differences
    assert found.missing == (".",) and len(found.added) == 3
    path.write_bytes(b"other")
    assert verify_path_oms(path, signature, public).differences.changed == (".",)


@pytest.mark.parametrize("hash_type", ["sha256", "blake2b"])
@pytest.mark.parametrize("size", [1, 2, 5, 1000])
def test_shards_verify_and_see_changes_growth_and_empty_files(tmp_path: Path, size: int, hash_type: str) -> None:
    folder, signature, public = make_signed(tmp_path)
    signature.write_bytes(bundle_of(shards(FILES, size, hash_type=hash_type)))
    assert verify_path_oms(folder, signature, public).ok
    (folder / "a.bin").write_bytes(b"alphA")
    (folder / "d/b.txt").write_bytes(b"betabeta")
    (folder / "d/c.txt").write_bytes(b"gamm")
    (folder / "__init__.py").touch()
    found = verify_path_oms(folder, signature, public).differences
    assert (found.added, found.changed) == (("__init__.py",), ("a.bin", "d/b.txt", "d/c.txt"))


def test_the_signature_itself_may_lie_inside_only_under_the_signed_name(tmp_path: Path) -> None:
    folder, _, public = make_signed(tmp_path)
    said = statement()
    said["predicate"]["serialization"]["ignore_paths"] = ["model.sig"]
    inside = folder / "model.sig"
    inside.write_bytes(bundle_of(said))
    assert verify_path_oms(folder, inside, public).ok
    copy = inside.rename(folder / "adapter_config.json")
    assert verify_path_oms(folder, copy, public).differences.added == ("adapter_config.json",)


def test_without_blake3_it_is_undecided_with_the_install_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, signature, public = make_signed(tmp_path)
    said = statement()
    said["predicate"]["serialization"]["hash_type"] = "blake3"
    for resource in said["predicate"]["resources"]:
        resource["algorithm"] = "blake3"
    signature.write_bytes(bundle_of(said))
    monkeypatch.setattr(pieces.importlib, "import_module", _absent)
    with pytest.raises(MissingExtra, match="pip install blake3") as caught:
        verify_path_oms(folder, signature, public)
    assert caught.value.exit_code == 3


def test_a_hasher_with_its_own_threads_sees_every_byte(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Blake3:
        """Stands for the library, with another digest of as many bytes."""

        AUTO = -1

        def __init__(self, *, max_threads: int) -> None:
            self._inner = hashlib.sha256()
            self.update, self.hexdigest = self._inner.update, self._inner.hexdigest

    monkeypatch.setattr(pieces.importlib, "import_module", lambda _: SimpleNamespace(blake3=Blake3))
    for number, content in enumerate((b"", b"1", b"x" * 100_000)):
        path = tmp_path / str(number)
        path.write_bytes(content)
        found = FoundFile(str(number), path, len(content))
        parts = [Piece(found, 0, len(content)), Piece(found, len(content) // 2, len(content))]
        expected = [hashlib.sha256(content[part.start :]).hexdigest() for part in parts]
        assert hash_pieces(parts, "blake3") == expected
        with pytest.raises(ChangedMeanwhile):
            hash_pieces([Piece(FoundFile("x", path, len(content) + 1), 0, len(content) + 1)], "blake3")


def _absent(name: str) -> None:
    raise builtins.ImportError(name)


def test_a_file_that_changes_while_it_is_read_is_no_answer(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"12345")
    for size in (4, 6):
        with pytest.raises(ChangedMeanwhile):
            hash_pieces([Piece(FoundFile("a", path, size), 0, size)], "sha256")

    def grow(_: int) -> None:
        os.utime(path, ns=(1, 1))

    with pytest.raises(ChangedMeanwhile):
        found = FoundFile("a", path, 5)
        hash_pieces([Piece(found, 0, 2), Piece(found, 2, 4), Piece(found, 4, 5)] * 50, "sha256", seen=grow)


def test_a_folder_with_a_git_folder_is_refused_before_it_is_read(tmp_path: Path) -> None:
    folder = make_folder(tmp_path)
    (folder / ".git").mkdir()
    with pytest.raises(UsageError, match="not signed"):
        sign_path(folder, KEY)


def test_the_signature_never_lies_among_what_it_signs(tmp_path: Path) -> None:
    folder = make_folder(tmp_path)
    assert output_of(folder, None) == tmp_path / "model.oms.json"
    for wanted in (folder / "model.sig", folder / "d" / ".." / "x", folder):
        with pytest.raises(UsageError, match="cannot lie"):
            output_of(folder, wanted)
    with pytest.raises(UsageError):
        output_of(folder / "a.bin", folder / "a.bin")


def test_an_edited_signature_is_refused(tmp_path: Path) -> None:
    folder, signature, public = make_signed(tmp_path)
    bundle = json.loads(signature.read_bytes())
    sig = bundle["dsseEnvelope"]["signatures"][0]
    sig["sig"] = ("B" if sig["sig"][10] != "B" else "C").join((sig["sig"][:10], sig["sig"][11:]))
    signature.write_text(json.dumps(bundle))
    with pytest.raises(EvidenceError):
        verify_path_oms(folder, signature, public)


def test_the_commands_sign_and_verify(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    make_folder(tmp_path)
    assert main(["init", "--no-passphrase"]) == 0
    assert main(["sign", "model"]) == 2  # which key?
    assert main(["key", "new", "oms", "--type", "p256", "--no-passphrase"]) == 0
    assert main(["key", "list"]) == 0
    assert main(["key", "trust", "oms", "--owner", "ada", "--role", "gate"]) == 2
    assert main(["sign", "model", "--key", "runner"]) == 1  # an Ed25519 key
    assert main(["sign", "model", "--dry-run"]) == 0
    assert not (tmp_path / "model.oms.json").exists()
    assert main(["sign", "model"]) == 0
    verify = ["verify", "model", "--oms", "model.oms.json", "--format", "json"]
    assert main(verify) == 2
    assert main(["verify", "model", "--public-key", ".assay/keys/oms.pub"]) == 2
    verify += ["--public-key", ".assay/keys/oms.pub"]
    assert main([*verify, "--stage", "production"]) == 2
    capsys.readouterr()
    assert main(verify) == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["ok"], said["files"], said["schema"]) == (True, 3, "assay/oms/v1")
    (tmp_path / "model" / ".git").mkdir()
    (tmp_path / "model" / ".git" / "config").touch()
    assert main(verify) == 1
    assert main(["sign", "model"]) == 2
    assert main(["verify", "model", "--oms", "model.oms.json", "--public-key", ".assay/keys/oms.pub"]) == 1
    assert "'.git/config'" in capsys.readouterr().out
