"""Which calls a rule applies to, and under which arguments: a table from dotted names to a rule and a condition.

A condition looks at one call and answers how bad it is, or None where the call is fine.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from assay.core.outcomes import Severity
from assay.formats.code import rules
from assay.formats.code.facts import Rule
from assay.formats.code.names import Names

HIGH, MEDIUM, LOW = Severity.HIGH, Severity.MEDIUM, Severity.LOW
_COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_REPOSITORY = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}")
_EVERYWHERE = ("0.0.0.0", "::", "[::]")  # noqa: S104 - what is looked for


@dataclass(frozen=True)
class Call:
    """One call with the names in force around it."""

    node: ast.Call
    names: Names

    def argument(self, keyword: str, position: int = -1) -> ast.expr | None:
        """The argument given by name, by place, or in a `**{...}` that can be seen."""
        for given in self.node.keywords:
            if given.arg == keyword:
                return given.value
        for given in self.node.keywords:
            if given.arg is None and (found := self._unpacked(given.value, keyword)) is not None:
                return found
        if 0 <= position < len(self.node.args):
            return self.node.args[position]
        return None

    def _unpacked(self, dictionary: ast.expr, keyword: str) -> ast.expr | None:
        """The value of a key in a dictionary that is unpacked; of several that differ, a name that nobody knows."""
        held = [_in_dictionary(value, keyword) for value in self.names.assigned(dictionary)]
        found = [value for value in held if value is not None] + self.names.items(dictionary, keyword)
        said = {ast.dump(value) for value in found}
        return None if not found else found[0] if len(said) == 1 else ast.Name(id="", ctx=ast.Load())

    def value(self, keyword: str, position: int = -1) -> object:
        """The constant given; None where the argument is absent, ... where it is not constant."""
        given = self.argument(keyword, position)
        return None if given is None else self.names.constant(given)

    def text(self, keyword: str, position: int = -1) -> str:
        value = self.value(keyword, position)
        return value if isinstance(value, str) else ""

    @property
    def has_unseen(self) -> bool:
        """Whether `**options` of unknown content are passed."""
        unpacked = [given.value for given in self.node.keywords if given.arg is None]
        return any(self.names.is_grown(one) or not _are_dictionaries(self.names.assigned(one)) for one in unpacked)


Condition = Callable[[Call], Severity | None]


def _are_dictionaries(values: list[ast.expr]) -> bool:
    return bool(values) and all(isinstance(value, ast.Dict) for value in values)


def _in_dictionary(value: ast.expr, keyword: str) -> ast.expr | None:
    if isinstance(value, ast.Dict):
        for key, item in zip(value.keys, value.values, strict=True):
            if isinstance(key, ast.Constant) and key.value == keyword:
                return item
    if isinstance(value, ast.Call) and isinstance(value.func, ast.Name) and value.func.id == "dict":
        return next((given.value for given in value.keywords if given.arg == keyword), None)
    return None


def always(call: Call) -> Severity | None:
    return HIGH


def at_medium(call: Call) -> Severity | None:
    return MEDIUM


def at_low(call: Call) -> Severity | None:
    return LOW


def unless_weights_only(call: Call) -> Severity | None:
    value = call.value("weights_only")
    if value is True:
        return None
    return MEDIUM if value is ... or (value is None and call.has_unseen) else HIGH


def unless_round_trip(call: Call) -> Severity | None:
    """`pickle.loads(pickle.dumps(x))` only copies what the program made itself."""

    def is_dump(value: ast.expr) -> bool:
        return isinstance(value, ast.Call) and any(name.endswith(".dumps") for name in call.names.meanings(value.func))

    return None if call.node.args and call.names.is_only(call.node.args[0], is_dump) else HIGH


def if_true(keyword: str, position: int = -1, severity: Severity = HIGH) -> Condition:
    return lambda call: severity if call.value(keyword, position) is True else None


def if_false(keyword: str, severity: Severity = HIGH) -> Condition:
    return lambda call: severity if call.value(keyword) is False else None


def if_loader_unsafe(call: Call) -> Severity | None:
    """No loader, or one that is not a safe one; a loader of the program's own is noted at medium."""
    loader = call.argument("Loader", 1)
    if loader is None:
        return HIGH
    named = {name.rpartition(".")[2] for name in call.names.meanings(loader)}
    if named and named <= {"SafeLoader", "CSafeLoader", "BaseLoader", "CBaseLoader"}:
        return None
    if not named or named & {"FullLoader", "CFullLoader"}:
        return MEDIUM
    return HIGH if named & {"Loader", "CLoader", "UnsafeLoader", "CUnsafeLoader"} else MEDIUM


def if_ruamel_unsafe(call: Call) -> Severity | None:
    return HIGH if call.value("typ", 0) in ("unsafe", "base-unsafe") else None


def if_code_varies(call: Call) -> Severity | None:
    """A constant text is the author's own code."""
    first = call.argument("source", 0)
    if first is None or isinstance(call.names.constant(first), (str, bytes)):
        return None
    return MEDIUM


