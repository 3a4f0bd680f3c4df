"""What the allow-lists hold by hand: functions with the arguments that they may have, and hooks that were read and found harmless.

Constraints are explained in `assay.checks.model_file.lists`. `why` says why a call with such arguments can do no harm.
"""

from __future__ import annotations


def call(
    *args: str,
    makes: str = "",
    why: str = "",
    items: bool = False,
    state: bool | list[str] = False,
    role: str = "function",
    slots: bool = False,
) -> dict[str, object]:
    """One entry; empty values are left out. `state` is true for any state, or what a tuple of it must fit."""
    full: dict[str, object] = {
        "role": role,
        "args": list(args),
        "makes": makes,
        "why": why,
        "items": items,
        "state": state,
        "slots": slots,
    }
    return {key: value for key, value in full.items() if value or key in ("role", "args")}


def made(*args: str, **more: object) -> dict[str, object]:
    """A type whose constructor may be called too."""
    return call(*args, role="type", **more)  # type: ignore[arg-type]


VALUE = "makes a value from constants"
_EXCEPTIONS = [
    "ArithmeticError",
    "AssertionError",
    "AttributeError",
    "EOFError",
    "Exception",
    "FloatingPointError",
    "IndexError",
    "KeyError",
    "LookupError",
    "MemoryError",
    "NameError",
    "NotImplementedError",
    "OverflowError",
    "RuntimeError",
    "StopIteration",
    "TypeError",
    "ValueError",
    "ZeroDivisionError",
    "UserWarning",
    "Warning",
    "RuntimeWarning",
    "DeprecationWarning",
    "FutureWarning",
]
_BUILTIN_TYPES = {
    "bool": "tx", "bytes": made("any?", "str?", why="from bytes or numbers in range; a count is refused by `bytes`"), "complex": made("float|int",
    "float|int", why=VALUE),
    "dict": made("list|dict?", why=VALUE), "float": made("float|int|str?", why=VALUE), "frozenset": made("list|tuple|set?", why=VALUE),
    "int": made("int|str?", why=VALUE), "list": made("list|tuple|set|dict?", why=VALUE, items=True), "object": made(why=VALUE),
    "range": made("int", "int", "int", why="three numbers; it holds no items"), "set": made("list|tuple|set?", why=VALUE, items=True),
    "slice": made("int|none", "int|none", "int|none", why=VALUE), "str": made("str?", why=VALUE), "tuple": made("list|tuple?", why=VALUE),
    "bytearray": made("bytes|str|m:builtins:bytes?", "=latin-1|=latin1?", why="from bytes; a count would ask for memory"),
    "type": call("none|const", why="the type of a constant"), "Ellipsis": "inert", "NotImplemented": "inert", "NoneType": "inert",
}  # fmt: skip
_BUILTIN_TYPES["bytes"] = made("list|bytes?", why="from bytes or a list of numbers; a count would ask for memory")
_PATHS = {name: made("str*", why="joins texts; no file is touched") for name in
          ("PosixPath", "WindowsPath", "PurePosixPath", "PureWindowsPath", "Path", "PurePath")}  # fmt: skip
