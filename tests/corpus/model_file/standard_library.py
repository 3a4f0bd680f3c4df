"""Functions of the running Python's standard library, drawn at random, each called by a pickle: no list may clear one.

The names are taken from the modules themselves in a process of its own, since importing all of them does things.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from random import Random

from tests.corpus.model_file.attacks import Case, call0, call2, call4, inst, memoed, obj

_LIST = """
import contextlib, importlib, inspect, io, json, pkgutil, sys, warnings
warnings.simplefilter("ignore")
left_out = {"antigravity", "this", "idlelib", "test", "turtledemo", "lib2to3", "tkinter", "turtle", "__main__"}
modules = []
for top in sorted(sys.stdlib_module_names - left_out):
    modules.append(top)
    with contextlib.suppress(BaseException), contextlib.redirect_stdout(io.StringIO()):
        package = importlib.import_module(top)
        modules += [f"{top}.{m.name}" for m in pkgutil.iter_modules(getattr(package, "__path__", ())) if not m.name.startswith("__")]
found = []
for name in modules:
    with contextlib.suppress(BaseException), contextlib.redirect_stdout(io.StringIO()):
        module = importlib.import_module(name)
        for key, value in vars(module).items():
            if inspect.isroutine(value):
                found.append((name, key))
            elif inspect.isclass(value) and value.__module__ == name:
                found += [(name, f"{key}.{k}") for k, v in vars(value).items() if inspect.isroutine(v) or isinstance(v, (classmethod, staticmethod))]
print(json.dumps(sorted(set(found))))
"""


@cache
def functions() -> tuple[tuple[str, str], ...]:
    """Every function and method by module and dotted name; some 20,000."""
    done = subprocess.run(
        [sys.executable, "-c", _LIST], capture_output=True, text=True, check=True, stdin=subprocess.DEVNULL, timeout=120
    )
    return tuple((module, name) for module, name in json.loads(done.stdout.splitlines()[-1]))


def drawn_functions(count: int, seed: int) -> Iterator[Case]:
    """Calls of functions drawn without regard to what they do, with one text as argument."""
    choice = Random(f"functions {seed}")
    for number, (module, name) in enumerate(choice.sample(functions(), count)):
        spell = choice.choice([call0, call2, call4, inst, memoed, obj] if "." not in name else [call4, memoed])
        yield Case(f"drawn-function-{seed}-{number}-{module}.{name}", "m.pkl", spell(module, name, "x") + b".")