def if_compiled_varies(call: Call) -> Severity | None:
    return LOW if call.value("mode", 2) == "exec" and if_code_varies(call) else None


def if_command(call: Call) -> Severity | None:
    """High where the command varies, low where it is a constant."""
    first = call.argument("command", 0) or call.argument("cmd") or call.argument("args")
    return LOW if first is not None and isinstance(call.names.constant(first), (str, bytes)) else HIGH


def if_shell(call: Call) -> Severity | None:
    return if_command(call) if call.value("shell", 8) is True else None


def unless_filtered(call: Call) -> Severity | None:
    return None if call.value("filter") in ("data", "tar") or call.value("filter") is ... else MEDIUM


def if_tar_unfiltered(call: Call) -> Severity | None:
    """`shutil.unpack_archive`: zip paths are cleaned by the library, tar paths only by the filter."""
    name = call.text("filename", 0)
    return None if name.endswith((".zip", ".whl")) else unless_filtered(call)


def if_unpinned(call: Call) -> Severity | None:
    """A name on a hub, given as a constant, with no commit hash as revision."""
    name = next(
        (
            found
            for key in ("repo_id", "pretrained_model_name_or_path", "path", "model", "name")
            if (found := call.text(key))
        ),
        "",
    ) or call.text("", 0)
    if (
        not _REPOSITORY.fullmatch(name)
        or name.startswith((".", "/"))
        or name.endswith((".json", ".pt", ".bin", ".pth", ".csv", ".txt", ".yaml"))
    ):
        return None
    revision = call.value("revision")
    if isinstance(revision, str):
        return None if _COMMIT.fullmatch(revision) else LOW
    return None if revision is ... or (revision is None and call.has_unseen) else MEDIUM


def if_hub_moves(call: Call) -> Severity | None:
    if call.text("source", 2) == "local":
        return None
    repository = call.text("repo_or_dir", 0) or call.text("github", 0)
    return None if re.search(r":[0-9a-f]{40}$", repository) else HIGH


def if_dynamic(call: Call) -> Severity | None:
    first = call.node.args[0] if call.node.args else None
    return MEDIUM if first is not None and call.names.constant(first) is ... else None


def if_everywhere(keyword: str, severity: Severity, position: int = -1) -> Condition:
    return lambda call: severity if call.value(keyword, position) in _EVERYWHERE else None


def if_trusted(call: Call) -> Severity | None:
    """skops: `trusted=True` was once allowed; a list made from the file itself trusts whatever it names."""
    given = call.argument("trusted")
    if given is None:
        return None
    if call.names.constant(given) is True:
        return HIGH
    is_echo = any(
        isinstance(v, ast.Call) and any(n.endswith("get_untrusted_types") for n in call.names.meanings(v.func))
        for v in call.names.assigned(given)
    )
    return HIGH if is_echo else None


def if_moving_model(call: Call) -> Severity | None:
    uri = call.text("model_uri", 0)
    return MEDIUM if re.match(r"models:/[^/@]+(/(?:latest|Production|Staging)$|@)", uri) else None


_LOADERS = {
    **dict.fromkeys(("pickle.load", "pickle.Unpickler", "dill.load", "dill.Unpickler", "dill.load_session", "dill.load_module", "cloudpickle.load",
        "joblib.load", "pandas.read_pickle", "jsonpickle.decode", "jsonpickle.unpickler.decode", "torch.package.PackageImporter",
        "sklearn.externals.joblib.load", "compress_pickle.load",
        "mmcv.load", "pickle._load", "pickle._Unpickler", "klepto.archives.file_archive", "fastai.learner.load_learner",
        "fastai.vision.all.load_learner", "fastai.basics.load_learner", "paddle.load", "catalyst.utils.load_checkpoint"), always),
    **dict.fromkeys(("pickle.loads", "pickle._loads", "dill.loads", "cloudpickle.loads", "compress_pickle.loads"), unless_round_trip),
    **dict.fromkeys(("shelve.open", "shelve.DbfilenameShelf", "shelve.Shelf"), at_medium),
}  # fmt: skip
_HUB = ("huggingface_hub.hf_hub_download", "huggingface_hub.snapshot_download", "datasets.load_dataset", "transformers.pipeline",
    "sentence_transformers.SentenceTransformer",
        "evaluate.load", "diffusers.DiffusionPipeline.from_pretrained", "huggingface_hub.hf_hub_url", "timm.create_model",
        "sentence_transformers.CrossEncoder")  # fmt: skip
_HTTP = [f"{library}.{verb}" for library in ("requests", "httpx", "requests.Session()", "requests.session()", "httpx.Client()", "httpx.AsyncClient()")
         for verb in ("get", "post", "put", "delete", "head", "patch", "request", "stream")]  # fmt: skip