PYTHON: dict[str, dict[str, object]] = {
    "builtins": {**_BUILTIN_TYPES, **{name: made("const*", why="keeps its arguments", state=True) for name in _EXCEPTIONS}},
    "collections": {
        "OrderedDict": made("list|tuple|dict?", why=VALUE, items=True), "deque": made("list|tuple?", "int|none?", why=VALUE, items=True),
        "defaultdict": made("type|builtin|none?", why="a listed type makes the missing values", items=True),
        "Counter": made("dict?", why=VALUE, items=True), "ChainMap": made("dict*", why=VALUE), "UserDict": "tx", "UserList": "tx",
    },
    "datetime": {
        "date": made("bytes|str|int|m:builtins:bytes", "int?", "int?", why=VALUE), "datetime": made("bytes|str|int|m:builtins:bytes", "any?", "int?",
        "int?", "int?", "int?", "int?", "any?", why=VALUE),
        "time": made("bytes|str|int|m:builtins:bytes", "any?", why=VALUE), "timedelta": made("int", "int?", "int?", why=VALUE),
        "timezone": made("m:datetime:timedelta", "str?", why=VALUE),
    },
    "decimal": {"Decimal": made("str", why=VALUE)}, "fractions": {"Fraction": made("str|int", "int?", why=VALUE)},
    "uuid": {"UUID": made("str?", why="a number as text", state=True), "SafeUUID": "tex"}, "pathlib": _PATHS, "pathlib._local": _PATHS,
    "ipaddress": {n: made("int|str", why=VALUE) for n in ("IPv4Address", "IPv6Address", "IPv4Network", "IPv6Network", "IPv4Interface",
    "IPv6Interface")},
    "zoneinfo": {"ZoneInfo._unpickle": call("str", "int|bool", why="reads time zone data by a name that zoneinfo checks", makes="zoneinfo:ZoneInfo")},
    "copyreg": {
        "_reconstructor": call("type", "builtin", "any", makes="@0", why="object.__new__ of a listed type, or a builtin value"),
        "__newobj__": call("type", makes="@0", why="as NEWOBJ without arguments"),
    },
    "_codecs": {"encode": call("str", "=latin1|=latin-1|=utf-8|=utf8|=ascii", makes="builtins:bytes",
    why="bytes as Python 3 writes them at protocols below 3")},
    "array": {"array": made("str", "list|bytes", why=VALUE), "_array_reconstructor": call("g:array:array", "str", "int", "bytes", makes="array:array",
    why=VALUE)},
    "types": {"SimpleNamespace": made(why="attributes only")},
    "random": {"Random": made(why="a generator; its state is numbers", state=True)},
    "re": {"_compile": call("str", "int", why="compiles a pattern, which runs nothing")},
    "enum": {},
    "_operator": {"itemgetter": made("const*", why="picks items by constant keys; reaches no attribute and runs only items of containers")},
}  # fmt: skip
PYTHON["operator"] = PYTHON["_operator"]
PYTHON["functools"] = {
    "partial": call("harmless", makes="functools:partial", state=["harmless", "tuple", "dict", "dict|none"],
                    why="calls what it wraps, which is listed for any arguments"),
}  # fmt: skip

_DTYPE = "m:numpy:dtype"
_MULTIARRAY = {
    "_reconstruct": call(
        "type", "shape", "bytes|str|m:builtins:bytes", makes="@0", why="an empty array of a listed type"
    ),
    "scalar": call(_DTYPE, "any?", makes="numpy:generic", why="a number from its bytes"),
}
_NUMERIC = {"_frombuffer": call("any", _DTYPE, "tuple", "str", makes="numpy:ndarray", why="an array over bytes of the stream"),
            "_unpickle_2d": call("any", why="")}  # fmt: skip
