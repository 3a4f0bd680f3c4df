"""Writes `allow/targets.json`: classes that a configuration may name as `_target_`, by exact dotted name.

    python tools/make_target_list.py nemo_toolkit-3.0.0-py3-none-any.whl      # in an environment with torch

Taken are layers, losses and optimisers of torch, and those of NeMo whose source defines them as modules or losses: their
constructors build layers from numbers and names. Models, datasets, tokenizers and anything that takes a path are left out.
"""

from __future__ import annotations

import ast
import inspect
import json
import re
import sys
import zipfile
from pathlib import Path

OUT = Path(__file__).resolve().parent.parent / "src/assay/checks/model_file/allow/targets.json"
PLACES = re.compile(r"nemo/collections/(asr|tts|audio|common|speechlm2)/(modules|losses|parts/submodules|parts/preprocessing|parts/rnn|metrics)/.*\.py|"
                    r"nemo/(core/optim|collections/common/parts)/.*\.py")  # fmt: skip
BASES = (
    "NeuralModule",
    "Module",
    "Loss",
    "LossModule",
    "Exportable",
    "ABC",
    "Optimizer",
    "_LRScheduler",
    "WarmupPolicy",
    "Metric",
    "AudioPreprocessor",
)
PATHS = re.compile(r"path|file|dir|manifest|url|checkpoint|tokenizer|restore|pretrained|command", re.IGNORECASE)


def main() -> None:
    import torch

    names = set()
    for space in (torch.nn, torch.optim, torch.optim.lr_scheduler):
        names |= {
            f"{space.__name__}.{name}"
            for name, value in vars(space).items()
            if inspect.isclass(value) and not name.startswith("_")
        }
    with zipfile.ZipFile(sys.argv[1]) as wheel:
        for file in wheel.namelist():
            if PLACES.fullmatch(file):
                names |= set(classes(file, ast.parse(wheel.read(file))))
    version = re.search(r"-(\d[\w.]*)-", sys.argv[1])
    written = {"schema": "urn:assay:target-list:v1", "versions": {"torch": torch.__version__.partition("+")[0], "nemo_toolkit": version[1] if version else ""},
               "targets": sorted(names)}  # fmt: skip
    OUT.write_text(json.dumps(written, separators=(",", ":"), sort_keys=True) + "\n", "utf-8")
    print(len(names))


def classes(file: str, tree: ast.Module) -> list[str]:
    """Classes of a module, by its own name and by the name that its package gives them."""
    module, found = file.removesuffix(".py").replace("/", "."), []
    for node in tree.body:
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_") and is_plain(node):
            found += [f"{module}.{node.name}", f"{module.rpartition('.')[0]}.{node.name}"]
    return found


def is_plain(node: ast.ClassDef) -> bool:
    bases = [base.attr if isinstance(base, ast.Attribute) else getattr(base, "id", "") for base in node.bases]
    made = next((part for part in node.body if isinstance(part, ast.FunctionDef) and part.name == "__init__"), None)
    arguments = [a.arg for a in [*made.args.args, *made.args.kwonlyargs]] if made else []
    return any(base.endswith(BASES) for base in bases) and not any(PATHS.search(name) for name in arguments)


if __name__ == "__main__":
    main()
