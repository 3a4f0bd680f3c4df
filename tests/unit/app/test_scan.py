"""`assay scan`: verdicts, exit codes, waivers, and files that are no files."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import subprocess
import sys
from datetime import date, timedelta
from pathlib import Path

import pytest
from tests.corpus.model_file.attacks import SHELL, call4

from assay.app.scan import Scan, exit_code, read_waivers, scan
from assay.core.errors import UsageError
from assay.core.outcomes import Verdict
from assay.surfaces.cli.main import main

BAD = call4(*SHELL) + b"."
ODD = b"\x80\x02cunknown_library\nThing\n)R."


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "fine.pkl").write_bytes(pickle.dumps({"a": 1}))
    return tmp_path / "in"


def run(*arguments: str, capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    code = main(["scan", *arguments])
    return code, capsys.readouterr().out


@pytest.mark.parametrize("form", ["human", "json", "sarif", "junit", "github", "gitlab", "markdown"])
@pytest.mark.parametrize(("data", "code"), [(pickle.dumps(1), 0), (BAD, 1), (ODD, 1), (b"\x80\x04K\x01", 3)])
def test_the_exit_code_is_the_verdict_in_every_format(
    form: str, data: bytes, code: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "m.pkl").write_bytes(data)
    assert run(str(tmp_path / "m.pkl"), "--format", form, capsys=capsys)[0] == code


def test_json_has_what_scripts_rely_on(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "bad.pkl").write_bytes(BAD)
    code, out = run(str(folder), "--format", "json", capsys=capsys)
    said = json.loads(out)
    bad, fine = said["files"]
    assert code == 1 and said["summary"] == {"clean": 1, "malicious": 1, "unknown": 0, "inconclusive": 0}
    assert bad["sha256"] == hashlib.sha256(BAD).hexdigest() and bad["verdict"] == "malicious" and fine["findings"] == []
    assert (
        set(bad["findings"][0]) >= {"rule", "severity", "summary", "location", "refs"}
        and bad["findings"][0]["rule"] == "ASY-PKL-001"
    )


def test_without_hashes_there_is_no_sha256(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert (
        json.loads(run(str(folder), "--no-hash", "--format", "json", capsys=capsys)[1])["files"][0].get("sha256")
        is None
    )


def test_a_missing_path_and_a_wrong_format_are_wrong_use(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["scan", str(tmp_path / "missing")]) == 2
    assert main(["scan", str(tmp_path), "--format", "xml"]) == 2
    assert main(["scan", str(tmp_path)]) == 3  # nothing was looked at


def test_what_is_no_regular_file_is_inconclusive_and_never_hangs(folder: Path) -> None:
    os.mkfifo(folder / "fifo")
    (folder / "loop").symlink_to(folder)
    (folder / "self").symlink_to(folder / "self")
    (folder / "dangling").symlink_to("/missing")
    (folder / "device").symlink_to("/dev/zero")
    os.close(os.open(os.fsencode(folder) + b"/\xff.pkl", os.O_CREAT | os.O_WRONLY))
    found = {Path(f.path).name: f.judgement.verdict for f in scan([str(folder)], Scan())}
    assert found.pop("fine.pkl") is Verdict.CLEAN
    assert len(found) == 5 and set(found.values()) == {Verdict.INCONCLUSIVE}


def test_a_waiver_of_this_content_clears_its_rule_until_it_expires(folder: Path, tmp_path: Path) -> None:
    (folder / "fine.pkl").write_bytes(ODD)
    for day, code in ((date.today() + timedelta(days=1), 0), (date.today() - timedelta(days=1), 1)):
        row = {"sha256": hashlib.sha256(ODD).hexdigest(), "rule": "ASY-PKL-002", "reason": "ours", "expires": str(day)}
        (tmp_path / "waivers.yaml").write_text(json.dumps([row]))
        found = list(scan([str(folder)], Scan(waivers=read_waivers(tmp_path / "waivers.yaml"))))
        assert exit_code(found) == code
        assert main(["scan", str(folder), "--suppressions", str(tmp_path / "waivers.yaml")]) == code


@pytest.mark.parametrize(
    "text", ["[{}]", "[{sha256: x, rule: r, reason: y, expires: 2030-01-01}]", "a: [", "- !!python/object:os.system {}"]
)
def test_a_malformed_waiver_is_wrong_use(text: str, tmp_path: Path) -> None:
    (tmp_path / "w.yaml").write_text(text)
    with pytest.raises(UsageError):
        read_waivers(tmp_path / "w.yaml")


def test_an_own_list_clears_exactly_what_it_names(folder: Path, tmp_path: Path) -> None:
    (folder / "fine.pkl").write_bytes(ODD)
    entries = {"unknown_library": {"Thing": {"role": "type", "args": []}}}
    (tmp_path / "ours.json").write_text(json.dumps({"schema": "urn:assay:allow-list:v1", "entries": entries}))
    assert main(["scan", str(folder), "--lists", str(tmp_path / "ours.json")]) == 0
    assert main(["scan", str(folder), "--lists", str(folder / "fine.pkl")]) == 2


def test_the_scan_path_needs_the_standard_library_only(folder: Path) -> None:
    script = (
        "import sys; from assay.surfaces.cli.main import main; main(['scan', sys.argv[1]]);"
        "print(sorted({m.partition('.')[0] for m in sys.modules} - sys.stdlib_module_names - {'assay', '__main__', '__mp_main__'}))"
    )
    out = subprocess.run([sys.executable, "-c", script, str(folder)], capture_output=True, text=True, check=True).stdout
    loaded = [m for m in eval(out.splitlines()[-1]) if not m.startswith(("_", "sitecustomize", "distutils"))]
    assert loaded == []


def test_a_large_file_is_mapped_and_hashed(folder: Path) -> None:
    data = pickle.dumps({"x": bytes(6 << 20)})
    (folder / "fine.pkl").write_bytes(data)
    (found,) = scan([str(folder)], Scan())
    assert found.judgement.verdict is Verdict.CLEAN and found.sha256 == hashlib.sha256(data).hexdigest()
