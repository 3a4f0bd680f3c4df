"""Configurations that make a loader import or build something, however they are spelt; those of real models are clean."""

from __future__ import annotations

import json

import pytest

from assay.checks.model_file.judge import judge
from assay.core.outcomes import Verdict
from assay.formats.reading import read_facts

NEMO = """
sample_rate: 16000
preprocessor: {_target_: nemo.collections.asr.modules.AudioToMelSpectrogramPreprocessor, features: 64}
encoder:
  _target_: nemo.collections.asr.modules.ConvASREncoder
  jasper: [{filters: 256, repeat: 1}]
decoder: &decoder
  _target_: nemo.collections.asr.modules.ConvASRDecoder
other: *decoder
optim: {name: novograd, lr: 0.01}
"""
MLMODEL = """
artifact_path: model
flavors:
  python_function: {env: {conda: conda.yaml, virtualenv: python_env.yaml}, loader_module: mlflow.sklearn, model_path: model.pkl, python_version: 3.11.7}
  sklearn: {code: null, pickled_model: model.pkl, serialization_format: cloudpickle, sklearn_version: 1.5.0}
signature: {inputs: '[{"type": "double", "name": "x"}]'}
"""


def verdict(text: str, path: str) -> Verdict:
    return judge(read_facts(text.encode(), path)).verdict


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("model_config.yaml", NEMO), ("MLmodel", MLMODEL), ("conda.yaml", "name: env\ndependencies: [python=3.11, {pip: [mlflow]}]\n"),
        ("conf.yaml", "# !!python/object is not allowed here\ndefaults: [a, b]\nnote: 'use _target_ with care'\n"),
        ("config.json", json.dumps({"optimizer": {"_target_": "torch.optim.AdamW", "lr": 0.1}})),
        ("config.json", json.dumps({"architectures": ["BertModel"], "auto_map": {}, "trust_remote_code": False})),
        ("a.yaml", "a: !!str 1\nb: !!float 2\n--- \n- x\n"),
    ],
)  # fmt: skip
def test_configurations_of_real_models_are_clean(path: str, text: str) -> None:
    assert judge(read_facts(text.encode(), path)).problems == ()


@pytest.mark.parametrize(
    "text",
    [
        "a: {_target_: os.system, command: id}\n", 'a: {"_target\\x5f": subprocess.Popen}\n', "- - - _target_: builtins.eval\n",
        "x: &t os.system\na: {_target_: *t}\n", "base: &b {_target_: os.popen}\na: {<<: *b}\n", "? _target_\n: os.system\n",
        "a: !!python/object/apply:os.system [id]\n", "%TAG !p! tag:yaml.org,2002:python/\n---\na: !p!object/apply:os.system [id]\n",
        "a: !<tag:yaml.org,2002:python/object/apply:os.system> [id]\n", "a: !!python/name:os.system\n---\nb: [\n",
    ],
)  # fmt: skip
def test_names_that_act_are_malicious_however_they_are_spelt(text: str) -> None:
    """CVE-2025-23304: NeMo instantiated any `_target_` of a model's configuration."""
    assert verdict(text, "model_config.yaml") is Verdict.MALICIOUS


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("conf.yaml", "a: {_target_: my_models.Net}\n"), ("conf.yaml", "a: {_target_: nemo.collections.asr.models.EncDecCTCModel}\n"),
        ("MLmodel", "flavors: {python_function: {loader_module: evil.loader}}\n"), ("conf.yaml", "a: !evil {b: 1}\n"),
        ("conf.yaml", "model: {trust_remote_code: true}\n"), ("config.json", json.dumps({"a": [{"b": {"_target_": "my.Net"}}]})),
        ("processor_config.json", json.dumps({"x": {"auto_map": {"AutoProcessor": "processing.Evil"}}})),
    ],
)  # fmt: skip
def test_names_that_are_not_listed_are_unknown(path: str, text: str) -> None:
    assert verdict(text, path) is Verdict.UNKNOWN


def test_a_bomb_of_aliases_is_not_clean() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"] + [
        f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 9)
    ]
    assert verdict("\n".join(lines) + "\n", "bomb.yaml") is Verdict.INCONCLUSIVE
