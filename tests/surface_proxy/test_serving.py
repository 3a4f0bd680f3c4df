"""The proxy as it is started by its command: events, policies that change, budgets that outlive a kill."""

from __future__ import annotations

import json
import os
import resource
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from tests.support import make_workspace
from tests.surface_proxy.servers import POLICY, chat, proxied, scripted, whole
from tests.surface_proxy.test_clients import KEY
from tests.surface_proxy.test_hostile import ASK, PATH

from assay.app.firewall_records import Records, root_of
from assay.evidence.envelope import open_bundle
from assay.runtime.firewall.values import Action, Segment
from assay.surfaces.proxy.journal import Journal
from assay.surfaces.proxy.policy_in_force import HeldPolicy
from assay.surfaces.proxy.watch import Event


def test_every_verdict_of_an_exchange_is_in_the_ledger_and_no_text_is(tmp_path: Path) -> None:
    with make_workspace(tmp_path / "w") as (workspace, team), scripted(whole(chat(f"it is {KEY}"))) as model:
        size = workspace.ledger.size()
        journal = Journal(tmp_path / "state", Records(workspace, "firewall"), print)
        with proxied(model.url, tmp_path, meters=()) as proxy:
            httpx.post(proxy.url + PATH, json=ASK)
            httpx.post(proxy.url + PATH, json=[])
            for event in proxy.events:
                journal(event)
        journal.close()
        (leaf,) = list(workspace.ledger.leaves(size))
        said = open_bundle(workspace.ledger.bundle(leaf), [team["runner"].public]).statement
        records = workspace.blobs.get(said.predicate["bundle"]["sha256"])
        assert records and len(records.splitlines()) == 2 and root_of(records) == said.subject
        assert KEY.encode() not in records and KEY.encode() not in workspace.ledger.bundle(leaf)
    (line,) = (tmp_path / "state" / "events.jsonl").read_text("utf-8").splitlines()
    assert json.loads(line)["code"] == "malformed_request"


def test_a_policy_file_is_taken_up_when_its_version_rises_and_a_bad_one_is_told_once(tmp_path: Path) -> None:
    file = tmp_path / "policy.yaml"
    file.write_bytes(POLICY)
    events: list[Event] = []
    held = HeldPolicy(str(file), [], events.append)
    held.close()  # nobody else looks
    strict = POLICY.replace(b"action: redact", b"action: block")
    for data, taken in ((b"nonsense", False), (strict, False), (strict.replace(b"version: 1", b"version: 2"), True)):
        file.write_bytes(data)
        held.look()
        held.look()
        assert events[-1].about["is_taken"] is taken
    assert len(events) == 3
    assert held.firewall().check(Segment(KEY)).action is Action.BLOCK


