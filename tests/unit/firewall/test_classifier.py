"""Is the ML tier asked only in doubt, held to its deadline, and never a pass where it did not answer?"""

from __future__ import annotations

import json
import time
from dataclasses import replace
from pathlib import Path

import pytest

from assay.firewall import Action, Firewall, Segment, State, ready_policy
from assay.runtime.firewall.classifier import Worker
from assay.runtime.firewall.classifier.serving import digest_of_folder
from assay.runtime.firewall.policy import Block, Classifier, FirewallPolicy, Route, Setting
from assay.runtime.firewall.scanner import NotRun, TimedOut

LONG_S = 60.0


@pytest.fixture(scope="module")
def guard(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A classifier that says attack where the word `evil` stands: its id is 5, every other one's is 0."""
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    pytest.importorskip("tokenizers")
    folder = tmp_path_factory.mktemp("guard")
    make, kind = onnx.helper, onnx.TensorProto
    nodes = [
        make.make_node("Cast", ["input_ids"], ["f"], to=kind.FLOAT),
        make.make_node("ReduceMax", ["f"], ["m"], axes=[1], keepdims=1),
        make.make_node("Sub", ["m", "two"], ["logit"]),
    ]
    graph = make.make_graph(
        nodes,
        "g",
        [make.make_tensor_value_info("input_ids", kind.INT64, ["n", "t"])],
        [make.make_tensor_value_info("logit", kind.FLOAT, ["n", 1])],
        [make.make_tensor("two", kind.FLOAT, [1], [2.0])],
    )
    model = make.make_model(graph, opset_imports=[make.make_opsetid("", 17)], ir_version=9)
    onnx.save(model, str(folder / "model.onnx"))
    (folder / "tokenizer.json").write_text(
        json.dumps(
            {
                "version": "1.0",
                "truncation": None,
                "padding": None,
                "added_tokens": [],
                "normalizer": {"type": "Lowercase"},
                "pre_tokenizer": {"type": "Whitespace"},
                "post_processor": None,
                "decoder": None,
                "model": {"type": "WordLevel", "vocab": {"[UNK]": 0, "evil": 5}, "unk_token": "[UNK]"},
            }
        )
    )
    return folder


def policy_of(guard: Path, *, low: float = 0.0001, high: float = 0.9999, deadline_ms: float = 60_000) -> FirewallPolicy:
    setting = Setting("classifier", Action.BLOCK, deadline_ms=deadline_ms)
    named = Classifier(str(guard), digest_of_folder(guard), low, high)
    return replace(ready_policy(), classifier=named, routes={"default": Route("default", (Block((setting,)),))})


def test_it_is_asked_in_doubt_and_its_answer_counts(guard: Path) -> None:
    firewall = Firewall(policy_of(guard))
    assert firewall.check(Segment("an evil plan")).action is Action.BLOCK
    assert firewall.check(Segment("a good plan")).action is Action.ALLOW
    sure = Firewall(policy_of(guard, low=0.9998, high=0.9999))
    assert sure.check(Segment("an evil plan")).action is Action.ALLOW  # the linear model is sure, so nobody asks


def test_no_answer_in_time_is_a_time_out_and_blocks(guard: Path) -> None:
    policy = policy_of(guard, deadline_ms=0.5)
    fresh = replace(policy, classifier=replace(policy.classifier, low=0.0002))  # type: ignore[type-var]
    verdict = Firewall(fresh).check(Segment("a good plan"))
    assert verdict.action is Action.BLOCK and verdict.scanners[0].state is State.TIMED_OUT


def test_other_bytes_than_the_policy_names_are_not_loaded(guard: Path) -> None:
    worker = Worker(str(guard), "0" * 64)
    with pytest.raises(NotRun, match="digest"):
        worker.score("x", time.monotonic() + LONG_S)
    worker.close()


def test_a_worker_that_was_killed_is_started_anew(guard: Path) -> None:
    worker = Worker(str(guard), digest_of_folder(guard))
    assert worker.score("evil", time.monotonic() + LONG_S) > 0.9
    assert worker._process is not None
    worker._process.kill()
    worker._process.join()
    assert worker.score("good", time.monotonic() + LONG_S) < 0.2
    worker.close()


def test_a_text_of_too_many_windows_is_refused_not_cut(guard: Path) -> None:
    worker = Worker(str(guard), digest_of_folder(guard))
    with pytest.raises(NotRun, match="windows"):
        worker.score("good " * 20_000, time.monotonic() + LONG_S)
    worker.close()


def test_a_busy_worker_is_waited_for_within_the_deadline(guard: Path) -> None:
    worker = Worker(str(guard), digest_of_folder(guard))
    with worker._lock, pytest.raises(TimedOut):
        worker.score("good", time.monotonic() + 0.01)


def test_a_policy_without_a_classifier_has_not_run_it() -> None:
    setting = Setting("classifier", Action.BLOCK)
    policy = replace(ready_policy(), routes={"default": Route("default", (Block((setting,)),))})
    verdict = Firewall(policy).check(Segment("hello"))
    assert verdict.action is Action.BLOCK and verdict.scanners[0].state is State.FAILED
