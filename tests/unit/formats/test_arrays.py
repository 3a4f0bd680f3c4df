"""npy, npz and safetensors: what numpy writes is understood, what it would unpickle is seen, the rest is malformed."""

from __future__ import annotations

import contextlib
import io
import json
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.core.errors import MalformedInput
from assay.formats.npy_file import check_npy, read_npy_header
from assay.formats.safetensors_file import check_safetensors


def npy(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=True)
    return buffer.getvalue()


@pytest.mark.parametrize(
    "array",
    [
        np.zeros(3), np.zeros((2, 3), np.int8), np.array(1.5), np.array(["ab", "c"]), np.array([b"x"]), np.zeros((0, 4)),
        np.asfortranarray(np.ones((3, 2), ">f4")), np.array([True]), np.zeros(2, [("a", "<i8"), ("b", "<f4", (2, 2))]),
        np.array(["2024-01-01"], "M8[D]"), np.zeros(2, np.complex64), np.zeros(1, np.dtype("V7")),
    ],
)  # fmt: skip
def test_a_header_of_numpy_is_understood(array: np.ndarray) -> None:
    data = npy(array)
    header = check_npy(io.BytesIO(data), len(data))
    assert (header.shape, header.item_bytes, header.has_objects) == (array.shape, array.dtype.itemsize, False)
    assert header.is_fortran == (array.flags.f_contiguous and not array.flags.c_contiguous)


def test_objects_are_seen_also_inside_a_structure() -> None:
    assert read_npy_header(npy(np.array([{}], object))).has_objects
    assert read_npy_header(npy(np.zeros(1, [("a", "<i8"), ("b", "O")]))).has_objects


def header_of(text: str) -> bytes:
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text.encode()


@pytest.mark.parametrize(
    "data",
    [
        b"", b"\x93NUMPY\x01\x00\xff\xff", b"\x93NUMPY\x09\x00\x01\x00{", header_of("__import__('os').system('true')"),
        header_of("{'descr': '<f8', 'fortran_order': False, 'shape': (9**9**9,), }"), header_of("(" * 9000),
        header_of("{'descr': '<f8', 'fortran_order': False, 'shape': (99999999999999,99999999999999), }"),
        header_of("{'descr': 'nonsense', 'fortran_order': False, 'shape': (1,), }"),
    ],
)  # fmt: skip
def test_a_hostile_header_is_malformed_and_not_evaluated(data: bytes) -> None:
    with pytest.raises(MalformedInput):
        read_npy_header(data)


def test_data_that_do_not_fill_the_shape_are_malformed() -> None:
    data = npy(np.zeros(3))
    for wrong in (data[:-1], data + b"x"):
        with pytest.raises(MalformedInput):
            check_npy(io.BytesIO(wrong), len(wrong))


def tensors(header: object, data: bytes) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


F32 = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}
I8 = {"dtype": "I8", "shape": [2, 2], "data_offsets": [8, 12]}


def test_tensors_that_fill_the_buffer_are_accepted() -> None:
    data = tensors({"a": F32, "b": I8, "__metadata__": {"format": "pt"}}, bytes(12))
    found = check_safetensors(io.BytesIO(data), len(data))
    assert found.shapes == {"a": (2,), "b": (2, 2)} and found.metadata == {"format": "pt"}


@pytest.mark.parametrize(
    "data",
    [
        b"", b"\xff" * 8, tensors({"a": F32}, bytes(7)), tensors({"a": F32}, bytes(9)), tensors({"b": I8}, bytes(12)),
        tensors({"a": F32, "b": {**I8, "data_offsets": [4, 8]}}, bytes(8)), tensors({"a": {**F32, "dtype": "OBJ"}}, bytes(8)),
        tensors({"a": {**F32, "shape": [3]}}, bytes(8)), tensors({"a": {**F32, "shape": [-2, -1]}}, bytes(8)),
        tensors(b'{"a":{"dtype":"U8","shape":[0],"data_offsets":[0,0]},"a":1}', b""), tensors([], b""),
        tensors({"__metadata__": {"a": 1}}, b""), tensors({"a": {**F32, "shape": [1e300]}}, bytes(8)),
    ],
)  # fmt: skip
def test_a_hole_a_tail_or_a_lie_in_tensors_is_malformed(data: bytes) -> None:
    with pytest.raises(MalformedInput):
        check_safetensors(io.BytesIO(data), len(data))


@given(st.binary(max_size=200))
def test_no_bytes_make_the_readers_fail_otherwise(noise: bytes) -> None:
    for data in (noise, b"\x93NUMPY\x01\x00" + noise, tensors(noise, b"")):
        for reader in (check_npy, check_safetensors):
            with contextlib.suppress(MalformedInput):
                reader(io.BytesIO(data), len(data))
