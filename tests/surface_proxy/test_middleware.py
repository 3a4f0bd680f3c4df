"""The firewall inside an application that answers as a model itself."""

from __future__ import annotations

import json
from typing import Any

import httpx
import openai
import pytest
from tests.surface_proxy.servers import chat, firewall_of_tests, served, spoken
from tests.surface_proxy.test_clients import HI, KEY

from assay.firewall import FirewallMiddleware


async def application(scope: Any, receive: Any, send: Any) -> None:
    """A model that repeats what it was told last, in a stream if asked; and a page that nobody guards."""
    if scope["type"] == "lifespan":
        while True:
            message = await receive()
            await send({"type": f"{message['type']}.complete"})
            if message["type"].endswith("shutdown"):
                return
    body = b""
    while True:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body"):
            break
    asked = json.loads(body or b"{}")
    kind, pieces = b"application/json", [json.dumps({"said": asked.get("question", "nothing")}).encode()]
    if scope["path"] == "/v1/chat/completions":
        text = asked["messages"][-1]["content"] + f" and {KEY} too"
        pieces = [json.dumps(chat(text)).encode()]
        if asked.get("stream"):
            kind = b"text/event-stream"
            pieces = [b"data: " + json.dumps(event).encode() + b"\n\n" for event in spoken(text)] + [
                b"data: [DONE]\n\n"
            ]
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", kind)]})
    for piece in pieces:
        await send({"type": "http.response.body", "body": piece, "more_body": True})
    await send({"type": "http.response.body"})


@pytest.mark.parametrize("is_streamed", [False, True])
def test_an_application_of_a_known_api_is_guarded_in_both_directions(is_streamed: bool) -> None:
    with served(FirewallMiddleware(application, firewall_of_tests())) as url:
        client = openai.OpenAI(base_url=f"{url}/v1", api_key="k", max_retries=0)
        if is_streamed:
            events = client.chat.completions.create(model="m", messages=HI, stream=True)
            said = "".join(event.choices[0].delta.content or "" for event in events)
        else:
            said = client.chat.completions.create(model="m", messages=HI).choices[0].message.content or ""
        assert said == "hi and [ASY-SEC-013] too"
        client.close()


def test_json_of_any_shape_is_guarded_where_asked_and_nothing_else_is_touched() -> None:
    app = FirewallMiddleware(application, firewall_of_tests(), json_paths=["/ask"])
    with served(app) as url, httpx.Client(base_url=url) as client:
        assert client.post("/ask", json={"question": f"is {KEY} good?"}).json() == {"said": "is [ASY-SEC-013] good?"}
        assert client.post("/else", json={"question": f"is {KEY} good?"}).json() == {"said": f"is {KEY} good?"}
