"""Keys, budgets and containment, through the proxy."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.surface_proxy.servers import chat, proxied, scripted, spoken, stream, whole
from tests.surface_proxy.test_clients import KEY
from tests.surface_proxy.test_hostile import ASK, PATH

from assay.core.digests import sha256
from assay.core.errors import UsageError
from assay.runtime.budget.limits import NANO, Limit, Price
from assay.surfaces.proxy.settings import Abuse, Client, parse_settings

TOKENS = Limit("tokens", "day", 2000)
ANN = {"authorization": "Bearer ann-key"}


def code(answer: httpx.Response) -> str:
    return str(answer.json()["error"]["code"])


def test_only_known_keys_come_in_and_the_servers_key_goes_out(tmp_path: Path) -> None:
    ann = Client("ann", sha256(b"ann-key"), (TOKENS,))
    with scripted(whole(chat("ok"))) as model, proxied(model.url, tmp_path, key="real-key", clients=(ann,)) as proxy:
        assert code(httpx.post(proxy.url + PATH, json=ASK, headers={"authorization": "Bearer other"})) == "unknown_key"
        assert httpx.post(proxy.url + PATH, json=ASK | {"max_tokens": 10}, headers=ANN).status_code == 200
        assert [headers["authorization"] for _, headers, _ in model.requests] == ["Bearer real-key"]
        assert "ann-key" not in str(proxy.events) and "real-key" not in str(proxy.events)


def test_tokens_are_counted_as_the_server_says_and_the_rest_comes_back(tmp_path: Path) -> None:
    with scripted(whole(chat("ok"))) as model, proxied(model.url, tmp_path, limits=(TOKENS,)) as proxy:
        for _ in range(3):
            assert httpx.post(proxy.url + PATH, json=ASK | {"max_tokens": 1500}).status_code == 200
        refused = httpx.post(proxy.url + PATH, json=ASK | {"max_tokens": 2500})
        assert (
            refused.status_code == 429 and code(refused) == "budget_spent" and int(refused.headers["retry-after"]) > 0
        )
        assert len(model.requests) == 3


def test_a_stream_that_is_cut_stays_paid_in_full(tmp_path: Path) -> None:
    cut = stream(*spoken("x" * 300)[:-1], ends=False)
    with scripted(cut) as model, proxied(model.url, tmp_path, limits=(TOKENS,)) as proxy:
        httpx.post(proxy.url + PATH, json=ASK | {"max_tokens": 1500, "stream": True})
        assert code(httpx.post(proxy.url + PATH, json=ASK | {"max_tokens": 1500})) == "budget_spent"


def test_usage_that_the_client_did_not_ask_for_is_not_shown(tmp_path: Path) -> None:
    usage = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [],
             "usage": {"prompt_tokens": 5, "completion_tokens": 7}}  # fmt: skip
    with scripted(stream(*spoken("hello"), usage)) as model, proxied(model.url, tmp_path, limits=(TOKENS,)) as proxy:
        answer = httpx.post(proxy.url + PATH, json=ASK | {"stream": True, "max_tokens": 100})
        assert model.bodies[0]["stream_options"] == {"include_usage": True} and "usage" not in answer.text
        answer = httpx.post(
            proxy.url + PATH, json=ASK | {"stream": True, "max_tokens": 100, "stream_options": {"include_usage": True}}
        )
        assert '"completion_tokens":7' in answer.text
        assert proxy.gateway.account.spent("anonymous", TOKENS, time.time()) == 24


def test_a_limit_in_money_needs_a_price(tmp_path: Path) -> None:
    limits = (Limit("cost", "day", NANO),)
    with (
        scripted(whole(chat("ok"))) as model,
        proxied(model.url, tmp_path, limits=limits, prices={"m": Price(250, 2000)}) as proxy,
    ):
        assert httpx.post(proxy.url + PATH, json=ASK).status_code == 200
        assert code(httpx.post(proxy.url + PATH, json=ASK | {"model": "other"})) == "price_unknown"
        assert len(model.requests) == 1


@pytest.mark.parametrize("dear", [{"service_tier": "priority"}, {"service_tier": "scale"}])
def test_what_costs_more_than_the_listed_price_is_refused_where_money_is_limited(
    tmp_path: Path, dear: dict[str, str]
) -> None:
    limits = (Limit("cost", "day", NANO),)
    with (
        scripted(whole(chat("ok"))) as model,
        proxied(model.url, tmp_path, limits=limits, prices={"m": Price(250, 2000)}) as proxy,
    ):
        assert code(httpx.post(proxy.url + PATH, json=ASK | dear)) == "price_unknown" and not model.requests
        assert httpx.post(proxy.url + PATH, json=ASK | {"service_tier": "default"}).status_code == 200


def test_many_requests_at_once_do_not_pass_a_limit_together(tmp_path: Path) -> None:
    with scripted(whole(chat("ok"), pause_s=0.3)) as model, proxied(model.url, tmp_path, limits=(TOKENS,)) as proxy:
        with ThreadPoolExecutor(8) as pool:
            asked = [
                pool.submit(httpx.post, proxy.url + PATH, json=ASK | {"max_tokens": 600}, timeout=60) for _ in range(8)
            ]
            statuses = sorted(answer.result().status_code for answer in asked)
        assert statuses.count(200) == len(model.requests) == 2 or statuses.count(200) == len(model.requests) == 3
        assert set(statuses) == {200, 429}


def test_an_answer_that_is_fetched_later_is_refused_or_paid_in_full(tmp_path: Path) -> None:
    later = {"id": "r", "object": "response", "status": "queued", "output": [], "background": True, "usage": None}
    asked = {"model": "m", "input": "hi", "background": True, "max_output_tokens": 1500}
    with scripted(whole(later)) as model:
        with proxied(model.url, tmp_path, limits=(TOKENS,)) as proxy:
            assert code(httpx.post(proxy.url + "/v1/responses", json=asked)) == "unknown_part" and not model.requests
        with proxied(model.url, tmp_path, limits=(TOKENS,), unscanned=frozenset({"stored_state"})) as proxy:
            assert httpx.post(proxy.url + "/v1/responses", json=asked).status_code == 200
            assert code(httpx.post(proxy.url + "/v1/responses", json=asked)) == "budget_spent"


def test_what_a_server_keeps_of_a_prompt_counts_too(tmp_path: Path) -> None:
    usage = {"input_tokens": 5, "cache_creation_input_tokens": 300, "cache_read_input_tokens": 200, "output_tokens": 7}
    said = {
        "id": "m",
        "type": "message",
        "role": "assistant",
        "model": "m",
        "content": [],
        "stop_reason": "end_turn",
        "usage": usage,
    }
    with scripted(whole(said)) as model, proxied(model.url, tmp_path, limits=(TOKENS,)) as proxy:
        httpx.post(
            proxy.url + "/v1/messages",
            json={"model": "m", "max_tokens": 50, "messages": [{"role": "user", "content": "hi"}]},
        )
        assert proxy.gateway.account.spent("anonymous", TOKENS, time.time()) == 512


def test_the_length_of_answers_is_capped_and_so_is_their_number(tmp_path: Path) -> None:
    with scripted(whole(chat("ok"))) as model, proxied(model.url, tmp_path, max_output_tokens=100) as proxy:
        httpx.post(proxy.url + PATH, json=ASK | {"max_tokens": 5000})
        httpx.post(proxy.url + PATH, json=ASK)
        assert [body.get("max_tokens", body.get("max_completion_tokens")) for body in model.bodies] == [100, 100]
        assert code(httpx.post(proxy.url + PATH, json=ASK | {"n": 9})) == "too_many_choices"


def test_a_client_that_is_blocked_again_and_again_is_contained_over_a_restart(tmp_path: Path) -> None:
    bad: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": KEY}]}
    abuse = Abuse(blocks=3, within_s=60, contain_s=600)
    with scripted(whole(chat("ok"))) as model:
        with proxied(model.url, tmp_path, route="strict", abuse=abuse) as proxy:
            codes = [code(httpx.post(proxy.url + PATH, json=bad, headers=ANN)) for _ in range(4)]
            assert codes == ["firewall_blocked"] * 3 + ["client_contained"]
            assert [event.kind for event in proxy.events].count("abuse") == 1
        with proxied(model.url, tmp_path, route="strict", abuse=abuse) as proxy:
            assert code(httpx.post(proxy.url + PATH, json=ASK, headers=ANN)) == "client_contained"
            assert httpx.post(proxy.url + PATH, json=ASK).status_code == 200


SETTINGS = b"""
proxy: assay/firewall-proxy/v1
upstream: https://models.example.com
clients:
  team-a: {key_sha256: "sha256:%s", limits: {tokens_per_day: 2000000, cost_per_day: 5.5}}
