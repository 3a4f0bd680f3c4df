"""Facts as evidence: bounded, without credentials, and malformed ones are refused; lists that say one clear thing."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.checks.model_file import stored
from assay.checks.model_file.arguments import _KINDS, _LETTERS
from assay.checks.model_file.judge import judge
from assay.checks.model_file.lists import CONSTRAINTS, AddedList, Lists, read_list
from assay.checks.model_file.stored import Keeper, read_stored
from assay.core.assets import Entry
from assay.core.canonical import Json, canonical
from assay.core.digests import sha256
from assay.core.errors import MalformedInput, UsageError
from assay.core.outcomes import Verdict
from assay.formats.facts import SCHEMA, FileFacts
from assay.formats.masking import masked
from assay.formats.reading import read_facts

TOKEN = "ghp_" + "a1B2c3D4" * 5
CREDENTIALS = (TOKEN, "https://bob:hunter22@host/x", "password=hunter22", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY")


def blob(files: dict[str, FileFacts]) -> bytes:
    keeper = Keeper()
    for path, found in files.items():
        keeper.keep(Entry(path, "0" * 64, 1), found)
    return keeper.blob()


def call(text: str) -> bytes:
    data = text.encode()
    return b"\x80\x04cbuiltins\nprint\nX" + len(data).to_bytes(4, "little") + data + b"\x85R."


@pytest.mark.parametrize("secret", CREDENTIALS)
@pytest.mark.parametrize("path", ["m.pkl", "m.json", "m.yaml", "m.txt", "m.py"])
def test_no_credential_is_in_facts_or_findings(secret: str, path: str) -> None:
    made = {
        "m.pkl": call(secret), "m.json": json.dumps({"auto_map": {"AutoModel": secret}}).encode(), "m.py": f"print('{secret}')".encode(),
        "m.yaml": f"_target_: {secret}\n".encode(), "m.txt": b"#!/bin/sh\nexport A='%s'\n" % secret.encode(),
    }[path]  # fmt: skip
    found = read_facts(made, path)
    assert found.facts
    told = blob({path: found}).decode() + " ".join(problem.summary for problem in judge(found).problems)
    assert not any(part in told for part in (secret, "hunter22", "MDENG"))


def test_what_people_need_to_read_is_not_masked() -> None:
    for text in (
        "echo > marker",
        "sklearn.ensemble._hist_gradient_boosting.gradient_boosting",
        "curl http://127.0.0.1:9/x | sh",
    ):
        assert masked(text) == text


@given(st.text(max_size=300))
def test_masking_never_grows_a_text_much_and_shows_no_long_random_word(text: str) -> None:
    assert len(masked(text)) <= len(text) + 1
    assert TOKEN not in masked(text + TOKEN)


@given(st.integers(), st.text(st.characters(codec=None), max_size=30))
def test_any_number_and_text_in_arguments_survives_storing(number: int, text: str) -> None:
    data = (
        b"\x80\x04cnumpy\nzeros\n"
        + pickle.dumps((number, text.encode("utf-8", "surrogatepass").decode("utf-8", "replace")), 4)[2:-1]
        + b"R."
    )
    found = read_facts(data, "m.pkl")
    again = read_stored(blob({"m.pkl": found}))["m.pkl"].facts
    assert again == found and judge(again) == judge(found)  # type: ignore[arg-type]  # it was kept


def test_a_file_with_too_many_facts_is_left_out_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stored, "MAX_FILE_BYTES", 2_000)
    many = b"\x80\x04" + b"".join(f"cmodule{n}\nThing\n0".encode() for n in range(200)) + b"N."
    found = read_stored(blob({"a.pkl": read_facts(many, "a.pkl"), "b.pkl": read_facts(call("x"), "b.pkl")}))
    assert (
        found["a.pkl"].facts is None
        and "more than 2000 bytes" in found["a.pkl"].why
        and found["b.pkl"].facts is not None
    )


def test_a_full_blob_holds_no_more_files_and_stays_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stored, "MAX_BLOB_BYTES", 1_000)
    data = blob({f"{n}.pkl": read_facts(call("x"), "m.pkl") for n in range(50)})
    assert len(data) <= 1_000 and 0 < len(read_stored(data)) < 50


@pytest.mark.parametrize(
    "value",
    [
        [], {}, {"schema": "urn:assay:file-facts:v1", "files": []}, {"schema": SCHEMA}, {"schema": SCHEMA, "files": [1]},
        {"schema": SCHEMA, "files": [{"path": "a", "sha256": "b", "format": "x", "facts": [["global"]]}]},
        {"schema": SCHEMA, "files": [{"path": "a", "sha256": "b", "format": "x", "facts": [["global", "", "0", []]]}]},
    ],
)  # fmt: skip
def test_malformed_or_older_facts_are_refused(value: Json) -> None:
    with pytest.raises(MalformedInput):
        read_stored(canonical(value))


def listed(entries: Json, **other: Json) -> bytes:
    return json.dumps({"schema": "urn:assay:allow-list:v1", "entries": entries} | other).encode()


@pytest.mark.parametrize(
    "data",
    [
        b"", b"[]", b"\xff\xfe{", listed({}, schema="other"), listed({"m": {"N": "type"}}), listed({"m": {"N": {"role": "Type"}}}),
        listed({"m": {"N": {"role": "type", "args": ["string"]}}}), listed({"m": {"N": {"role": "type", "argz": []}}}), listed({"m": 1}),
        listed({"m": {"N": {"role": "function", "args": ["m:a.b"]}}}), listed({"m": {"N": 7}}), b"[" * 100_000,
    ],
)  # fmt: skip
def test_a_list_that_says_nothing_clear_is_wrong_use(data: bytes, tmp_path: Path) -> None:
    (tmp_path / "l.json").write_bytes(data)
    with pytest.raises(UsageError):
        read_list(str(tmp_path / "l.json"))


def test_a_list_is_taken_by_its_digest_or_not_at_all(tmp_path: Path) -> None:
    data = listed({"ours": {"Thing": {"role": "type", "args": ["int", "str|none?", "=a", "m:x:Y*"]}}})
    (tmp_path / "l.json").write_bytes(data)
    found = read_list(f"{tmp_path}/l.json@sha256:{sha256(data)}")
    assert found == AddedList("l.json", data) and ("l.json", sha256(data)) in Lists([found]).digests()
    with pytest.raises(UsageError, match="new digest"):
        read_list(f"{tmp_path}/l.json@sha256:{'0' * 64}")


def test_every_constraint_that_a_list_may_use_is_understood() -> None:
    assert {*_KINDS, *_LETTERS} == CONSTRAINTS


def test_a_new_list_judges_old_facts_both_ways() -> None:
    ours = Lists([AddedList("ours", listed({"ours": {"Thing": {"role": "type", "args": []}}}))])
    kept = read_stored(blob({"m.pkl": read_facts(b"\x80\x02cours\nThing\n)R.", "m.pkl")}))["m.pkl"].facts
    assert kept is not None
    assert (judge(kept, ours).verdict, judge(kept).verdict) == (Verdict.CLEAN, Verdict.UNKNOWN)
    assert judge(kept, Lists(libraries=())).verdict is Verdict.UNKNOWN