del _NUMERIC["_unpickle_2d"]
_MA = {
    "_mareconstruct": call(
        "type", "type", "shape", "bytes|str|m:builtins:bytes", makes="@0", why="an empty masked array"
    )
}
_RANDOM = {
    name: call("str|type|any?", "g:numpy.random._pickle:__bit_generator_ctor?", makes=makes, why="a generator by its listed name") for name, makes in
    (("__randomstate_ctor", "numpy.random.mtrand:RandomState"), ("__generator_ctor", "numpy.random._generator:Generator"), ("__bit_generator_ctor",
    "numpy.random:bits"))
}  # fmt: skip
_STATEFUL = {"role": "type", "state": True, "why": "its state is data, read by compiled code that checks it"}
_BITS = {name: {f"_{name.lower()}": {name: _STATEFUL}} for name in ("MT19937", "PCG64", "PCG64DXSM", "Philox", "SFC64")}
FUNCTIONS: dict[str, dict[str, dict[str, object]]] = {
    "numpy": {
        "numpy.core.multiarray": _MULTIARRAY, "numpy._core.multiarray": _MULTIARRAY, "numpy.core.numeric": _NUMERIC, "numpy._core.numeric": _NUMERIC,
        "numpy.core._multiarray_umath": _MULTIARRAY, "numpy._core._multiarray_umath": _MULTIARRAY,
        "numpy.ma.core": {**_MA, "MaskedArray": _STATEFUL, "MaskedConstant": "t"}, "numpy.ma": {"MaskedArray": _STATEFUL},
        "numpy.random._pickle": _RANDOM, "numpy.random": {"bits": _STATEFUL}, "numpy.random.mtrand": {"RandomState": _STATEFUL},
        "numpy.random._generator": {"Generator": _STATEFUL}, "numpy.random.bit_generator": {"SeedSequence": _STATEFUL,
            "__pyx_unpickle_SeedSequence": call("g:numpy.random.bit_generator:SeedSequence", "int", "any", makes="@0",
            why="its fields are checked by a checksum")},
        **{f"numpy.random.{module}": types for found in _BITS.values() for module, types in found.items()},
        "numpy": {
            "dtype": made("str|type", "bool|int?", "bool|int?", why="describes numbers", state=True),
            "ndarray": {"role": "type", "state": True, "why": "data; loading checks shape and size"},
            "generic": _STATEFUL, "matrix": _STATEFUL, "recarray": _STATEFUL, "memmap": "inert",
        },
        "numpy.rec": {"recarray": _STATEFUL}, "numpy.core.records": {"recarray": _STATEFUL}, "numpy.matrixlib.defmatrix": {"matrix": _STATEFUL},
        "numpy.core": {"_ufunc_reconstruct": call("=numpy|=scipy.special", "str", why="a ufunc of numpy or scipy.special by name")},
    },
    "joblib": {"joblib.numpy_pickle": {"NumpyArrayWrapper": "t"}},
}  # fmt: skip
_BLOCK = "a block of listed arrays"
FUNCTIONS["pandas"] = {
    "pandas.core.indexes.base": {"_new_Index": call("type", "dict", makes="@0", why="an index from its data")},
    "pandas.core.indexes.datetimes": {
        "_new_DatetimeIndex": call("type", "dict", makes="@0", why="an index from its data")
    },
    "pandas.core.indexes.period": {"_new_PeriodIndex": call("type", "dict", makes="@0", why="an index from its data")},
    "pandas._libs.internals": {
        "_unpickle_block": call("any", "any", "int", makes="pandas._libs.internals:Block", why=_BLOCK),
        "BlockManager": {"role": "type", "state": True},
        "BlockPlacement": made("any", why="positions"),
    },
    "pandas.core.internals.managers": {
        "BlockManager": made("any*", why=_BLOCK, state=True),
        "SingleBlockManager": made("any*", why=_BLOCK, state=True),
    },
    "pandas._libs.arrays": {
        "__pyx_unpickle_NDArrayBacked": call("type", "int", "any", makes="@0", why="fields are checked by a checksum")
    },
    "pandas._libs.tslibs.timestamps": {
        "_unpickle_timestamp": call("int|none", "any?", "any?", "any?", why="a time from a number")
    },
    "pandas._libs.tslibs.timedeltas": {"_timedelta_unpickle": call("int", "any?", why="a duration from a number")},
    "pandas._libs.tslibs.nattype": {
        "_nat_unpickle": call("any*", why="the missing time"),
        "__nat_unpickle": call("any*", why="the missing time"),
    },
    "pandas._libs.tslibs.period": {"_unpickle_period": call("int|none?", "any", why="a period from a number")},
    "pandas": {
        "StringDtype": made("str?", "any?", why="a dtype by the name of its storage"),
        "DataFrame": "ts",
        "Series": "ts",
        "CategoricalDtype": "ts",
    },
}
_INDEX = {"role": "type", "state": True, "why": "made from arrays; its constructor converts and checks them"}
_INDEXES = {"base": "Index", "range": "RangeIndex", "multi": "MultiIndex", "datetimes": "DatetimeIndex", "timedeltas": "TimedeltaIndex",
            "period": "PeriodIndex", "interval": "IntervalIndex", "category": "CategoricalIndex", "numeric": "Int64Index"}  # fmt: skip
FUNCTIONS["pandas"]["pandas"] |= dict.fromkeys([*_INDEXES.values(), "Categorical", "Timestamp", "Timedelta"], _INDEX)
_PERIOD = made("none", "any", "int", why="a period from a number", state=True)
FUNCTIONS["pandas"]["pandas"]["Period"] = _PERIOD
for _module, _name in _INDEXES.items():
    FUNCTIONS["pandas"].setdefault(f"pandas.core.indexes.{_module}", {})[_name] = _INDEX
