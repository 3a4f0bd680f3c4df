"""Models behind HTTP answer through one declared door, and nothing else of the network opens with it."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.contract.material import asset

from assay.app.runner.engine import run
from assay.app.runner.jobs import Finished, Job, Located
from assay.checks.quality.accuracy import accuracy
from assay.core.assets import Kind
from assay.core.canonical import Json
from assay.core.errors import Undecided, UsageError
from assay.core.outcomes import Measurement
from assay.predictors.declared import declared
from assay.predictors.http_model import ChatModel, HttpModel
from assay.predictors.predictor import Predictor

BATCH = np.array([[0.2, 1.0], [0.9, 0.0], [0.7, 0.5]])
Answer = Callable[[Mapping[str, Any], Mapping[str, str]], tuple[int, bytes]]


@contextmanager
def served(answer: Answer) -> Iterator[str]:
    """A server on loopback for as long as the block runs; its address."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            status, body = answer(asked, dict(self.headers))
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def scored(rows: list[list[float]]) -> list[list[float]]:
    return [[1 - row[0], row[0]] for row in rows]


def kserve_1(asked: Mapping[str, Any], headers: Mapping[str, str]) -> tuple[int, bytes]:
    return 200, json.dumps({"predictions": scored(asked["instances"])}).encode()


def kserve_2(asked: Mapping[str, Any], headers: Mapping[str, str]) -> tuple[int, bytes]:
    given = asked["inputs"][0]
    rows = np.array(given["data"]).reshape(given["shape"]).tolist()
    return 200, json.dumps({"outputs": [{"name": "p", "data": np.ravel(scored(rows)).tolist()}]}).encode()


def mlflow(asked: Mapping[str, Any], headers: Mapping[str, str]) -> tuple[int, bytes]:
    return 200, json.dumps({"predictions": scored(asked["inputs"])}).encode()


def model(url: str, **interface: Json) -> Predictor:
    given = {"classes": ["no", "yes"], "output": "scores", "url": url, "timeout_s": 5, **interface}
    return Predictor(HttpModel(declared({"predictor": "http", "interface": given})), remembers=True)


@pytest.mark.parametrize(("form", "answer"), [("kserve-v1", kserve_1), ("kserve-v2", kserve_2), ("mlflow", mlflow)])
def test_servers_of_every_protocol_answer_alike(form: str, answer: Answer) -> None:
    with served(answer) as url:
        found = model(url, format=form)
        assert np.allclose(found.scores(BATCH)[:, 1], BATCH[:, 0])
        assert found.labels(BATCH).tolist() == [0, 1, 1]


@pytest.mark.parametrize(
    ("status", "body", "reason"),
    [(500, b"{}", "status 500"), (302, b"", "status 302"), (200, b"<html>", "cannot be read"), (200, b"{}", "no list of 3"),
     (200, b'{"predictions": [1]}', "no list of 3"), (200, b"[" * 5_000, "cannot be read")],
)  # fmt: skip
def test_a_server_that_says_something_else_is_undecided(status: int, body: bytes, reason: str) -> None:
    with served(lambda asked, headers: (status, body)) as url, pytest.raises(Undecided, match=reason):
        model(url).scores(BATCH)


def test_a_server_that_is_not_there_is_undecided() -> None:
    with served(kserve_1) as url:
        pass
    with pytest.raises(Undecided, match="does not answer"):
        model(url).labels(BATCH)


@pytest.mark.parametrize("url", ["", "ftp://x/y", "http://", "http://user:pw@host/", "http://host:port/"])
def test_an_address_that_cannot_be_used_is_wrong_use(url: str) -> None:
    with pytest.raises(UsageError, match="address"):
        model(url)


def chat(asked: Mapping[str, Any], headers: Mapping[str, str]) -> tuple[int, bytes]:
    assert headers["Authorization"] == "Bearer hidden" and asked["temperature"] == 0
    said = "Positive." if "good" in asked["messages"][0]["content"] else "I would say negative"
    return 200, json.dumps({"choices": [{"message": {"content": said}}]}).encode()


def test_a_chat_model_is_a_classifier_whose_answers_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLM_KEY_FOR_TEST", "hidden")
    with served(chat) as url:
        given = {
            "classes": ["negative", "positive"],
            "url": url,
            "key_env": "LLM_KEY_FOR_TEST",
            "prompt": "Which? {{text}}",
            "input": "text",
        }
        found = Predictor(ChatModel(declared({"predictor": "openai", "interface": given})), remembers=True)
        texts = np.array([["a good film"], ["a bad film"]], dtype=object)
        assert found.labels(texts).tolist() == [1, -1]  # a sentence is no class
        assert found.labels(texts).tolist() == [1, -1] and found.rows_queried == 2
        assert "hidden" not in repr(found.__dict__["_model"].__dict__["_where"])


def test_a_key_that_is_not_there_is_undecided() -> None:
    with pytest.raises(Undecided, match="NO_SUCH_KEY"):
        model("http://127.0.0.1:9", key_env="NO_SUCH_KEY")


def job(tmp_path: Path, url: str) -> Job:
    """Accuracy of a model behind `url`, on three rows."""
    csv = b"a,b,label\n" + b"".join(b"%f,%f,%s\n" % (x, y, b"yes" if x > 0.5 else b"no") for x, y in BATCH)
    (tmp_path / "model").mkdir()
    (tmp_path / "data").mkdir()
    (tmp_path / "model" / "endpoint.json").write_bytes(b"{}")
    (tmp_path / "data" / "rows.csv").write_bytes(csv)
    interface = {"classes": ["no", "yes"], "output": "scores", "url": url, "timeout_s": 5}
    subject = asset(Kind.MODEL, {"endpoint.json": b"{}"}, {"predictor": "http", "interface": interface})
    data = asset(Kind.DATASET, {"rows.csv": csv}, {"target": "label"})
    related = {"tested_on": (Located(data, tmp_path / "data"),)}
    return Job(accuracy, Located(subject, tmp_path / "model"), related)


def test_a_worker_reaches_the_declared_endpoint(tmp_path: Path) -> None:
    with served(kserve_1) as url:
        events = list(run([job(tmp_path, url)], now=lambda: datetime.now(UTC)))
    result = next(event.result for event in events if isinstance(event, Finished))
    found = [one for one in result.outcomes if isinstance(one, Measurement)]
    assert found and found[0].value == 1.0, result


def test_a_worker_is_let_through_to_one_host_and_port_only() -> None:
    from assay.app.runner.sandbox import _doors
    from assay.predictors.declared import Reach

    doors = _doors(Reach("127.0.0.1", 8080, None))
    doors["socket.getaddrinfo"](("127.0.0.1", 8080, 0, 1, 0))
    doors["socket.connect"]((None, ("127.0.0.1", 8080)))
    for wrong in (("127.0.0.1", 22), ("example.org", 8080)):
        with pytest.raises(PermissionError):
            doors["socket.getaddrinfo"]((*wrong, 0, 1, 0))
        with pytest.raises(PermissionError):
            doors["socket.connect"]((None, wrong))
    with pytest.raises(PermissionError):
        doors["socket.connect"]((None, "/run/some.socket"))
