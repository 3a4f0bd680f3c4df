"""Judges Python trees: `problems_in(trees)` yields every place where a rule applies.

Calls are looked up by what their names stand for; switches such as `trust_remote_code=True` count in any call, dictionary,
attribute or environment; text that is decoded or downloaded and then run is told apart from other `eval`.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Sequence

from assay.core.outcomes import Severity
from assay.formats.code import rules
from assay.formats.code.call_table import CALLS, SWITCHES, Call, if_unpinned
from assay.formats.code.facts import Problem, problem
from assay.formats.code.invisible import is_mixed_name
from assay.formats.code.names import Names
from assay.formats.code.source import nodes_of

_RUNS = frozenset(
    {
        "eval",
        "exec",
        "compile",
        "pickle.loads",
        "marshal.loads",
        "os.system",
        "subprocess.run",
        "subprocess.Popen",
        "subprocess.call",
        "subprocess.check_output",
        "types.FunctionType",
    }
)
_DECODES = frozenset({"base64.b64decode", "base64.b85decode", "base64.b32decode", "base64.a85decode", "base64.decodebytes",
    "base64.urlsafe_b64decode", "zlib.decompress", "bz2.decompress",
    "lzma.decompress", "codecs.decode", "bytes.fromhex", "binascii.unhexlify", "binascii.a2b_base64", "marshal.loads"})  # fmt: skip
_FETCHES = frozenset(
    {
        "requests.get",
        "requests.post",
        "urllib.request.urlopen",
        "urllib2.urlopen",
        "httpx.get",
        "httpx.post",
        "requests.Session().get",
        "urlopen",
        "aiohttp.ClientSession().get",
    }
)
_MODEL_END = re.compile(
    r"\.(pt|pth|ckpt|bin|pkl|pickle|joblib|h5|keras|onnx|safetensors|gguf|ggml|pb|tflite|mar|nemo|npz|npy|tar\.gz|tgz|zip|whl)(\?|$)",
    re.IGNORECASE,
)
_LOCAL = re.compile(
    r"http://(localhost|127\.|0\.0\.0\.0|\[::1\]|10\.|192\.168\.|172\.(1[6-9]|2\d|3[01])\.|[a-z0-9-]+(:\d+)?/|[a-z0-9.-]*(example|\.test|\.invalid|\.local|\.svc)\b)",
    re.IGNORECASE,
)
_ENVIRONMENT = {"TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD": ("1", "y", "yes", "true"), "HF_HUB_TRUST_REMOTE_CODE": ("1", "true"),
    "VLLM_ALLOW_INSECURE_SERIALIZATION": ("1",),
                "PYTHONHTTPSVERIFY": ("0",), "CURL_CA_BUNDLE": ("",)}  # fmt: skip
_HUB_METHODS = ("from_pretrained", "from_hub", "load_from_hub")
_DEPTH = 12


def problems_in(trees: Sequence[ast.AST]) -> list[list[Problem]]:
    """Problems of each tree; names that one tree binds count in all, as in the cells of a notebook."""
    nodes = [nodes_of(tree) for tree in trees]
    names = Names(node for part in nodes for node in part)
    return [_distinct(found for node in part for found in _of_node(node, names)) for part in nodes]


def _distinct(found: Iterator[Problem]) -> list[Problem]:
    """One problem for each rule and line, the worst first seen."""
    kept: dict[tuple[str, int], Problem] = {}
    for one in found:
        key = (one.rule.id, one.line)
        if key not in kept or one.severity.rank > kept[key].severity.rank:
            kept[key] = one
    return sorted(kept.values(), key=lambda one: (one.line, one.rule.id))


def _of_node(node: ast.AST, names: Names) -> Iterator[Problem]:
    yield from _of_name(node)
    if isinstance(node, ast.Call):
        yield from _of_call(Call(node, names))
    elif isinstance(node, ast.Dict):
        for key, value in zip(node.keys, node.values, strict=True):
            if isinstance(key, ast.Constant):
                yield from _of_switch(key.value, value, names)
    elif isinstance(node, ast.Assign):
        for target in node.targets:
            yield from _of_target(target, node.value, names)
    elif isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield from _of_text(node)


def _of_name(node: ast.AST) -> Iterator[Problem]:
    for attribute in ("id", "name", "attr", "arg"):
        name = getattr(node, attribute, None)
        if isinstance(name, str) and is_mixed_name(name):
            yield problem(rules.MIXED_SCRIPT, f"{name[:40]!a} mixes alphabets", getattr(node, "lineno", 1))


def _of_call(call: Call) -> Iterator[Problem]:
    node, names = call.node, call.names
    meanings = names.meanings(node.func)
    for name in sorted(meanings & CALLS.keys()):
        rule, condition = CALLS[name]
        if (severity := condition(call)) is not None:
            yield problem(rule, f"{rule.title}: {name}", node.lineno, severity)
    if meanings & _RUNS and any(
        _is_hidden(given, names)
        for given in [*node.args, *(k.value for k in node.keywords if k.arg in ("source", "args"))]
    ):
        yield problem(rules.DROPPER, f"{rules.DROPPER.title}: {min(meanings & _RUNS)}", node.lineno)
    for given in node.keywords:
        yield from _of_switch(given.arg, given.value, names)
    if (
        isinstance(node.func, ast.Attribute)
        and node.func.attr in _HUB_METHODS
        and not meanings & CALLS.keys()
        and (severity := if_unpinned(call))
    ):
        yield problem(rules.UNPINNED, f"{rules.UNPINNED.title}: {node.func.attr}", node.lineno, severity)
    yield from _of_command(call)
    if meanings & {"os.environ.setdefault", "os.putenv"} and len(node.args) == 2:
        yield from _of_variable(names.text(node.args[0]), names.text(node.args[1]), node.lineno)


def _of_command(call: Call) -> Iterator[Problem]:
    """`--trust-remote-code` among the arguments of a process."""
    for given in call.node.args[:1]:
        for words in call.names.assigned(given):
            if isinstance(words, (ast.List, ast.Tuple)) and any(
                call.names.constant(word) == "--trust-remote-code" for word in words.elts
            ):
                yield problem(rules.REMOTE_CODE, "passes --trust-remote-code to a process", call.node.lineno)


def _of_switch(key: object, value: ast.expr, names: Names) -> Iterator[Problem]:
    rule = SWITCHES.get(key) if isinstance(key, str) else None
    if rule is None:
        return
    given = names.constant(value)
    if given is True or given == 1:
        yield problem(rule, f"{rule.title}: {key}=True", value.lineno)


def _of_target(target: ast.expr, value: ast.expr, names: Names) -> Iterator[Problem]:
    """`options["trust_remote_code"] = True`, `config.trust_remote_code = True`, `os.environ["X"] = "1"`."""
    if isinstance(target, ast.Subscript):
        key = names.text(target.slice)
        yield from _of_switch(key, value, names)
        if "os.environ" in names.meanings(target.value):
            yield from _of_variable(key, names.text(value), target.lineno)
    elif isinstance(target, ast.Attribute):
        yield from _of_switch(target.attr, value, names)
        if target.attr == "verify_mode" and "ssl.CERT_NONE" in names.meanings(value):
            yield problem(rules.NO_TLS, f"{rules.NO_TLS.title}: ssl.CERT_NONE", target.lineno)
        if target.attr == "_create_default_https_context" and "ssl._create_unverified_context" in names.meanings(value):
            yield problem(rules.NO_TLS, f"{rules.NO_TLS.title}: for the whole process", target.lineno, Severity.HIGH)
    elif isinstance(target, ast.Name):
        yield from _of_switch(target.id.lower(), value, names)


def _of_variable(key: str, value: str, line: int) -> Iterator[Problem]:
    if value.lower() in _ENVIRONMENT.get(key, ()):
        yield problem(
            rules.DANGEROUS_SWITCH if "SSL" not in key and "CURL" not in key and "HTTPS" not in key else rules.NO_TLS,
            f"sets {key}={value}",
            line,
        )


def _of_text(node: ast.Constant) -> Iterator[Problem]:
    text = node.value
    if (
        isinstance(text, str)
        and text.startswith("http://")
        and len(text) < 2000
        and _MODEL_END.search(text)
        and not _LOCAL.match(text)
    ):
        yield problem(rules.PLAIN_HTTP, f"{rules.PLAIN_HTTP.title}: {text.split('?')[0][:120]}", node.lineno)


def _is_hidden(node: ast.expr, names: Names, depth: int = 0) -> bool:
    """Whether an expression decodes a constant or fetches a text, directly or through names."""
    if depth > _DEPTH:
        return False
    if isinstance(node, ast.Call):
        meanings = names.meanings(node.func)
        if meanings & _FETCHES:
            return True
        if meanings & _DECODES and _holds_constant(node, names, depth + 1):
            return True
        inner = [*node.args, *([node.func.value] if isinstance(node.func, ast.Attribute) else [])]
        return any(_is_hidden(one, names, depth + 1) for one in inner)
    if isinstance(node, ast.Name):
        return any(_is_hidden(value, names, depth + 4) for value in names.assigned(node) if value is not node)
    if isinstance(node, (ast.Attribute, ast.Subscript, ast.Await, ast.Starred)):
        return _is_hidden(node.value, names, depth + 1)
    return False


def _holds_constant(node: ast.expr, names: Names, depth: int) -> bool:
    """Whether a long constant, or a fetched text, is what is decoded."""
    if depth > _DEPTH:
        return False
    value = names.constant(node)
    if isinstance(value, (str, bytes)):
        return len(value) >= 12
    if isinstance(node, ast.Call):
        return bool(names.meanings(node.func) & _FETCHES) or any(
            _holds_constant(one, names, depth + 1) for one in node.args
        )
    if isinstance(node, ast.Name):
        return any(_holds_constant(one, names, depth + 4) for one in names.assigned(node) if one is not node)
    return isinstance(node, (ast.List, ast.Tuple)) and len(node.elts) >= 12
