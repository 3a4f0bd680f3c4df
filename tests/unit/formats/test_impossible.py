"""Structure that no writer makes is flagged; what a broken download explains is inconclusive; neither is clean."""

from __future__ import annotations

import gzip
import json
import struct
import zlib

import pytest
from tests.corpus.model_file.attacks import gguf, tensors, zipped

from assay.checks.model_file.judge import judge
from assay.core.outcomes import Verdict
from assay.formats.reading import read_facts

ONE = {"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}
TEXT = json.dumps(ONE).encode()


def tensor(**changed: object) -> bytes:
    return tensors({"a": {**ONE["a"], **changed}}, bytes(4))


def text(data: bytes) -> bytes:
    return struct.pack("<Q", len(data)) + data


def key(name: bytes, kind: int, value: bytes) -> bytes:
    return text(name) + struct.pack("<I", kind) + value


def header(*keys: bytes, tensors: tuple[bytes, ...] = (), version: int = 3, tail: bytes = b"") -> bytes:
    head = b"GGUF" + struct.pack("<IQQ", version, len(tensors), len(keys)) + b"".join((*keys, *tensors))
    return head + bytes(-len(head) % 32) + tail if tensors else head


def described(name: bytes, shape: list[int], kind: int = 0, offset: int = 0) -> bytes:
    return text(name) + struct.pack(f"<I{len(shape)}QIQ", len(shape), *shape, kind, offset)


def rules(data: bytes, path: str) -> set[str]:
    judgement = judge(read_facts(data, path))
    assert judgement.verdict is Verdict.UNKNOWN, judgement
    return {problem.rule for problem in judgement.problems}


SAFETENSORS = {
    "a list for a header": tensors(b"[]", b""), "a space before the header": tensors(b" " + TEXT, bytes(4)), "no UTF-8": tensors(b'{"\xff":1}'),
    "zeros behind the header": tensors(TEXT + bytes(3), bytes(4)), "a second object": tensors(TEXT + b"{}", bytes(4)), "not a number":
    tensors(TEXT.replace(b"[1]", b"[NaN]"), bytes(4)), "the same key twice": tensors(TEXT[:-1] + b"," + TEXT[1:], bytes(4)), "nested": tensors(b'{"a":'
    + b"[" * 2000 + b"]" * 2000 + b"}"), "an empty header": struct.pack("<Q", 0) + bytes(16), "a header longer than allowed": struct.pack("<Q", 1 << 60)
    + b"{}" + bytes(8), "a header that reaches behind its end": struct.pack("<Q", len(TEXT) + 100) + TEXT + bytes(4), "the offsets reversed":
    tensor(data_offsets=[4, 0]), "a negative offset": tensor(data_offsets=[-4, 0]), "a negative shape": tensor(shape=[-1]), "a fraction": tensor(shape=[1.0]),
    "a bool": tensor(shape=[True]), "another key": tensor(x=1), "a shape that overflows": tensor(shape=[1 << 62, 4]), "metadata without texts":
    tensors({**ONE, "__metadata__": {"a": {"b": 1}}}, bytes(4)), "metadata with a key twice": tensors(b'{"__metadata__":{"a":"1","a":"2"},' + TEXT[1:],
    bytes(4)),
}  # fmt: skip
GGUF = {
    "another version": header(version=99), "CVE-2024-23496: keys beyond any file": gguf({}, counts=(0, 1 << 62)), "CVE-2024-21802: tensors beyond any file":
    gguf({}, counts=(1 << 62, 0)), "a text of 2^63 bytes": header(key(b"a", 8, struct.pack("<Q", 1 << 63))), "a text behind the end": header(key(b"a", 8,
    struct.pack("<Q", 1000))), "CVE-2024-23605: an array beyond any file": header(key(b"a", 9, struct.pack("<IQ", 4, 1 << 60))), "an array of texts":
    header(key(b"a", 9, struct.pack("<IQ", 8, 1 << 40))), "an array behind the end": header(key(b"a", 9, struct.pack("<IQ", 4, 1000))),
    "arrays in arrays": header(key(b"a", 9, struct.pack("<IQ", 9, 1) * 100)), "a key twice": header(key(b"a", 4, bytes(4)), key(b"a", 4, bytes(4))),
    "an empty key": header(key(b"", 4, bytes(4))), "a key that is not ASCII": header(key(b"\xff\xfe", 4, bytes(4))), "an alignment of 0": header(key(
    b"general.alignment", 4, bytes(4))), "an alignment of 3": header(key(b"general.alignment", 4, struct.pack("<I", 3))), "an alignment that is text":
    header(key(b"general.alignment", 8, text(b"32"))), "a value of no type": header(key(b"a", 77, bytes(8))), "five dimensions": header(tensors=(described(
    b"a", [1] * 5),), tail=bytes(32)), "2^31 dimensions": header(tensors=(text(b"a") + struct.pack("<I", 1 << 31),)), "a shape that overflows":
    header(tensors=(described(b"a", [1 << 62, 4]),), tail=bytes(32)), "an offset between alignments": header(tensors=(described(b"a", [1], 0, 4),),
    tail=bytes(32)), "a name twice": header(tensors=(described(b"a", [8]), described(b"a", [8], 0, 32)), tail=bytes(64)),
}  # fmt: skip


@pytest.mark.parametrize("name", SAFETENSORS)
def test_safetensors_that_no_writer_writes_are_flagged(name: str) -> None:
    assert "ASY-FMT-007" in rules(SAFETENSORS[name], "m.safetensors")


@pytest.mark.parametrize("name", GGUF)
def test_gguf_that_no_writer_writes_is_flagged(name: str) -> None:
    assert "ASY-FMT-007" in rules(GGUF[name], "m.gguf")


def test_a_type_that_is_not_known_is_not_examined() -> None:
    assert rules(tensor(dtype="X9"), "m.safetensors") == {"ASY-FMT-006"}
    assert rules(header(tensors=(described(b"a", [1], 99),), tail=bytes(32)), "m.gguf") == {"ASY-FMT-006"}


def test_a_key_twice_in_json_is_flagged_since_readers_take_either() -> None:
    assert rules(b'{"auto_map": null, "a": 1, "a": 2}', "config.json") >= {"ASY-FMT-007"}


@pytest.mark.parametrize("size", range(9, len(TEXT) + 7))
def test_a_header_that_a_download_cut_short_is_inconclusive(size: int) -> None:
    whole = tensors(TEXT, bytes(4))
    judgement = judge(read_facts(whole[:size], "m.safetensors"))
    assert judgement.verdict is Verdict.INCONCLUSIVE


@pytest.mark.parametrize("version", [1, 1 << 24, 3 << 24])
def test_gguf_of_the_first_version_or_big_endian_is_inconclusive(version: int) -> None:
    assert judge(read_facts(header(version=version), "m.gguf")).verdict is Verdict.INCONCLUSIVE


def test_zeros_of_no_format_that_only_a_bound_ended_are_a_bomb() -> None:
    for data in (zipped({"a.npy": bytes(64 << 20)}, 8), gzip.compress(bytes(64 << 20)), zlib.compress(bytes(64 << 20))):
        assert "ASY-LIM-002" in rules(data, "m.npz")


def test_many_members_of_nothing_are_a_bomb_together() -> None:
    assert "ASY-LIM-002" in rules(zipped({f"m{number}.bin": bytes(4 << 20) for number in range(5)}, 8), "m.zip")


def test_what_is_nested_deeper_than_any_writer_nests_is_flagged() -> None:
    data = b"\x80\x04N."
    for _ in range(12):
        data = gzip.compress(data, mtime=0)
    assert "ASY-LIM-002" in rules(data, "m.pkl")


def test_spaces_behind_a_header_are_what_the_format_allows() -> None:
    assert judge(read_facts(tensors(TEXT + b" " * 6, bytes(4)), "m.safetensors")).verdict is Verdict.CLEAN