CALLS: Mapping[str, tuple[Rule, Condition]] = MappingProxyType({
    "torch.load": (rules.TORCH_LOAD, unless_weights_only),
    **{name: (rules.PICKLE, condition) for name, condition in _LOADERS.items()},
    "numpy.load": (rules.NUMPY_PICKLE, if_true("allow_pickle", 2)),
    "numpy.lib.format.read_array": (rules.NUMPY_PICKLE, if_true("allow_pickle", 1)),
    "skops.io.load": (rules.DANGEROUS_SWITCH, if_trusted), "skops.io.loads": (rules.DANGEROUS_SWITCH, if_trusted),
    "yaml.load": (rules.YAML, if_loader_unsafe), "yaml.load_all": (rules.YAML, if_loader_unsafe),
    "yaml.unsafe_load": (rules.YAML, always), "yaml.unsafe_load_all": (rules.YAML, always),
    "yaml.full_load": (rules.YAML, at_medium), "yaml.full_load_all": (rules.YAML, at_medium), "ruamel.yaml.YAML": (rules.YAML, if_ruamel_unsafe),
    "eval": (rules.EVAL, if_code_varies), "exec": (rules.EVAL, if_code_varies), "compile": (rules.EVAL, if_compiled_varies),
    "code.InteractiveInterpreter().runsource": (rules.EVAL, at_medium), "runpy.run_path": (rules.EVAL, if_dynamic), "pandas.eval": (rules.EVAL, if_dynamic),
    "os.system": (rules.SHELL, if_command), "os.popen": (rules.SHELL, if_command), "subprocess.getoutput": (rules.SHELL, if_command),
    "subprocess.getstatusoutput": (rules.SHELL, if_command), "commands.getoutput": (rules.SHELL, if_command), "pty.spawn": (rules.SHELL, if_command),
    "asyncio.create_subprocess_shell": (rules.SHELL, if_command), "popen2.popen2": (rules.SHELL, if_command),
    **{f"subprocess.{name}": (rules.SHELL, if_shell) for name in ("run", "call", "check_call", "check_output", "Popen")},
    "marshal.load": (rules.MARSHAL, always), "marshal.loads": (rules.MARSHAL, always),
    **{f"tarfile.{opened}().{verb}": (rules.EXTRACT, unless_filtered) for opened in ("open", "TarFile", "TarFile.open") for verb in ("extractall", "extract")},
    "shutil.unpack_archive": (rules.EXTRACT, if_tar_unfiltered),
    **dict.fromkeys(_HUB, (rules.UNPINNED, if_unpinned)),
    "torch.hub.load": (rules.HUB_CODE, if_hub_moves),
    **dict.fromkeys(_HTTP, (rules.NO_TLS, if_false("verify", MEDIUM))),
    "ssl._create_unverified_context": (rules.NO_TLS, at_medium), "httpx.Client": (rules.NO_TLS, if_false("verify", MEDIUM)),
    "httpx.AsyncClient": (rules.NO_TLS, if_false("verify", MEDIUM)),
    "keras.saving.load_model": (rules.KERAS, if_false("safe_mode")), "keras.config.enable_unsafe_deserialization": (rules.KERAS, always),
    "keras.saving.deserialize_keras_object": (rules.KERAS, if_false("safe_mode")), "keras.layers.deserialize": (rules.KERAS, if_false("safe_mode")),
    "keras.layers.Lambda": (rules.KERAS_LAMBDA, at_low),
    "ctypes.CDLL": (rules.NATIVE, if_dynamic), "torch.ops.load_library": (rules.NATIVE, if_dynamic), "tensorflow.load_op_library": (rules.NATIVE, if_dynamic),
    "ray.init": (rules.EXPOSED, if_everywhere("dashboard_host", HIGH)), "uvicorn.run": (rules.EXPOSED, if_everywhere("host", LOW)),
    "gradio.Interface().launch": (rules.EXPOSED, if_true("share", severity=MEDIUM)),
    "gradio.Blocks().launch": (rules.EXPOSED, if_true("share", severity=MEDIUM)),
    "gradio.ChatInterface().launch": (rules.EXPOSED, if_true("share", severity=MEDIUM)),
    "flask.Flask().run": (rules.DEBUGGER, if_true("debug", 2)),
    **{f"mlflow.{flavour}.load_model": (rules.MODEL_STORE, if_moving_model) for flavour in ("pyfunc", "sklearn", "pytorch", "tensorflow", "keras",
    "xgboost", "transformers", "langchain")},
})  # fmt: skip
"""Exact dotted names, as `Names.meanings` spells them."""

SWITCHES: Mapping[str, Rule] = MappingProxyType({
    "trust_remote_code": rules.REMOTE_CODE, "allow_dangerous_deserialization": rules.DANGEROUS_SWITCH, "allow_dangerous_code": rules.DANGEROUS_SWITCH,
    "allow_dangerous_requests": rules.DANGEROUS_SWITCH,
    "allow_dangerous_tools": rules.DANGEROUS_SWITCH, "enable_unsafe_deserialization": rules.DANGEROUS_SWITCH,
})  # fmt: skip
"""Keyword arguments and dictionary keys that are dangerous wherever they are true."""