limits: {requests_per_minute: 600}
prices: {small-model: {input: 0.25, output: 2.00}}
unscanned: [image]
abuse: {blocks: 10, within_s: 60, contain_s: 600}
timeouts: {upstream: 120}
tracing: {endpoint: "http://127.0.0.1:4318/v1/traces"}
""" % (b"0" * 64)


def test_settings_are_read() -> None:
    settings = parse_settings(SETTINGS, "proxy.yaml")
    assert settings.clients[0].limits == (Limit("tokens", "day", 2_000_000), Limit("cost", "day", 5_500_000_000))
    assert settings.prices["small-model"] == Price(250, 2000) and settings.unscanned == {"image"}
    assert settings.timeouts.upstream == 120 and settings.timeouts.client == 30
    assert settings.tracing and not settings.tracing.content


@pytest.mark.parametrize(("change", "said"), [
    ((b"upstream:", b"upstraem:"), "did you mean 'upstream'"), ((b"[image]", b"[imgae]"), "did you mean 'image'"),
    ((b"tokens_per_day", b"tokens_per_dya"), "did you mean 'tokens_per_day'"), ((b"5.5", b"-1"), "above 0"),
    ((b"blocks: 10", b"blocks: ten"), "whole number"), ((b"https://", b"ftp://"), "address"),
])  # fmt: skip
def test_a_mistake_in_the_settings_names_the_nearest_word(change: tuple[bytes, bytes], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        parse_settings(SETTINGS.replace(*change), "proxy.yaml")
