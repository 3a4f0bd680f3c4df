"""Archives and compressed streams: what lies in them is judged, what is odd about them is told, and nothing passes unread."""

from __future__ import annotations

import gzip
import io
import lzma
import pickle
import struct
import sys
import tarfile
import zipfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.corpus.model_file.attacks import SHELL, call4, npy_of_objects, tarred, tensors, zipped
from tests.corpus.model_file.composed_files import composed, lz4_frame, plain, zstd
from tests.corpus.model_file.seven_zip import AES, COPY, LZMA, LZMA2, seven_zip

from assay.checks.model_file.judge import judge
from assay.checks.model_file.judgement import Judgement
from assay.core.outcomes import Verdict
from assay.formats import budget
from assay.formats.reading import read_facts

BAD, FINE = call4(*SHELL) + b".", pickle.dumps({"a": 1})
FLAGGED = (Verdict.MALICIOUS, Verdict.UNKNOWN)


def judged(data: bytes, path: str = "m.bin") -> Judgement:
    return judge(read_facts(data, path))


def rules(data: bytes) -> set[str]:
    return {problem.rule for problem in judged(data).problems}


def test_names_count_in_a_stream_that_was_found_from_its_middle() -> None:
    stream = b"(Vatexit\np7\n0ccollections\nOrderedDict\n)R0g7\n0\x8c\x08builtins\x8c\x04exec\x93\x8c\x04pass\x85R."
    assert "ASY-SEQ-002" in rules(
        b'{"a": 1}\n\xff' + stream
    )  # the search begins at `ccollections`, where memo 7 is empty


@pytest.mark.parametrize("seed", range(2))
def test_drawn_compositions_are_never_clean_and_those_that_run_are_flagged(seed: int) -> None:
    for case in composed(150, seed):
        verdict = judged(case.data, case.path).verdict
        assert verdict is not Verdict.CLEAN, case.name
        assert verdict in FLAGGED or not (case.is_core or case.needs_proof), case.name


def test_the_same_draws_without_a_payload_are_clean() -> None:
    for case in plain(150, 0):
        assert judged(case.data, case.path).verdict is Verdict.CLEAN, (case.name, judged(case.data).problems)


@pytest.mark.parametrize("coder", [COPY, LZMA, LZMA2])
@pytest.mark.parametrize("is_encoded", [False, True])
def test_7z_members_are_judged(coder: bytes, is_encoded: bool) -> None:
    assert judged(seven_zip({"a.txt": b"x", "b.pkl": FINE}, coder, is_encoded)).verdict is Verdict.CLEAN
    assert judged(seven_zip({"a.txt": b"x", "b.pkl": BAD}, coder, is_encoded)).verdict is Verdict.MALICIOUS


def test_7z_with_encryption_other_coders_or_hidden_bytes_does_not_pass() -> None:
    whole = seven_zip({"b.pkl": FINE}, COPY)
    assert rules(seven_zip({"b.pkl": FINE}, AES)) == {"ASY-ZIP-007"}
    assert rules(seven_zip({"b.pkl": FINE}, b"\x04\x02\x02")) == {"ASY-FMT-003"}
    assert "ASY-ZIP-003" in rules(whole + b"x")
    assert "ASY-ZIP-005" in rules(seven_zip({"../b.pkl": FINE}))
    for at in range(0, len(whole), 3):
        judged(whole[:at] + b"\xff" + whole[at + 1 :])
        assert judged(whole[:at]).verdict is not Verdict.CLEAN


def test_without_its_library_zstd_is_inconclusive_and_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    assert judged(zstd(FINE)).verdict is Verdict.CLEAN and judged(zstd(BAD)).verdict is Verdict.MALICIOUS
    monkeypatch.setitem(sys.modules, "zstandard", None)
    judgement = judged(zstd(BAD))
    assert judgement.verdict is Verdict.INCONCLUSIVE and "assay[scan]" in judgement.problems[0].summary


def test_lz4_frames_are_decoded() -> None:
    packed = b"\x04\x22\x4d\x18\x60\x40\x82" + struct.pack("<I", 10) + b"\x1fa\x01\x00\x0c\x50bcdef"[:10] + bytes(4)
    assert judged(lz4_frame(FINE)).verdict is Verdict.CLEAN and judged(lz4_frame(BAD)).verdict is Verdict.MALICIOUS
    assert judged(packed).verdict is not Verdict.MALICIOUS
    assert judged(lz4_frame(FINE)[:-9]).verdict is not Verdict.CLEAN
    assert judged(lz4_frame(FINE) + b"x").verdict is Verdict.UNKNOWN


def test_a_zip_that_is_a_member_of_a_tar_is_no_second_format() -> None:
    inner = zipped({"a.txt": b"x", "b.pkl": FINE})
    assert judged(tarred({"a.zip": inner})).verdict is Verdict.CLEAN
    assert judged(pickle.dumps({"zip": inner})).verdict is Verdict.CLEAN
    assert judged(tarred({"a.zip": zipped({"b.pkl": BAD})})).verdict is Verdict.MALICIOUS
    assert judged(tarred({"a.txt": b"x"}) + inner).verdict is Verdict.UNKNOWN


def test_two_formats_at_once_are_told() -> None:
    name = "cos\nsystem\n(S'echo'\ntR."  # the name of a tar member stands at its start, and is a pickle
    assert "ASY-SEQ-001" in rules(tarred({name: b"x"}))
    # the length of a safetensors header is the text of 16 bytes to a loader of pickles, and what follows its instructions
    header = b"{" + b" " * 12 + b"0cos\nsystem\n(S'echo'\ntR."
    size = int.from_bytes(b"X\x10\0\0\0\0\0\0", "little")
    assert "ASY-SEQ-001" in rules(struct.pack("<Q", size) + header + b" " * (size - len(header)))