FUNCTIONS["pandas"]["pandas.core.indexes.numeric"] |= dict.fromkeys(
    ["Int64Index", "UInt64Index", "Float64Index"], _INDEX
)
FUNCTIONS["pandas"]["pandas.core.indexes.interval"]["_new_IntervalIndex"] = call(
    "type", "dict", makes="@0", why="an index from its data"
)
FUNCTIONS["pandas"] |= {
    "pandas.core.arrays.categorical": {"Categorical": _INDEX},
    "pandas._libs.tslibs.period": {**FUNCTIONS["pandas"]["pandas._libs.tslibs.period"], "Period": _PERIOD},
    "pandas.core.arrays.datetimes": {"DatetimeArray": _INDEX},
    "pandas.core.arrays.string_": {"StringArray": _INDEX, "StringDtype": made("str?", "any?", why="a dtype")},
    "pandas.core.dtypes.dtypes": {"PeriodDtype": made("any?", why="a dtype by its frequency", state=True)},
    "pandas.core.frame": {"DataFrame": "ts"},
    "pandas.core.series": {"Series": "ts"},
}
MODULE_CALLS = {
    "sklearn._loss._loss": ["const*"],
    "sklearn.linear_model._sgd_fast": ["const*"],
    "sklearn._loss.loss": ["const*"],
    "pandas._libs.tslibs.offsets": ["const*"],
}
"""Modules whose compiled classes may be called with constants: their constructors keep numbers."""
INERT_FUNCTIONS = ("sklearn.metrics", "sklearn.feature_selection", "sklearn.cluster", "sklearn.preprocessing", "sklearn.neighbors",
    "sklearn.covariance",
                   "sklearn.decomposition", "sklearn.gaussian_process", "sklearn.neural_network", "sklearn.mixture", "sklearn.ensemble",
                   "scipy.spatial.distance", "torch.nn.functional", "torch.nn.init")  # fmt: skip
"""Modules whose plain functions may stand in a model as values (a score function, a metric); a file may not call them."""
INERT_NUMPY = [
    "mean",
    "median",
    "max",
    "min",
    "sum",
    "std",
    "var",
    "prod",
    "amax",
    "amin",
    "argmax",
    "argmin",
    "average",
    "nanmean",
    "nanmedian",
    "asarray",
    "array",
    "ravel",
    "reshape",
]
FUNCTIONS["numpy"]["numpy"] |= dict.fromkeys(INERT_NUMPY, "inert")
_SPLINE = {"role": "type", "slots": True, "why": "its slots hold arrays; setters convert them"}
FUNCTIONS["scipy"] = {
    "scipy.interpolate._cubic": dict.fromkeys(
        ("CubicSpline", "PchipInterpolator", "Akima1DInterpolator", "CubicHermiteSpline"), _SPLINE
    ),
    "scipy.interpolate._interpolate": dict.fromkeys(("PPoly", "BPoly", "NdPPoly"), _SPLINE),
    "scipy.interpolate._bsplines": {"BSpline": _SPLINE},
    "scipy._lib.array_api_compat.numpy._aliases": {"asarray": "inert"},
}
FUNCTIONS["sklearn"] = {
    "sklearn.tree._tree": {
        "Tree": made("int", "any", "int", why="a tree whose nodes are checked for size and dtype", state=True)
    },
    "sklearn.utils.validation": {
        "check_array": call(
            "any*", why="makes an array of its argument and looks at it; imports, opens and runs nothing"
        )
    },
    "sklearn.neighbors._kd_tree": {"newObj": call("type", makes="@0", why="an empty tree")},
    "sklearn.neighbors._ball_tree": {"newObj": call("type", makes="@0", why="an empty tree")},
    "sklearn.metrics._dist_metrics": {"newObj": call("type", makes="@0", why="an empty metric")},
}
_LOSSES = ("HalfSquaredError", "AbsoluteError", "PinballLoss", "HuberLoss", "HalfPoissonLoss", "HalfGammaLoss", "HalfTweedieLoss",
           "HalfTweedieLossIdentity", "HalfBinomialLoss", "HalfMultinomialLoss", "ExponentialLoss")  # fmt: skip
