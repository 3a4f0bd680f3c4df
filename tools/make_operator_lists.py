# ruff: noqa: E501 - tables of names
"""Writes the lists of graph operators: `allow/operators.json`, by library, domain and exact name.

    python tools/make_operator_lists.py tensorflow|onnx|coreml      # in an environment that has that library

Names are those that the library registers. Left out or refused with a reason, by the tables below, is what reads, writes, talks,
prints to a file, runs Python or holds code; a name that is in neither place is unknown.
"""

from __future__ import annotations

import json
import os
import re
import sys
from pathlib import Path

OUT = Path(__file__).resolve().parent.parent / "src/assay/checks/model_file/allow/operators.json"
SCHEMA = "urn:assay:operator-list:v1"
TF_REFUSED = (
    (r"PyFunc|PyFuncStateless|EagerPyFunc", "calls Python functions of the process"),
    (r"ReadFile|WholeFileReader(V2)?|TextLineReader(V2)?|TFRecordReader(V2)?|FixedLengthRecordReader(V2)?|LMDBReader", "reads files"),
    (r"(Experimental)?(TextLineDataset|TFRecordDataset|TFRecordDatasetV2|FixedLengthRecordDataset(V2)?|LMDBDataset|CSVDataset(V2)?|MatchingFilesDataset|LoadDataset|ListSnapshotChunksDataset|SnapshotChunkDataset)", "reads files"),
    (r"(Experimental)?SqlDataset", "opens a database"),
    (r"MatchingFiles", "lists folders"),
    (r"GenerateVocabRemapping|LoadAndRemapMatrix", "reads files"),
    (r"WriteFile|DumpTensor|CalibrationStatisticsSaver|DistributedSave|SaveDataset(V2)?|(Experimental)?DatasetToTFRecord|Snapshot(Nested)?Dataset(V2|Reader)?|CacheDataset(V2)?", "writes files"),
    (r"CreateSummary(File|Db)Writer|SummaryWriter|Write\w*Summary|ImportEvent|FlushSummaryWriter|CloseSummaryWriter", "writes event files"),
    (r"Debug(Identity|NanCount|NumericSummary)(V\d)?", "sends tensors to a file or server that its attributes name"),
    (r"Rpc\w+|DeleteRpcFutureResource|DataServiceDataset(V\d)?|RegisterDataset(V2)?|DummyIterationCounter|RemoteCall|CollectiveInitializeCommunicator|WorkerHeartbeat", "talks to other machines"),
    (r"FileSystemSetConfiguration", "changes how files are reached"),
    (r"(Configure|Shutdown|_Configure|_Shutdown|_WaitFor|_InitializeHostFor|_DisconnectHostFrom)\w*TPU\w*", "reconfigures hardware"),
    (r"XlaHostCompute|_XlaHostComputeMlir|XlaCallModule|XlaCustomCall(V2)?", "may call functions of the host by address or name"),
    (r"DTensorRestoreV2", "reads files"),
)  # fmt: skip
TF_LEFT_OUT = r"_?(TPU|Tpu|XlaSparse|XlaCompile|_Tpu|Dtensor|DTensor|CopyToMesh|Nccl|_Nccl|Collective|Infeed|Outfeed)\w*|\w*TPUEmbedding\w*|_(Host)?(Send|Recv)|Send|Recv|Xla(Send|Recv)\w*|_Xla\w*|SleepOp|SleepIdentityOp|(Experimental)?SleepDataset|TestAttr|Stub\w*|GeneratorDataset|(Get|Update)Element\w*|MlirPassthroughOp|PyOp"
ONNX_REFUSED = {
    "ai.onnx.contrib": {"PyOp": "runs Python", "PyCustomOp": "runs Python"},
    "com.microsoft": {
        "PythonOp": "runs Python",
        "PythonOpGrad": "runs Python",
        "SnpeQnn": "runs a vendor's binary",
        "EPContext": "holds a compiled binary for a device",
    },
}
PADDLE_REFUSED = (
    (r"py_func|py_layer|pylayer", "calls Python functions of the process"),
    (
        r"(save|load)(_combine|_sparse_selected_rows)?|read_file|checkpoint_notify|queue_generator|create_py_reader|create_custom_reader",
        "reads or writes files",
    ),
    (r"print|print_kernel", "prints to files or streams"),
)
COREML_LEFT_OUT = r"custom\w*|classify_custom"


def main() -> None:
    asked = sys.argv[1:]
    known = json.loads(OUT.read_text("utf-8")) if OUT.exists() else {"schema": SCHEMA, "libraries": {}}
    for name in asked:
        known["libraries"][name] = {
            "tensorflow": tensorflow,
            "onnx": onnx,
            "coreml": coreml,
            "paddle": paddle,
            "tflite": tflite,
            "mxnet": mxnet,
        }[name]()
        domains = known["libraries"][name]["domains"]
        print(name, {domain: len(ops) for domain, ops in domains.items()})
    OUT.write_text(json.dumps(known, separators=(",", ":"), sort_keys=True) + "\n", "utf-8")


