"""The settings of the proxy, read from YAML; every one has a default that is safe, but for `upstream`.

    proxy: assay/firewall-proxy/v1
    upstream: https://models.example.com        # without /v1
    upstream_key_env: MODEL_API_KEY             # else the client's own key goes on
    listen: 127.0.0.1:8080
    admin: 127.0.0.1:9464                       # metrics and health; off where it is not given
    unscanned: [image]                          # parts that may pass although nobody looks into them
    clients:
      team-a: {key_sha256: "sha256:…", limits: {tokens_per_day: 2000000, cost_per_day: 5.00}}
    limits: {requests_per_minute: 600}          # of every client without its own
    prices: {small-model: {input: 0.25, output: 2.00}}
    abuse: {blocks: 10, within_s: 60, contain_s: 600}

An unknown word is an error with the nearest known one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Final

from assay.core.digests import Digest
from assay.core.errors import UsageError
from assay.formats.yaml_nodes import Node
from assay.formats.yaml_strict import load_located
from assay.runtime.budget.limits import NANO, WINDOWS, Limit, Price

SETTINGS_SCHEMA: Final = "assay/firewall-proxy/v1"
CLOSED_PARTS: Final = ("image", "audio", "file", "hosted_tools", "stored_state", "token_ids", "annotations")
MAX_SETTINGS_BYTES: Final = 1 << 20
_URL, _URL_MEANS = (
    r"https?://[A-Za-z0-9.\-\[\]:]{1,255}(/[A-Za-z0-9._/\-]{0,255})?",
    "an address such as https://models.example.com",
)
_ADDRESS, _ADDRESS_MEANS = r"[A-Za-z0-9.\-\[\]:]{1,255}:\d{1,5}", "host:port"
_ENV, _ENV_MEANS = r"[A-Za-z_][A-Za-z0-9_]{0,127}", "the name of an environment variable"
_CLIENT, _CLIENT_MEANS = r"[a-z0-9][a-z0-9_.-]{0,62}", "a name in lower case"


@dataclass(frozen=True)
class Client:
    """Who may call, told by the digest of the key; the key itself stands nowhere."""

    name: str
    key_sha256: Digest
    limits: tuple[Limit, ...] | None = None
    max_output_tokens: int | None = None


@dataclass(frozen=True)
class Abuse:
    """A client that is blocked `blocks` times within `within_s` seconds is refused for `contain_s`; 0 blocks means never."""

    blocks: int = 20
    within_s: int = 60
    contain_s: int = 300


@dataclass(frozen=True)
class Timeouts:
    """Seconds: for a client to send its request or take its answer, and for the server to connect and to say something."""

    client: float = 30.0
    connect: float = 10.0
    upstream: float = 300.0


@dataclass(frozen=True)
class Tracing:
    """Where OpenTelemetry spans go; with `content` they hold prompts and answers as they went out, redacted."""

    endpoint: str
    content: bool = False


@dataclass(frozen=True)
class Settings:
    """All settings; sizes in bytes, counts in tokens."""

    upstream: str
    upstream_key_env: str = ""
    listen: str = "127.0.0.1:8080"
    admin: str = ""
    policy: str = ""
    route: str = "default"
    state: str = ""
    unscanned: frozenset[str] = frozenset()
    clients: tuple[Client, ...] = ()
    limits: tuple[Limit, ...] = ()
    prices: Mapping[str, Price] = field(default_factory=dict)
    max_output_tokens: int = 16_384
    max_choices: int = 8
    max_body_bytes: int = 4_000_000
    max_answer_bytes: int = 16_000_000
    max_held_bytes: int = 256_000_000
    max_concurrent: int = 1000
    inline_bytes: int = 16_384
    workers: int = 1
    abuse: Abuse = Abuse()
    timeouts: Timeouts = Timeouts()
    tracing: Tracing | None = None


def read_settings(path: Path) -> Settings:
    """Reads a file of settings.

    Raises:
        UsageError: it cannot be read, or says something that is not known.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UsageError(f"cannot read {path}", str(error), "check the path") from error
    if len(data) > MAX_SETTINGS_BYTES:
        raise UsageError(f"{path} is too large", f"at most {MAX_SETTINGS_BYTES} bytes are read")
    return parse_settings(data, path.name)


def parse_settings(data: bytes, source: str) -> Settings:
    """Settings from YAML; `source` names it in errors."""
    document = load_located(data, source)
    top = Node(document.value, (), document, source)
    part = top.fields(("proxy", *(item.name for item in fields(Settings))), required=("proxy", "upstream"))
    part["proxy"].choice([SETTINGS_SCHEMA])
    readers = {
        "upstream": lambda n: n.text(_URL, _URL_MEANS).rstrip("/"),
        "upstream_key_env": lambda n: n.text(_ENV, _ENV_MEANS),
        "listen": lambda n: n.text(_ADDRESS, _ADDRESS_MEANS),
        "admin": lambda n: n.text(_ADDRESS, _ADDRESS_MEANS),
        "policy": lambda n: n.text(),
        "route": lambda n: n.text(),
        "state": lambda n: n.text(),
        "unscanned": lambda n: frozenset(item.choice(CLOSED_PARTS) for item in n.items()),
        "clients": lambda n: tuple(_client(name, item) for name, item in n.entries().items()),
        "limits": _limits,
        "prices": lambda n: {model: _price(item) for model, item in n.entries().items()},
        "abuse": lambda n: Abuse(**{key: item.whole(0) for key, item in n.fields(_names(Abuse)).items()}),
        "timeouts": lambda n: Timeouts(**{key: _seconds(item) for key, item in n.fields(_names(Timeouts)).items()}),
        "tracing": _tracing,
    }
    return Settings(**{key: readers.get(key, Node.whole)(node) for key, node in part.items() if key != "proxy"})


def _names(kind: type) -> tuple[str, ...]:
    return tuple(item.name for item in fields(kind))


def _client(name: str, node: Node) -> Client:
    node.at(name, name).text(_CLIENT, _CLIENT_MEANS)
    part = node.fields(("key_sha256", "limits", "max_output_tokens"), required=("key_sha256",))
    digest = part["key_sha256"].text(r"sha256:[0-9a-f]{64}", "sha256: and 64 hex characters")
    return Client(
        name,
        digest.removeprefix("sha256:"),
        _limits(part["limits"]) if "limits" in part else None,
        part["max_output_tokens"].whole() if "max_output_tokens" in part else None,
    )


def _limits(node: Node) -> tuple[Limit, ...]:
    known = {f"{what}_per_{window}": (what, window) for what in ("requests", "tokens", "cost") for window in WINDOWS}
    found = []
    for name, item in node.fields(known).items():
        what, window = known[name]
        if what == "cost" and item.number() <= 0:
            raise item.error("an amount above 0 is expected here")
        found.append(Limit(what, window, int(item.number() * NANO) if what == "cost" else item.whole()))
    return tuple(found)


def _price(node: Node) -> Price:
    part = node.fields(("input", "output"), required=("input", "output"))
    given, answered = part["input"].number(), part["output"].number()
    if not 0 <= given < 1e6 or not 0 <= answered < 1e6:
        raise node.error("prices for a million tokens lie between 0 and a million")
    return Price.per_million(given, answered)


def _seconds(node: Node) -> float:
    if not 0 < node.number() <= 3600:
        raise node.error("0 to 3600 seconds are expected here")
    return float(node.number())


def _tracing(node: Node) -> Tracing:
    part = node.fields(("endpoint", "content"), required=("endpoint",))
    return Tracing(part["endpoint"].text(_URL, _URL_MEANS), "content" in part and part["content"].flag())