_LOSS = made("const*", why="its constructor keeps numbers", state=True)
_TYPED = call("type", "int", "any?", makes="@0", why="Cython: an empty object, then typed fields behind a checksum")
FUNCTIONS["sklearn"]["_loss"] = {f"Cy{name}": _LOSS for name in _LOSSES} | {
    f"__pyx_unpickle_Cy{name}": _TYPED for name in _LOSSES
}
FUNCTIONS["torch"] = {
    "torch._utils": {
        "_rebuild_tensor": call("any", "int", "tuple", "tuple", makes="torch:Tensor", why="a view of a storage"),
        "_rebuild_tensor_v2": call(
            "any",
            "int",
            "tuple",
            "tuple",
            "bool",
            "any?",
            "any?",
            makes="torch:Tensor",
            why="a view of a storage; hooks are an empty dict",
        ),
        "_rebuild_tensor_v3": call(
            "any",
            "int",
            "tuple",
            "tuple",
            "bool",
            "any",
            "any",
            "any?",
            makes="torch:Tensor",
            why="a view of a storage",
        ),
        "_rebuild_parameter": call("any", "bool", "any", makes="torch.nn.parameter:Parameter", why="wraps a tensor"),
        "_rebuild_parameter_with_state": call(
            "any", "bool", "any", "any", makes="torch.nn.parameter:Parameter", why="wraps a tensor"
        ),
        "_rebuild_sparse_tensor": call("any", "any", makes="torch:Tensor", why="from tensors"),
        "_rebuild_qtensor": call("any*", makes="torch:Tensor", why="from a storage and numbers"),
        "_rebuild_device_tensor_from_numpy": call("any*", makes="torch:Tensor", why="from an array"),
        "_rebuild_device_tensor_from_cpu_tensor": call("any*", makes="torch:Tensor", why="from a tensor"),
        "_rebuild_meta_tensor_no_storage": call("any*", makes="torch:Tensor", why="a tensor without data"),
        "_rebuild_nested_tensor": call("any*", makes="torch:Tensor", why="from tensors"),
    },
    "torch": {
        **dict.fromkeys(
            [
                "Size",
                "DoubleStorage",
                "FloatStorage",
                "HalfStorage",
                "LongStorage",
                "IntStorage",
                "ShortStorage",
                "CharStorage",
                "ByteStorage",
                "BoolStorage",
                "BFloat16Storage",
                "ComplexDoubleStorage",
                "ComplexFloatStorage",
                "QUInt8Storage",
                "QInt8Storage",
                "QInt32Storage",
                "QUInt4x2Storage",
                "QUInt2x4Storage",
            ],
            "t",
        ),
        **dict.fromkeys(
            [
                "float16",
                "float32",
                "float64",
                "bfloat16",
                "int8",
                "int16",
                "int32",
                "int64",
                "uint8",
                "uint16",
                "uint32",
                "uint64",
                "bool",
                "complex32",
                "complex64",
                "complex128",
                "float8_e4m3fn",
                "float8_e5m2",
                "qint8",
                "quint8",
                "qint32",
                "per_tensor_affine",
                "per_channel_affine",
                "strided",
                "sparse_coo",
                "contiguous_format",
                "channels_last",
                "preserve_format",
            ],
            "inert",
        ),
        "Size": made("tuple|list", why="numbers"),
        "device": made("str", "int?", why="names a device"),
        "Tensor": {"role": "type", "state": True},
        "Generator": "inert",
    },
    "torch.serialization": {"_get_layout": call("str", why="a layout by its listed name")},
    "torch.storage": {
        "UntypedStorage": "t",
        "TypedStorage": "t",
        "_load_from_bytes": call(
            "bytes", makes="torch:storage", why="a torch file inside; the scan reads such constants as files"
        ),
    },
    "torch.jit._pickle": {
        name: call("any*", why="a list of numbers or tensors")
        for name in (
            "build_intlist",
            "build_tensorlist",
            "build_doublelist",
            "build_boollist",
            "build_tensor_from_id",
            "restore_type_tag",
        )
    },
    "torch.nn.parameter": {"Parameter": {"role": "type", "state": True}, "Buffer": {"role": "type", "state": True}},
}
FUNCTIONS["torch"]["torch.distributed.checkpoint.metadata"] = {
    **dict.fromkeys(
        [
            "Metadata",
            "TensorStorageMetadata",
            "BytesStorageMetadata",
            "ChunkStorageMetadata",
            "MetadataIndex",
            "StorageMeta",
        ],
        "t",
    ),
    "TensorProperties": {"role": "type", "state": True, "why": "sets five fields from a tuple"},
    "_MEM_FORMAT_ENCODING": call("int", why="a memory format by its number"),
}
FUNCTIONS["torch"]["torch.distributed.checkpoint.filesystem"] = {"_StorageInfo": "t"}
FUNCTIONS["torch"]["torch.nn.functional"] = dict.fromkeys(
    [
        "relu",
        "gelu",
        "silu",
        "softmax",
        "tanh",
        "sigmoid",
        "elu",
        "selu",
        "leaky_relu",
        "log_softmax",
        "mish",
        "hardswish",
    ],
    "inert",
)
FUNCTIONS["torch"]["torch._C._nn"] = dict.fromkeys(["gelu", "silu", "elu_", "hardtanh"], "inert")
FUNCTIONS["xgboost"] = {
    "xgboost.core": {"Booster": {"role": "type", "state": True, "why": "its state is a buffer that the library checks"}}
}
FUNCTIONS["lightgbm"] = {
    "lightgbm.basic": {
        "Booster": {"role": "type", "state": True, "why": "its state is a model text that the library parses"}
    }
}
_CATBOOST = {
    "role": "type",
    "state": True,
    "why": "its state is parameters, and a model in the library's format that it parses",
}
FUNCTIONS["catboost"] = {
    "catboost.core": dict.fromkeys(("CatBoost", "CatBoostClassifier", "CatBoostRegressor", "CatBoostRanker"), _CATBOOST)
}
FUNCTIONS["numpy"]["numpy._core"] = FUNCTIONS["numpy"]["numpy.core"]
_SCALARS = [
    "bool",
    "bool_",
    "int8",
    "int16",
    "int32",
    "int64",
    "uint8",
    "uint16",
    "uint32",
    "uint64",
    "float16",
    "float32",
    "float64",
    "float128",
    "longdouble",
    "complex64",
    "complex128",
    "complex256",
    "clongdouble",
    "intc",
    "uintc",
    "intp",
    "uintp",
    "long",
    "ulong",
    "longlong",
    "ulonglong",
    "str_",
    "bytes_",
    "void",
    "object_",
    "datetime64",
    "timedelta64",
    "string_",
    "unicode_",
    "float_",
    "half",
    "single",
    "double",
    "byte",
    "ubyte",
    "short",
    "ushort",
]
FUNCTIONS["numpy"]["numpy"] |= dict.fromkeys(_SCALARS, "t")
FUNCTIONS["numpy"]["numpy.dtypes"] = {f"{n}DType": made(why="describes numbers") for n in
    (["Bool", "Int8", "Int16", "Int32", "Int64", "UInt8", "UInt16", "UInt32", "UInt64", "Float16", "Float32", "Float64", "LongDouble", "Complex64",
    "Complex128", "CLongDouble", "Object", "Bytes", "Str", "Void", "DateTime64", "TimeDelta64"])}  # fmt: skip

