"""The scan of model files: data are clean, payloads are named and never run, the rest is not called clean."""

from __future__ import annotations

import gzip
import io
import json
import os
import pickle
import struct
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.contract.material import run as run_check
from tests.contract.material import saved, world

from assay.checks.model_file.format import format as format_check
from assay.checks.model_file.readers import judged
from assay.core.outcomes import FileVerdict, Finding, Severity, Verdict


class Payload:
    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> object:
        return os.system, (f"touch {self.marker}",)


def npy(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=True)
    return buffer.getvalue()


def npz(**arrays: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    return buffer.getvalue()


def zipped(members: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as new:
        for name, content in members.items():
            new.writestr(name, content)
    return buffer.getvalue()


def tensors() -> bytes:
    header = json.dumps({"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}).encode()
    return struct.pack("<Q", len(header)) + header + bytes(8)


def verdict(data: bytes, path: str) -> Verdict:
    return judged(io.BytesIO(data), path, len(data)).verdict


@pytest.mark.parametrize(
    ("path", "data"),
    [
        ("m.skops", saved("logistic")), ("a.npy", npy(np.zeros(3))), ("a.npz", npz(a=np.zeros(3), b=np.ones((2, 2)))),
        ("a.safetensors", tensors()), ("README.md", "# Müller\n{{ cite }}".encode()), ("LICENSE", b"Apache"),
        ("config.json", b'{"hidden": 12, "classes": ["a"]}'), ("t.csv", b"a,b\n1,2\n"), ("vocab.txt", b"build\nthe\ncat\n"),
        ("a.pkl", pickle.dumps(np.zeros(3))), ("o.npy", npy(np.array([{}], object))), ("o.npz", npz(a=np.array([{}], object))),
        ("t.zip", zipped({"archive/data.pkl": pickle.dumps({}, 2), "archive/data/0": b"1"})), ("m.pkl.gz", gzip.compress(pickle.dumps([1]), mtime=0)),
        ("tokenizer_config.json", b'{"chat_template": "{% for m in messages %}{{ m.role }}{% endfor %}"}'),
        ("plain.pkl", pickle.dumps({"a": [1, 2.5, (None, "x")], "b": {1, 2}})), ("copying.txt", b"copy\nright\nbuild it\n"),
    ],
)  # fmt: skip
def test_data_are_clean(path: str, data: bytes) -> None:
    assert verdict(data, path) is Verdict.CLEAN


@pytest.mark.parametrize("path", ["m.pkl", "m.bin", "m.json", "README.md", "m.joblib", "model.skops", "weights.npy"])
@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_a_payload_is_malicious_under_any_name_and_does_not_run(path: str, protocol: int, tmp_path: Path) -> None:
    marker = tmp_path / "ran"
    assert verdict(pickle.dumps(Payload(marker), protocol), path) is Verdict.MALICIOUS
    assert not marker.exists()


@pytest.mark.parametrize(
    "name", ["os.system", "subprocess.Popen", "builtins.eval", "socket.socket", "runpy.run_path", "operator.attrgetter"]
)
def test_a_name_that_can_act_is_malicious_even_if_never_called(name: str) -> None:
    module, _, attribute = name.rpartition(".")
    assert verdict(f"c{module}\n{attribute}\n.".encode(), "m.pkl") is Verdict.MALICIOUS


def test_a_broken_stream_after_a_payload_is_still_malicious(tmp_path: Path) -> None:
    data = pickle.dumps([Payload(tmp_path / "ran"), 1], 4)
    for cut in (data[:-1], data[:-3], data[:-1] + b"\xff\xff", data + b"trailing"):
        assert verdict(cut, "m.pkl") is Verdict.MALICIOUS


@pytest.mark.parametrize(
    ("path", "data"),
    [
        ("a.pkl", b"\x80\x02\x82\x01."), ("a.pkl", b"Pid\n."), ("a.pkl", pickle.dumps([1]) + b"tail"), ("run.py", b"import os\n"),
        ("s.sh", b"#!/bin/sh\n"), ("a.txt", b"#!/bin/sh\n"), ("config.json", b'{"a": {"auto_map": {"AutoModel": "x.Y"}}}'),
        ("a.safetensors", tensors() + b"x"), ("prompt.txt", b"{{ cycler(1) }}"),
    ],
)  # fmt: skip
def test_what_is_not_listed_is_unknown(path: str, data: bytes) -> None:
    assert verdict(data, path) is Verdict.UNKNOWN


@pytest.mark.parametrize(
    ("path", "data"),
    [
        ("m.pkl", pickle.dumps({"a": 1})[:-1]), ("m.bin", b"\x00\x01\x02\x03"), ("m.pkl.gz", gzip.compress(pickle.dumps([1]), mtime=0)[:-3]),
        ("m.joblib", zlib.compress(pickle.dumps([1]))[:-2]), ("a.npy", npy(np.zeros(3))[:-1]), ("a.npz", npz(a=np.zeros(3))[:-1]),
        ("m.skops", saved("logistic")[:-7]), ("prompt.txt", b"{% for x in y"),
        ("zeros.npz", npz(a=np.zeros(8 << 20))), ("c.json", b'{"a": 1,'),
        ("c.json", b"[" * 100_000), ("empty.bin", b"\xff"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
def test_what_cannot_be_read_to_its_end_is_inconclusive(path: str, data: bytes) -> None:
    assert verdict(data, path) is Verdict.INCONCLUSIVE


def test_a_torch_zip_with_a_payload_is_malicious(tmp_path: Path) -> None:
    data = zipped({"archive/data.pkl": pickle.dumps(Payload(tmp_path / "ran"), 2), "archive/version": b"3"})
    assert verdict(data, "m.pt") is Verdict.MALICIOUS
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("comment", [b"", b"........"])
def test_an_array_that_is_also_an_archive_is_read_as_both(comment: bytes, tmp_path: Path) -> None:
    """torch and zipfile open an archive from its end, whatever stands before it."""
    buffer = io.BytesIO(zipped({"archive/data.pkl": pickle.dumps(Payload(tmp_path / "ran"))}))
    with zipfile.ZipFile(buffer, "a") as archive:
        archive.comment = comment
    data = npy(np.frombuffer(buffer.getvalue(), np.uint8))
    assert zipfile.is_zipfile(io.BytesIO(data))
    assert verdict(data, "m.npy") is Verdict.MALICIOUS


def test_a_python_tag_in_yaml_is_malicious() -> None:
    assert verdict(b"a: !!python/object/apply:os.system [id]\n", "m.yaml") is Verdict.MALICIOUS


def test_every_file_gets_a_verdict_and_every_doubt_a_finding(tmp_path: Path) -> None:
    files = {"a.npy": npy(np.zeros(3)), "b.pkl": pickle.dumps(Payload(tmp_path / "ran")), "c.bin": b"\x00"}
    found = run_check(format_check, world(files))
    verdicts = {o.path: o.verdict for o in found if isinstance(o, FileVerdict)}
    assert verdicts == {"a.npy": Verdict.CLEAN, "b.pkl": Verdict.MALICIOUS, "c.bin": Verdict.INCONCLUSIVE}
    findings = [o for o in found if isinstance(o, Finding)]
    assert {o.location.partition("@")[0] for o in findings} == {"b.pkl", "c.bin"}
    critical = next(o for o in findings if o.severity is Severity.CRITICAL)
    assert "system" in critical.summary and "cwe:502" in critical.refs and critical.remedy


def test_a_flood_of_findings_is_cut_and_said() -> None:
    files = {f"{number:04}.bin": b"\x00" for number in range(900)}
    found = run_check(format_check, world(files))
    assert sum(isinstance(o, Finding) for o in found) == 800
    assert sum(isinstance(o, FileVerdict) for o in found) == 900


@given(st.binary(max_size=400), st.sampled_from(["m.pkl", "m.json", "m.txt", "m.skops", "m"]))
def test_no_bytes_make_the_scan_fail(noise: bytes, path: str) -> None:
    for data in (noise, b"PK\x03\x04" + noise, b"\x93NUMPY" + noise, b"\x80\x04" + noise):
        judged(io.BytesIO(data), path, len(data))


@given(st.binary(max_size=40))
def test_no_bytes_after_a_payload_hide_it(noise: bytes) -> None:
    assert verdict(b"cos\nsystem\n(S'true'\ntR" + noise, "m.txt") is Verdict.MALICIOUS


def test_thousands_of_numbers_of_eight_bytes_are_no_hidden_stream() -> None:
    values = list(np.random.default_rng(1).normal(size=20_000))  # NumPy's scalars, each with its bytes as a constant
    assert verdict(pickle.dumps({"loss_curve_": values}), "m.pkl") is Verdict.CLEAN
    behind = pickle.dumps({"a": b"cposix\nsystem\n(S'true'\ntR."})
    assert verdict(behind, "m.pkl") is Verdict.MALICIOUS


def test_losses_of_scikit_learn_1_5_to_1_7_are_known_by_their_odd_name_and_nothing_else_of_it() -> None:
    assert verdict(b"\x80\x02c_loss\nCyHalfBinomialLoss\n)R.", "m.pkl") is Verdict.CLEAN
    assert verdict(b"\x80\x02c_loss\nCyHalfBinomialLoss\n(c_loss\nmain\ntR.", "m.pkl") is not Verdict.CLEAN
    assert verdict(b"\x80\x02c_loss\nmain\n)R.", "m.pkl") is not Verdict.CLEAN
