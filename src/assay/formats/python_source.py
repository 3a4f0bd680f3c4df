"""Python source that comes with a model: parsed, never run. Does it act as soon as it is imported?"""

from __future__ import annotations

import ast
import warnings
from collections.abc import Iterator

from assay.formats.facts import Fact

MAX_SOURCE_BYTES = 1 << 20
ACTING_CALLS = frozenset(
    [
        "eval",
        "exec",
        "compile",
        "__import__",
        "os.system",
        "os.popen",
        "os.execv",
        "os.execve",
        "os.execl",
        "os.spawnv",
        "os.spawnl",
        "os.startfile",
        "os.remove",
        "os.unlink",
        "shutil.rmtree",
        "subprocess.run",
        "subprocess.Popen",
        "subprocess.call",
        "subprocess.check_output",
        "subprocess.check_call",
        "subprocess.getoutput",
        "pty.spawn",
        "pickle.loads",
        "pickle.load",
        "marshal.loads",
        "socket.socket",
        "socket.create_connection",
        "urllib.request.urlopen",
        "urllib.request.urlretrieve",
        "requests.get",
        "requests.post",
        "httpx.get",
        "httpx.post",
        "ctypes.CDLL",
        "runpy.run_path",
        "importlib.import_module",
        "webbrowser.open",
        "base64.b64decode",
    ]
)
_DEFERRED = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)


def source_facts(data: bytes) -> list[Fact]:
    """One fact that it is code, and one for each call at import time that acts on the system."""
    facts = [Fact("code", "", None, ("Python source",))]
    if len(data) > MAX_SOURCE_BYTES:
        return facts
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(data)
        names = _imported(tree)
        for call in _calls_at_import(tree):
            name = _dotted(call.func, names)
            if name in ACTING_CALLS:
                facts.append(Fact("acting-code", "", None, (f"line {call.lineno} calls {name} when it is imported",)))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        facts.append(Fact("malformed", "", None, ("the source cannot be parsed",)))
    return facts


def _calls_at_import(tree: ast.Module) -> Iterator[ast.Call]:
    waiting: list[ast.AST] = [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Call):
            yield node
        if isinstance(node, _DEFERRED):
            waiting += [*getattr(node, "decorator_list", []), *node.args.defaults]
        else:
            waiting += ast.iter_child_nodes(node)


def _imported(tree: ast.Module) -> dict[str, str]:
    names: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {
                alias.asname or alias.name.partition(".")[0]: alias.name
                if alias.asname
                else alias.name.partition(".")[0]
                for alias in node.names
            }
        elif isinstance(node, ast.ImportFrom):
            names |= {alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names}
    return names


def _dotted(node: ast.expr, names: dict[str, str]) -> str:
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    if not isinstance(node, ast.Name):
        return ""
    return ".".join([names.get(node.id, node.id), *reversed(parts)]).removeprefix("builtins.")