REVIEWED: dict[str, dict[str, str]] = {
    "sklearn.base:BaseEstimator.__setstate__": {
        "c9a57edc6ee4221d": "warns of another version, then updates the attributes"
    },
    "sklearn.ensemble._hist_gradient_boosting.predictor:TreePredictor.__setstate__": {
        "a0bee231f1066651": "converts the dtype of its array"
    },
    "sklearn.isotonic:IsotonicRegression.__setstate__": {
        "ea0f04474f872668": "interpolates between its own arrays anew"
    },
    "torch.nn.modules.module:Module.__setattr__": {
        "bda2bcfa60a078fb": "sorts parameters, modules and buffers into dicts"
    },
    "torch.nn.modules.rnn:RNNBase.__setattr__": {"325da9acb36b50bf": "replaces a weight in its own list"},
    "torch.nn.modules.rnn:RNNBase.__setstate__": {"610b07a3f954efa0": "names its weights and looks them up in itself"},
    "pandas.core.generic:NDFrame.__setstate__": {
        "6508583eaa55c6ca": "sets the block manager, flags and plain attributes"
    },
    "pandas.api.extensions:ExtensionDtype.__hash__": {"65464895eae2352d": "hashes a tuple of its own attributes"},
}
"""Hook of a class -> first 16 digits of the sha256 of its source -> why it is harmless."""

REVIEWED_IN_C: frozenset[str] = frozenset()
"""Hooks of extension types whose source was read."""