SETTINGS = """
proxy: assay/firewall-proxy/v1
upstream: {upstream}
listen: 127.0.0.1:{port}
admin: 127.0.0.1:{admin}
policy: {policy}
state: {state}
limits: {{tokens_per_day: 3000}}
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def command(folder: Path, upstream: str, *more: str) -> Iterator[tuple[str, str, subprocess.Popen[bytes]]]:
    """`assay firewall serve`: its address, that of its metrics, and the process."""
    port, admin = free_port(), free_port()
    (folder / "policy.yaml").write_bytes(POLICY)
    told = SETTINGS.format(
        upstream=upstream, port=port, admin=admin, policy=folder / "policy.yaml", state=folder / "state"
    )
    (folder / "proxy.yaml").write_text(told, "utf-8")
    assay = Path(sys.executable).parent / "assay"
    process = subprocess.Popen([str(assay), "firewall", "serve", "--settings", str(folder / "proxy.yaml"), "--quiet", *more],
                               cwd=folder, env=os.environ | {"ASSAY_STATE": str(folder / "home")}, stderr=subprocess.PIPE)  # fmt: skip
    try:
        until = time.monotonic() + 90
        while time.monotonic() < until and process.poll() is None:
            try:
                if httpx.get(f"http://127.0.0.1:{port}/healthz", timeout=5).status_code == 200:
                    break
            except httpx.HTTPError:
                time.sleep(0.1)
        yield f"http://127.0.0.1:{port}", f"http://127.0.0.1:{admin}", process
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=60)


def test_while_verdicts_cannot_be_written_nothing_passes(tmp_path: Path) -> None:
    """The disk of the running command fills up, and is emptied again."""
    asked = ASK | {"max_tokens": 10}
    with (
        make_workspace(tmp_path),
        scripted(whole(chat("ok"))) as model,
        command(tmp_path, model.url) as (url, admin, process),
    ):
        assert httpx.post(url + PATH, json=asked, timeout=60).status_code == 200
        (spool,) = (tmp_path / "state").glob("verdicts-*.jsonl")
        before, passed = spool.read_bytes(), len(model.requests)
        room = resource.prlimit(process.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (len(before) + 10, room[1]))
        for stream in (False, True):
            answer = httpx.post(url + PATH, json=asked | {"stream": stream}, timeout=60)
            assert (answer.status_code, answer.json()["error"]["code"]) == (503, "records_unavailable")
        assert len(model.requests) == passed and spool.read_bytes() == before
        assert 'refusals_total{api="chat",code="records_unavailable"} 2.0' in httpx.get(f"{admin}/metrics").text
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, room)
        assert httpx.post(url + PATH, json=asked, timeout=60).status_code == 200
        assert spool.read_bytes().startswith(before) and len(spool.read_bytes().splitlines()) == 4


def test_while_too_many_verdicts_wait_for_the_ledger_nothing_passes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("assay.surfaces.proxy.journal.MAX_WAITING", 4)
    monkeypatch.setattr("assay.surfaces.proxy.journal.RETRY_S", 0.1)
    monkeypatch.setattr("assay.app.firewall_records.MAX_RECORDS", 3)
    with make_workspace(tmp_path) as (workspace, _), scripted(whole(chat("ok"))) as model:
        said: list[str] = []
        journal = Journal(tmp_path / "state", Records(workspace, "firewall"), said.append)
        key = workspace.folder / "keys" / "runner.pem"
        hidden = key.rename(tmp_path / "hidden")
        with proxied(model.url, tmp_path, record=journal) as proxy:
            proxy.gateway.is_recording = lambda: not journal.is_full
            answers = [httpx.post(proxy.url + PATH, json=ASK) for _ in range(3)]
            assert [answer.status_code for answer in answers] == [200, 200, 503] and len(model.requests) == 2
            assert answers[-1].json()["error"]["code"] == "records_unavailable"
            assert any("could not be written" in line for line in said)
            hidden.rename(key)
            until = time.monotonic() + 90
            while journal.is_full and time.monotonic() < until:
                time.sleep(0.05)
            assert httpx.post(proxy.url + PATH, json=ASK).status_code == 200
        journal.close()


def test_the_command_serves_counts_and_remembers_what_was_spent_when_it_was_killed(tmp_path: Path) -> None:
    with scripted(whole(chat(f"it is {KEY}"))) as model:
        with command(tmp_path, model.url) as (url, admin, process):
            answer = httpx.post(url + PATH, json=ASK | {"max_tokens": 2000}, timeout=60)
            assert answer.json()["choices"][0]["message"]["content"] == "it is [ASY-SEC-013]"
            assert 'assay_firewall_requests_total{api="chat",status="200"} 1.0' in httpx.get(f"{admin}/metrics").text
            model.says(whole(chat("late"), pause_s=60))
            try:
                httpx.post(url + PATH, json=ASK | {"max_tokens": 2000}, timeout=1)
            except httpx.TimeoutException:
                process.kill()
        model.says(whole(chat("ok")))
        with command(tmp_path, model.url) as (url, _, _):
            assert httpx.post(url + PATH, json=ASK | {"max_tokens": 2000}, timeout=60).status_code == 429
            assert httpx.post(url + PATH, json=ASK | {"max_tokens": 100}, timeout=60).status_code == 200
