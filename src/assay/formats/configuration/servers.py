"""Model servers by their command line and environment: who may reach them, and what they load.

`Launch` is the common form that Dockerfiles, Compose files, manifests, scripts and units come down to. `reach` says how far its port
goes: "published" beyond the machine or cluster, "container" within it, "host" for a process without a container.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from assay.core.outcomes import Severity
from assay.formats.code.facts import Problem, Rule, problem
from assay.formats.configuration import rules

HIGH, MEDIUM, LOW = Severity.HIGH, Severity.MEDIUM, Severity.LOW
_EVERYWHERE = frozenset({"0.0.0.0", "::", "[::]", "*", "''", '""', "0"})  # noqa: S104 - what is looked for
_WEAK = frozenset(
    [
        "password",
        "passwd",
        "admin",
        "root",
        "secret",
        "changeme",
        "postgres",
        "mysql",
        "minioadmin",
        "minio",
        "guest",
        "test",
        "123456",
        "12345678",
        "1234",
        "airflow",
        "mlflow",
        "redis",
        "default",
        "letmein",
        "qwerty",
    ]
)
_SECRET_NAME = re.compile(r"(PASSWORD|PASSWD|SECRET|TOKEN|API_?KEY|ACCESS_?KEY)$", re.IGNORECASE)


@dataclass(frozen=True)
class Launch:
    """How a server is started."""

    words: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    image: str = ""
    line: int = 1
    reach: str = "host"

    @property
    def text(self) -> str:
        return " ".join(self.words)

    def option(self, *names: str) -> str | None:
        """The value of the last `--name value` or `--name=value`; "" for a bare flag, None where it is absent."""
        found = None
        for at, word in enumerate(self.words):
            name, equals, value = word.partition("=")
            if name in names:
                after = self.words[at + 1] if at + 1 < len(self.words) else ""
                found = value if equals else "" if after.startswith("-") else after
        return found

    def is_server(self, image: str, *marks: str) -> bool:
        return (bool(image) and image in self.image) or any(mark in self.text for mark in marks)


Judge = Callable[[Launch], Iterator[Problem]]


def launch_problems(launch: Launch) -> Iterator[Problem]:
    """Every problem of one start."""
    for judge in _JUDGES:
        yield from judge(launch)


def _open(launch: Launch, name: str, is_bound_everywhere: bool, extra: str = "") -> Iterator[Problem]:
    if is_bound_everywhere:
        severity = MEDIUM if launch.reach == "container" else HIGH
        yield problem(rules.OPEN_SERVER, f"{name} {rules.OPEN_SERVER.title}{extra}", launch.line, severity)


def _vllm(launch: Launch) -> Iterator[Problem]:
    if (
        not launch.is_server(
            "vllm/vllm",
            "vllm serve",
            "vllm.entrypoints",
            "sglang.launch_server",
            "lmdeploy serve",
            "llama-server",
            "llama_cpp.server",
            "text-generation-launcher",
        )
        and "text-generation-inference" not in launch.image
    ):
        return
    host = launch.option("--host", "--server-name")
    is_local_by_default = launch.is_server("", "llama-server", "sglang.launch_server", "llama_cpp.server")
    everywhere = host in _EVERYWHERE or (host is None and not is_local_by_default)
    if (
        launch.option("--api-key", "--api-keys", "--api_key", "--api-key-file") is None
        and "VLLM_API_KEY" not in launch.environment
    ):
        yield from _open(launch, "the inference server", everywhere)
    if launch.option("--allowed-origins") in ("*", '["*"]', "['*']"):
        yield problem(rules.CROSS_ORIGIN, "the inference server allows any origin", launch.line)
    if launch.environment.get("VLLM_ALLOW_INSECURE_SERIALIZATION") == "1":
        yield problem(rules.UNSAFE_SWITCH, "VLLM_ALLOW_INSECURE_SERIALIZATION=1 lets peers send pickles", launch.line)


def _remote_code(launch: Launch) -> Iterator[Problem]:
    given = launch.option("--trust-remote-code", "--trust_remote_code")
    if given is not None and given.lower() not in ("false", "0", "no"):
        yield problem(rules.REMOTE_CODE, f"{rules.REMOTE_CODE.title}: --trust-remote-code", launch.line)
    for name in ("TRUST_REMOTE_CODE", "HF_TRUST_REMOTE_CODE", "HF_HUB_TRUST_REMOTE_CODE"):
        if launch.environment.get(name, "").lower() in ("1", "true", "yes"):
            yield problem(rules.REMOTE_CODE, f"{rules.REMOTE_CODE.title}: {name}", launch.line)


def _triton(launch: Launch) -> Iterator[Problem]:
    if not launch.is_server("tritonserver", "tritonserver"):
        return
    address = launch.option("--http-address")
    if launch.words and "tritonserver" in launch.text:
        yield from _open(
            launch,
            "Triton",
            (address is None or address in _EVERYWHERE) and launch.option("--http-restricted-api") is None,
        )
    mode = launch.option("--model-control-mode")
    if mode in ("poll", "explicit"):
        severity = HIGH if mode == "poll" or launch.option("--http-restricted-api") is None else LOW
        yield problem(
            rules.LIVE_STORE,
            f"Triton runs with --model-control-mode={mode}",
            launch.line,
            MEDIUM if mode == "poll" else severity,
        )


def _ollama(launch: Launch) -> Iterator[Problem]:
    if not launch.is_server("ollama/ollama", "ollama serve") and "OLLAMA_HOST" not in launch.environment:
        return
    host = launch.environment.get("OLLAMA_HOST")
    plain = re.sub(r"^https?://", "", host or "").rsplit(":", 1)[0] if host else None
    yield from _open(launch, "Ollama", plain in _EVERYWHERE or (host is None and "ollama/ollama" in launch.image))
    if launch.environment.get("OLLAMA_ORIGINS", "").strip("\"'") == "*":
        yield problem(rules.CROSS_ORIGIN, "Ollama allows any origin", launch.line)


def _ray(launch: Launch) -> Iterator[Problem]:
    if not launch.is_server("", "ray start", "ray up"):
        return
    if launch.environment.get("RAY_AUTH_MODE") != "token":
        yield from _open(
            launch,
            "Ray",
            launch.option("--dashboard-host") in _EVERYWHERE,
            ": anyone who reaches the dashboard runs jobs (CVE-2023-48022, no release fixes it)",
        )


def _mlflow(launch: Launch) -> Iterator[Problem]:
    if not launch.is_server("", "mlflow server", "mlflow ui", "mlflow models serve"):
        return
    host = launch.option("--host", "-h") or launch.environment.get("MLFLOW_HOST", "")
    if launch.option("--app-name") != "basic-auth":
        yield from _open(launch, "MLflow", host in _EVERYWHERE)
    if launch.option("--allowed-hosts") == "*" or launch.option("--cors-allowed-origins") == "*":
        yield problem(rules.CROSS_ORIGIN, "MLflow allows any host or origin", launch.line)


def _jupyter(launch: Launch) -> Iterator[Problem]:
    if not launch.is_server(
        "jupyter/",
        "jupyter lab",
        "jupyter notebook",
        "jupyter-lab",
        "jupyter-notebook",
        "jupyter server",
        "start-notebook",
    ):
        return
    owners = ("--ServerApp", "--NotebookApp", "--IdentityProvider", "--LabApp", "--PasswordIdentityProvider")
    token = launch.option(*(f"{owner}.token" for owner in owners))
    password = launch.option(*(f"{owner}.{key}" for owner in owners for key in ("password", "hashed_password")))
    if token in ("", "''", '""') and password in (None, "", "''", '""'):
        yield problem(rules.OPEN_SERVER, "Jupyter runs without token and password", launch.line)
    if launch.option("--ServerApp.allow_origin", "--NotebookApp.allow_origin") in ("*", "'*'"):
        yield problem(rules.CROSS_ORIGIN, "Jupyter allows any origin", launch.line)
    if launch.option("--ServerApp.disable_check_xsrf", "--NotebookApp.disable_check_xsrf") in ("True", "true", "1"):
        yield problem(rules.CROSS_ORIGIN, "Jupyter does not check the origin of requests", launch.line)
    if launch.option("--allow-root") is not None:
        yield problem(rules.ROOT, "Jupyter may run as root", launch.line)


def _torchserve(launch: Launch) -> Iterator[Problem]:
    if launch.is_server("", "torchserve") and launch.option("--disable-token-auth", "--disable-token") is not None:
        yield problem(rules.OPEN_MANAGEMENT, "TorchServe runs with --disable-token-auth", launch.line)
    for name, value in launch.environment.items():
        if name.startswith("TS_"):
            yield from setting_problem(name.removeprefix("TS_").lower(), value, launch.line)


def _other(launch: Launch) -> Iterator[Problem]:
    if launch.environment.get("WEBUI_AUTH", "").lower() == "false":
        yield problem(rules.OPEN_SERVER, "Open WebUI runs with WEBUI_AUTH=False", launch.line)
    if (
        launch.environment.get("AUTHENTICATION_ENABLED", "").lower() == "false"
        or launch.environment.get("AUTHENTICATION_ANONYMOUS_ACCESS_ENABLED", "").lower() == "true"
    ):
        yield problem(rules.OPEN_SERVER, "anonymous access is allowed", launch.line)
    if launch.environment.get("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "").lower() in ("1", "y", "yes", "true"):
        yield problem(rules.UNSAFE_SWITCH, "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD lets torch.load run code", launch.line)
    for name, value in launch.environment.items():
        if _SECRET_NAME.search(name) and value.lower().strip("\"'") in _WEAK:
            yield problem(rules.WEAK_SECRET, f"{name[:60]} is a default that everybody knows", launch.line)


def setting_problem(key: str, value: str, line: int) -> Iterator[Problem]:
    """One line of TorchServe's `config.properties`."""
    value = value.strip()
    rule: Rule | None = None
    if key in ("management_address", "inference_address", "metrics_address") and re.match(
        r"https?://(0\.0\.0\.0|\[::\]|:)", value
    ):
        rule = rules.OPEN_MANAGEMENT if key == "management_address" else rules.OPEN_SERVER
        yield problem(
            rule, f"TorchServe: {key} serves every network", line, HIGH if key == "management_address" else MEDIUM
        )
    elif key == "allowed_urls" and any(
        part.strip() in (".*", "http(s)?://.*", "https?://.*", "file://.*|http(s)?://.*") for part in value.split(",")
    ):
        yield problem(rules.OPEN_MANAGEMENT, "TorchServe: allowed_urls admits any address (CVE-2023-43654)", line)
    elif key in ("disable_token_authorization", "disable_token_authorization_enabled") and value.lower() == "true":
        yield problem(rules.OPEN_MANAGEMENT, "TorchServe: token authorisation is off", line)
    elif key == "enable_model_api" and value.lower() == "true":
        yield problem(rules.OPEN_MANAGEMENT, "TorchServe: models can be registered at run time", line, MEDIUM)
    elif key in ("cors_allowed_origin",) and value == "*":
        yield problem(rules.CROSS_ORIGIN, "TorchServe allows any origin", line)
    elif key == "install_py_dep_per_model" and value.lower() == "true":
        yield problem(rules.REMOTE_CODE, "TorchServe installs packages that a model names", line, MEDIUM)


_JUDGES: tuple[Judge, ...] = (_vllm, _remote_code, _triton, _ollama, _ray, _mlflow, _jupyter, _torchserve, _other)