def tensorflow() -> dict[str, object]:
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    import tensorflow
    from tensorflow.core.framework import op_def_pb2
    from tensorflow.python.client import pywrap_tf_session

    found = op_def_pb2.OpList()
    found.ParseFromString(pywrap_tf_session.TF_GetBuffer(pywrap_tf_session.TF_GetAllOpList()))
    names = {op.name for op in found.op}
    refused = {name: why for pattern, why in TF_REFUSED for name in names if re.fullmatch(pattern, name)}
    refused |= {
        "RpcCall": "talks to other machines",
        "TryRpc": "talks to other machines",
        "Rpc": "talks to other machines",
        "PyFunc": "calls Python functions of the process",
    }
    quiet = sorted(name for name in names - refused.keys() if not re.fullmatch(TF_LEFT_OUT, name))
    old = ["BatchSvd", "BatchCholesky", "LoopCond"]
    return {"version": tensorflow.__version__, "domains": {"": sorted({*quiet, *old})}, "refused": {"": refused}}


def onnx() -> dict[str, object]:
    import onnx as library
    import onnxruntime
    from onnxruntime.capi import onnxruntime_pybind11_state as state

    domains: dict[str, set[str]] = {}
    for schema in [*library.defs.get_all_schemas(), *state.get_all_operator_schema()]:
        domains.setdefault(schema.domain, set()).add(schema.name)
    quiet = {domain: sorted(names - ONNX_REFUSED.get(domain, {}).keys()) for domain, names in domains.items()}
    quiet[""] = sorted(
        {
            *quiet[""],
            "ConstantFill",
            "Crop",
            "ImageScaler",
            "Scale",
            "GivenTensorFill",
            "ParametricSoftplus",
            "ScaledTanh",
            "Affine",
            "DynamicSlice",
        }
    )
    return {
        "version": f"{library.__version__}, onnxruntime {onnxruntime.__version__}",
        "domains": quiet,
        "refused": ONNX_REFUSED,
    }


def coreml() -> dict[str, object]:
    import coremltools
    from coremltools.converters.mil.mil.ops.registry import SSAOpRegistry

    names = {name for name in SSAOpRegistry.core_ops if not re.fullmatch(COREML_LEFT_OUT, name)}
    return {
        "version": coremltools.__version__,
        "domains": {
            "": sorted(
                names
                | {
                    "const",
                    "constexpr_affine_dequantize",
                    "constexpr_cast",
                    "constexpr_lut_to_dense",
                    "constexpr_sparse_to_dense",
                }
            )
        },
        "refused": {"": {}},
    }


def paddle() -> dict[str, object]:
    import paddle as library
    from paddle.base import core

    names = {*core.get_all_op_names(), "feed", "fetch"}
    refused = {name: why for pattern, why in PADDLE_REFUSED for name in names if re.fullmatch(pattern, name)}
    refused |= {"py_func": "calls Python functions of the process", "py_layer": "calls Python functions of the process"}
    left_out = r"c_\w+|distributed_\w+|send\w*|recv\w*|listen\w*|fl_\w+|run_program|pyramid_hash|.*_xpu|push_\w+|pull_\w+|partial_(send|recv)\w*|global_(scatter|gather)|nop|onednn_\w+"
    return {
        "version": library.__version__,
        "domains": {"": sorted(n for n in names - refused.keys() if not re.fullmatch(left_out, n))},
        "refused": {"": refused},
    }


def tflite() -> dict[str, object]:
    """Custom operators that ship with the runtime; built-in ones are numbers that the reader knows."""
    names = [
        "TFLite_Detection_PostProcess",
        "Mfcc",
        "AudioSpectrogram",
        "NumericVerify",
        "RFFT2D",
        "Roll",
        "MaxPoolWithArgmax",
        "MaxUnpooling2D",
        "Convolution2DTransposeBias",
    ]
    return {"version": "2.21", "domains": {"custom": names}, "refused": {"custom": {}}}


def mxnet() -> dict[str, object]:
    """Names that the library registers, read from its binary by its C interface; argument: the path of libmxnet.so."""
    import ctypes

    library = ctypes.CDLL(os.environ["LIBMXNET"])
    count, names = ctypes.c_uint(), ctypes.POINTER(ctypes.c_char_p)()
    library.MXListAllOpNames(ctypes.byref(count), ctypes.byref(names))
    found = {names[i].decode() for i in range(count.value)}
    refused = {
        "Custom": "calls a Python class by name",
        "_CustomFunction": "calls Python",
        "_Native": "calls an address that the file holds",
        "_NDArray": "calls an address that the file holds",
        "_NoGradient": "is internal",
    }
    left_out = r"_backward\w*|_TensorRT|_cvim\w+|_cvcopy\w+|_subgraph_op|_FusedOp\w*"
    return {
        "version": "1.9.1",
        "domains": {"": sorted(n for n in found - refused.keys() if not re.fullmatch(left_out, n))},
        "refused": {"": refused},
    }


if __name__ == "__main__":
    main()
