"""Formats told by their magic: which reader has the file. What has no reader is named, and is not clean."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from assay.core.errors import MalformedInput
from assay.formats.arrow_file import (
    ARROW,
    FEATHER,
    PARQUET,
    PARQUET_ENCRYPTED,
    STREAM,
    arrow_facts,
    arrow_stream_facts,
    feather_facts,
    parquet_facts,
)
from assay.formats.catboost_file import MARK as CATBOOST
from assay.formats.catboost_file import catboost_facts
from assay.formats.coreml_file import coreml_facts, coreml_weight_facts, is_coreml_weights
from assay.formats.facts import Fact, FileFacts
from assay.formats.hdf5.headers import MARK as HDF5
from assay.formats.hdf5_file import hdf5_facts
from assay.formats.impossible import broken_fact
from assay.formats.msgpack_file import is_msgpack, msgpack_facts
from assay.formats.mxnet_file import MARK as MXNET
from assay.formats.mxnet_file import mxnet_facts
from assay.formats.onnx_file import onnx_facts
from assay.formats.paddle_file import is_paddle_parameters, paddle_parameter_facts, paddle_program_facts
from assay.formats.pickle_machine import Data
from assay.formats.rds_file import rds_facts
from assay.formats.tensorflow_bundle import bundle_facts, is_bundle_index
from assay.formats.tensorflow_file import tensorflow_facts
from assay.formats.tflite_file import MARK as TFLITE
from assay.formats.tflite_file import tflite_facts
from assay.formats.ubjson_file import ubjson_facts
from assay.formats.xgboost_binary import MARK as XGBOOST
from assay.formats.xgboost_binary import xgboost_facts

MAX_MESSAGE = 2 << 30
_UBJSON = (b"{L\x00\x00\x00\x00\x00\x00\x00", b"{i\x07learner", b"{L\x00", b"{i", b"{U", b"{l", b"{I")
_EXECUTABLE = (
    b"\x7fELF",
    b"MZ",
    b"\xcf\xfa\xed\xfe",
    b"\xce\xfa\xed\xfe",
    b"\xca\xfe\xba\xbe",
    b"\xfe\xed\xfa\xcf",
    b"\x00asm",
)
_MESSAGE_STARTS = [bytes([byte]) for byte in b"\x08\x0a\x12\x18\x1a\x22\x2a\x32\x3a\x42\x72\xc8"]


def known_binary(data: Data, size: int) -> FileFacts | None:
    """A format by its magic; None if there is none."""
    start = bytes(data[:200])
    for at, magic, read in _WHOLE:
        if start[at : at + len(magic)] == magic:
            return read(data)
    for magic, name, walk in _WALKED:
        if start.startswith(magic):
            return walked(name, walk, data)
    if start.startswith(_EXECUTABLE) and (not start.startswith(b"MZ") or size > 64):
        return FileFacts("executable", (Fact("code", "", None, ("an executable or library",)),))
    if start.startswith(_UBJSON) and b"learner" in start:
        return walked("xgboost-ubj", ubjson_facts, data)
    if start.startswith(b"bs64\t"):
        return FileFacts("xgboost-text", (Fact("unexamined", "", None, ("XGBoost's old format in base64",)),))
    if is_bundle_index(data):
        return walked("tensorflow-index", bundle_facts, data)
    return rds_facts(data)


def known_message(data: Data, path: str) -> FileFacts | None:
    """A protocol buffer by the fields that it has, MessagePack, or parameters without magic; None if it is none of them."""
    if len(data) <= MAX_MESSAGE and data[:1] in _MESSAGE_STARTS:
        readers: tuple[Callable[[], FileFacts | None], ...] = (
            lambda: onnx_facts(data),
            lambda: tensorflow_facts(data, path),
            lambda: paddle_program_facts(data),
            lambda: coreml_facts(data),
        )
        if (found := next(filter(None, (read() for read in readers)), None)) is not None:
            return found
    if is_coreml_weights(data):
        return walked("coreml-weights", coreml_weight_facts, data)
    if is_paddle_parameters(data):
        return walked("paddle-parameters", paddle_parameter_facts, data)
    if is_msgpack(data, path):
        return walked("msgpack", msgpack_facts, data)
    return None


def walked(name: str, read: Callable[[Data], Iterator[Fact]], data: Data) -> FileFacts:
    """Facts of a reader that raises where a format does not hold; what it told before stands."""
    facts: list[Fact] = []
    try:
        facts.extend(read(data))
    except MalformedInput as error:
        facts.append(broken_fact(error))
    return FileFacts(name, tuple(facts))


_WHOLE: tuple[tuple[int, bytes, Callable[[Data], FileFacts]], ...] = ((0, HDF5, hdf5_facts), (4, TFLITE, tflite_facts))
_WALKED: tuple[tuple[bytes, str, Callable[[Data], Iterator[Fact]]], ...] = (
    (ARROW + b"\x00\x00", "arrow", arrow_facts), (PARQUET, "parquet", parquet_facts), (PARQUET_ENCRYPTED, "parquet", parquet_facts),
    (FEATHER, "feather", feather_facts), (STREAM, "arrow-stream", arrow_stream_facts),
    (CATBOOST, "catboost", catboost_facts), (MXNET, "mxnet", mxnet_facts), (XGBOOST, "xgboost-binary", xgboost_facts),
)  # fmt: skip
