"""Do imports go down the page, does the core stay pure, and does listing things stay instant?"""

from __future__ import annotations

import ast
import functools
import importlib
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from importlinter.cli import lint_imports
from tests.surface.shop import REPO

import assay
from assay.surfaces.cli.main import COMMANDS, parser_for

SOURCE = Path(assay.__file__).parent
MODULES = sorted(path for path in SOURCE.rglob("*.py") if "demo/files" not in path.as_posix())

# Third-party libraries that may stand at the top of a file, and the rooms where they may. All others belong inside the
# function that needs them.
AT_THE_TOP = {
    "cryptography": ("evidence/keys.py",),
    "yaml": ("formats/yaml_strict.py",),
    "re2": ("formats/text/",),
    "numpy": ("statistics/",),
    "scipy": ("statistics/",),
}
# What nothing pure needs: files, processes, the network, the clock, the terminal, the environment.
IMPURE = {
    "os", "io", "shutil", "tempfile", "glob", "subprocess", "socket", "ssl", "http", "urllib", "sqlite3", "threading",
    "multiprocessing", "asyncio", "select", "signal", "time", "random", "secrets", "logging", "sys", "getpass", "platform",
    "locale", "ctypes", "mmap", "fcntl", "pickle", "shelve",
}  # fmt: skip
IMPURE_CALLS = {"open", "print", "input", "exec", "eval", "now", "utcnow", "today", "read_text", "read_bytes", "write_text",
                "write_bytes", "exists", "unlink", "mkdir"}  # fmt: skip
# Own modules that are imported late for a reason that stands beside them. Better none.
LATE = {
    "firewall.py: assay.surfaces.proxy.middleware", "formats/pickle_opcodes.py: assay.formats.pickle_machine",
    "formats/secrets/metadata.py: assay.formats.secrets.engine", "formats/secrets/metadata.py: assay.formats.secrets.files",
}  # fmt: skip
FOR_SURFACES = {"print", "SystemExit", "input"}


@functools.cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text("utf-8"))


def name_of(path: Path) -> str:
    return path.relative_to(SOURCE).as_posix()


def imports_of(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    return [node.module] if isinstance(node, ast.ImportFrom) and node.level == 0 and node.module else []


def at_the_top(body: list[ast.stmt]) -> Iterator[str]:
    """What importing the module imports: its top level with `if`, `try` and `with` blocks, but no function bodies."""
    for node in body:
        yield from imports_of(node)
        if isinstance(node, (ast.If, ast.Try, ast.With)) and "TYPE_CHECKING" not in ast.dump(node):
            yield from at_the_top(node.body)


def test_imports_go_down_the_page(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(REPO)
    assert lint_imports(no_cache=True) == 0, capsys.readouterr().out


def test_a_heavy_library_stands_inside_the_function_that_needs_it() -> None:
    wrong = []
    for path in MODULES:
        for imported in at_the_top(tree_of(path).body):
            root = imported.partition(".")[0]
            is_light = root == "assay" or root in sys.stdlib_module_names
            if not is_light and not name_of(path).startswith(AT_THE_TOP.get(root, ("-",))):
                wrong.append(f"{name_of(path)} imports {imported} at its top")
    assert not wrong


def test_our_own_imports_stand_at_the_top_unless_listing_things_would_be_slow() -> None:
    """Commands and checks may import late, and so may anybody what brings numpy; elsewhere a late import hides a cycle."""
    wrong = []
    for path in (path for path in MODULES if not name_of(path).startswith(("surfaces/", "checks/"))):
        top = {id(node) for node in tree_of(path).body}
        inner = [node for node in ast.walk(tree_of(path)) if id(node) not in top]
        wrong += [f"{name_of(path)}: {name}" for node in inner for name in imports_of(node) if _is_ours_and_light(name)]
    assert not set(wrong) - LATE


def _is_ours_and_light(name: str) -> bool:
    return name.startswith("assay") and not name.startswith(("assay.statistics", "assay.predictors"))


def test_no_module_of_the_core_touches_the_world() -> None:
    wrong = []
    for path in (path for path in MODULES if name_of(path).startswith("core/")):
        for node in ast.walk(tree_of(path)):
            wrong += [
                f"{name_of(path)} imports {name}" for name in imports_of(node) if name.partition(".")[0] in IMPURE
            ]
            if isinstance(node, ast.Call):
                called = node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")
                wrong += [f"{name_of(path)}:{node.lineno} calls {called}"] if called in IMPURE_CALLS else []
    assert not wrong


def test_only_the_surfaces_print_or_exit() -> None:
    wrong = []
    for path in (path for path in MODULES if not name_of(path).startswith("surfaces/")):
        used = [node for node in ast.walk(tree_of(path)) if isinstance(node, ast.Name) and node.id in FOR_SURFACES]
        wrong += [f"{name_of(path)}:{node.lineno} uses {node.id}" for node in used]
    assert not wrong


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_says_what_it_is_about(command: str) -> None:
    module = importlib.import_module(f"assay.surfaces.cli.{COMMANDS[command][0]}")
    assert module.ABOUT[command].endswith(".")
    assert set(module.ABOUT) <= set(COMMANDS)
    assert COMMANDS[command][1][0].islower() and not COMMANDS[command][1].endswith(".")
    assert parser_for(command).description == module.ABOUT[command]


def test_every_module_says_what_it_is_for() -> None:
    assert not [name_of(path) for path in MODULES if not ast.get_docstring(tree_of(path))]


def test_no_module_is_called_after_nothing() -> None:
    assert not {path.stem for path in MODULES} & {"utils", "util", "helpers", "common", "manager", "misc"}
