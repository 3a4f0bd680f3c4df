"""One POST of JSON to the endpoint that a model declares, bounded in time and size; no redirect is followed, nothing else is asked.

A worker may reach the declared host and port only (`app.runner.sandbox`).
"""

from __future__ import annotations

import http.client
import json
import os
from dataclasses import dataclass
from urllib.parse import urlsplit

from assay.core.canonical import Json, parse
from assay.core.errors import AssayError, Undecided, UsageError
from assay.predictors.declared import Declared

MAX_ANSWER_BYTES = 64 << 20
DEFAULT_TIMEOUT_S = 30.0


@dataclass(frozen=True)
class Endpoint:
    """Where a model answers. `key` is sent as a bearer token; it comes from the environment, never from a file."""

    is_encrypted: bool
    host: str
    port: int
    path: str
    key: str | None
    timeout_s: float

    def __repr__(self) -> str:
        """Without the key, so that no message can hold it."""
        return f"Endpoint({self.host}:{self.port}{self.path})"


def endpoint(stated: Declared, suffix: str = "") -> Endpoint:
    """Reads `url`, `key_env` and `timeout_s` of an interface.

    Raises:
        UsageError: no usable address.
        Undecided: the environment has no such key.
    """
    url = str(stated.interface.get("url", ""))
    try:
        parts = urlsplit(url)
        port = parts.port or (443 if parts.scheme == "https" else 80)
    except ValueError as error:
        raise UsageError(f"the model has no usable address: {url!r:.120}", str(error)) from error
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username or parts.password:
        raise UsageError(
            f"the model has no usable address: {url!r:.120}", "it has to be http:// or https:// with a host, and no password in it",
            "set `url` in its `interface`, and name the variable that holds a key with `key_env`",
        )  # fmt: skip
    name = stated.interface.get("key_env")
    if name and not os.environ.get(str(name)):
        raise Undecided(
            "the model cannot be asked", f"the environment has no variable {name}", "set it, and run the check again"
        )
    key = os.environ[str(name)] if name else None
    path = (parts.path.rstrip("/") + suffix or "/") + (f"?{parts.query}" if parts.query else "")
    return Endpoint(
        parts.scheme == "https",
        parts.hostname,
        port,
        path,
        key,
        float(stated.interface.get("timeout_s", DEFAULT_TIMEOUT_S)),
    )


def ask(where: Endpoint, question: Json) -> Json:
    """The JSON that the endpoint answers with.

    Raises:
        Undecided: no connection, too late, too long, no success, or no JSON.
    """
    kind = http.client.HTTPSConnection if where.is_encrypted else http.client.HTTPConnection
    connection = kind(where.host, where.port, timeout=where.timeout_s)
    headers = {"Content-Type": "application/json", "Accept": "application/json"}
    headers |= {"Authorization": f"Bearer {where.key}"} if where.key else {}
    try:
        connection.request("POST", where.path, json.dumps(question).encode(), headers)
        answer = connection.getresponse()
        data = answer.read(MAX_ANSWER_BYTES + 1)
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise Undecided("the model does not answer", f"{where.host}:{where.port}: {type(error).__name__}: {error}"[:200],
                        "look whether it runs and is reachable from here") from error  # fmt: skip
    finally:
        connection.close()
    if answer.status != http.client.OK:
        raise Undecided(
            "the model refuses the question", f"{where.host}:{where.port} answers with status {answer.status}"
        )
    try:
        return parse(data, what="answer", max_bytes=MAX_ANSWER_BYTES, max_depth=64)
    except AssayError as error:
        raise Undecided("the model's answer cannot be read", f"{error.what}: {error.why}") from error