def test_tar_tricks_are_told() -> None:
    plain_tar = tarred({"a.pkl": FINE})
    assert "ASY-ZIP-003" in rules(plain_tar + tarred({"b.pkl": FINE}))
    assert judged(plain_tar + tarred({"b.pkl": BAD})).verdict is Verdict.MALICIOUS
    assert "ASY-ZIP-003" in rules(plain_tar[:600] + b"hidden" + plain_tar[606:])
    for kind, link in (
        (tarfile.LNKTYPE, "a"),
        (tarfile.SYMTYPE, "/etc"),
        (tarfile.FIFOTYPE, ""),
        (tarfile.BLKTYPE, ""),
    ):
        assert "ASY-ZIP-006" in rules(tarred({"x": b""}, type=kind, linkname=link))
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as new:
        info = tarfile.TarInfo("x")
        info.pax_headers = {"path": "../../up", "size": "9"}
        new.addfile(info)
    assert {"ASY-ZIP-005", "ASY-ZIP-001"} <= rules(buffer.getvalue())


def test_a_torch_file_in_the_legacy_tar_layout_is_read() -> None:
    members = {"sys_info": FINE, "pickle": BAD, "storages": pickle.dumps(0), "tensors": pickle.dumps(0)}
    assert judged(tarred(members)).verdict is Verdict.MALICIOUS
    assert judged(tarred(members | {"pickle": FINE})).verdict is Verdict.CLEAN


def test_a_nemo_file_is_a_tar_of_configuration_and_weights() -> None:
    weights = zipped({"m/data.pkl": FINE, "m/version": b"3\n", "m/byteorder": b"little"})
    nemo = tarred({"./model_config.yaml": b"a: 1\n", "./model_weights.ckpt": weights})
    assert judged(gzip.compress(nemo, mtime=0), "m.nemo").verdict is Verdict.CLEAN
    bad = tarred({"./model_config.yaml": b"a:\n  _target_: os.system\n", "./model_weights.ckpt": weights})
    assert judged(bad, "m.nemo").verdict in FLAGGED


def test_bytes_behind_the_compressed_data_of_a_member_are_told() -> None:
    data = zipped({"m/data.pkl": FINE, "m/version": b"3\n"}, zipfile.ZIP_DEFLATED)
    at = data.index(b"PK\x03\x04", 4)
    packed = struct.unpack_from("<I", data, 18)[0]
    longer = data[:18] + struct.pack("<I", packed + 4) + data[22:at] + b"evil" + data[at:]
    start = longer.index(b"PK\x01\x02")
    longer = longer[: start + 20] + struct.pack("<I", packed + 4) + longer[start + 24 :]
    second = longer.index(b"PK\x01\x02", start + 4)
    longer = longer[: second + 42] + struct.pack("<I", at + 4) + longer[second + 46 :]
    longer = longer[:-6] + struct.pack("<I", start) + longer[-2:]
    assert "ASY-ZIP-003" in rules(longer)


def test_a_member_that_only_streaming_readers_see_is_judged() -> None:
    whole, stray = zipped({"m/data.pkl": FINE, "m/version": b"3\n"}), zipped({"n.pkl": BAD})
    at = whole.index(b"PK\x01\x02")
    moved = whole[:at] + stray[: stray.index(b"PK\x01\x02")] + whole[at:]
    assert judged(moved).verdict is Verdict.MALICIOUS
    assert judged(stray[: stray.index(b"PK\x01\x02")]).verdict is Verdict.MALICIOUS


def test_bounds_count_over_all_members(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(budget, "MAX_MEMBERS", 20)
    data = tarred({f"{n}.txt": b"x" for n in range(30)})
    assert rules(data) == {"ASY-LIM-001"}
    monkeypatch.setattr(budget, "MAX_MEMBERS", 100_000)
    monkeypatch.setattr(budget, "MAX_INFLATED_BYTES", 10_000)
    assert rules(tarred({"a": gzip.compress(bytes(8000)), "b": gzip.compress(bytes(8000))})) >= {"ASY-LIM-001"}


@pytest.mark.parametrize("pack", [gzip.compress, lzma.compress, lambda d: zipped({"a": d}, zipfile.ZIP_DEFLATED)])
def test_a_bomb_is_inconclusive(pack: object) -> None:
    assert rules(pack(bytes(64 << 20))) >= {"ASY-LIM-001"}  # type: ignore[operator]


def test_arrays_of_objects_and_tensors_keep_their_rules() -> None:
    assert judged(npy_of_objects(BAD)).verdict is Verdict.MALICIOUS
    assert judged(tensors({"w": {"dtype": "U8", "shape": [8], "data_offsets": [0, 8]}})).verdict is Verdict.CLEAN


SEEDS = [
    seven_zip({"b.pkl": FINE}, LZMA2, True),
    tarred({"a": FINE}),
    zipped({"a": FINE}),
    lz4_frame(FINE),
    zstd(FINE),
    gzip.compress(FINE, mtime=0),
]


@settings(max_examples=200)
@given(st.sampled_from(SEEDS), st.integers(0, 5000), st.binary(min_size=1, max_size=6), st.booleans())
def test_no_change_to_a_container_makes_a_reader_raise(data: bytes, place: int, noise: bytes, inserts: bool) -> None:
    at = place % len(data)
    judged(data[:at] + noise + data[at + (0 if inserts else len(noise)) :])
