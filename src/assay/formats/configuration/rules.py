"""The rules for serving infrastructure, as data.

Sources: Kubernetes documentation, "Pod Security Standards"; Docker documentation, "Building best practices"; the security pages of
vLLM, TorchServe, Ollama, Ray, MLflow, Jupyter and Triton; the Model Context Protocol's security practices; MITRE ATLAS 5.6.0.
"""

from __future__ import annotations

from assay.core.outcomes import Severity
from assay.formats.code.facts import Rule

HIGH, MEDIUM, LOW = Severity.HIGH, Severity.MEDIUM, Severity.LOW
_OPEN = ("cwe:306", "mitre-atlas:AML.T0049")


def _rule(number: int, title: str, severity: Severity, remedy: str, *refs: str) -> Rule:
    return Rule(f"ASY-INF-{number:03}", title, severity, remedy, refs)


UNPINNED_IMAGE = _rule(
    1,
    "an image that can change under its name",
    MEDIUM,
    "name the image by digest (@sha256:…)",
    "cwe:494",
    "mitre-atlas:AML.T0010.004",
)
ROOT = _rule(2, "runs as root", MEDIUM, "add a user and switch to it (USER, runAsNonRoot: true)", "cwe:250")
PRIVILEGED = _rule(
    3,
    "has the rights of the host",
    HIGH,
    "remove privileged, added capabilities and host namespaces",
    "cwe:250",
    "mitre-atlas:AML.T0105",
)
HOST_PATH = _rule(
    4,
    "reaches into the host's files or its container engine",
    HIGH,
    "use a volume claim; never mount docker.sock",
    "cwe:552",
    "mitre-atlas:AML.T0105",
)
OPEN_SERVER = _rule(
    5,
    "serves without authentication",
    HIGH,
    "require a key or token, or bind to 127.0.0.1 behind an authenticating proxy",
    *_OPEN,
)
REMOTE_CODE = _rule(
    6,
    "runs code that comes with a model",
    HIGH,
    "remove --trust-remote-code; else review the code and pin its revision",
    "cwe:94",
    "mitre-atlas:AML.T0010.003",
    "owasp-llm:LLM04:2026",
)
WEAK_SECRET = _rule(
    7,
    "a default or written-out password",
    MEDIUM,
    "take it from a secret store or a secretKeyRef, and change it",
    "cwe:798",
    "cwe:1392",
    "mitre-atlas:AML.T0055",
)
DOWNLOAD_PIPE = _rule(
    8,
    "pipes a download into an interpreter",
    HIGH,
    "download, compare a digest, then run",
    "cwe:494",
    "mitre-atlas:AML.T0010.001",
)
MCP_UNPINNED = _rule(
    9,
    "an MCP server that is fetched anew at every start",
    HIGH,
    "pin an exact version (npx pkg@1.2.3, uvx pkg==1.2.3) or install it from a lock file",
    "cwe:494",
    "mitre-atlas:AML.T0010.005",
    "owasp-agentic:ASI04",
)
MCP_SHELL = _rule(
    10,
    "an MCP server that is started by a shell",
    HIGH,
    "name the program and its arguments without a shell",
    "cwe:78",
    "owasp-agentic:ASI05",
    "mitre-atlas:AML.T0011.002",
)
MCP_PLAIN = _rule(
    11, "an MCP server over plain HTTP", HIGH, "use https with authentication", "cwe:319", "owasp-agentic:ASI07"
)
MCP_BROAD = _rule(
    12,
    "an MCP server with wide rights",
    MEDIUM,
    "name the one folder that it needs; ask before each call",
    "cwe:732",
    "owasp-agentic:ASI02",
    "owasp-llm:LLM03:2026",
)
WRITABLE_STORE = _rule(
    13, "a model store that the server can write", MEDIUM, "mount it read-only", "cwe:732", "mitre-atlas:AML.T0018.000"
)
VULNERABLE = _rule(14, "a version with a known vulnerability", HIGH, "update to the fixed version or later", "cwe:1395")
OPEN_MANAGEMENT = _rule(
    15,
    "models can be loaded from anywhere at run time",
    HIGH,
    "allow listed addresses only, keep the management address local, leave token authorisation on",
    *_OPEN,
    "cwe:918",
)
CROSS_ORIGIN = _rule(16, "any web page may call it", MEDIUM, "list the origins that need it", "cwe:942")
PLAIN_DOWNLOAD = _rule(
    17, "downloads without protection", MEDIUM, "use https and compare a digest", "cwe:319", "cwe:494"
)
LIVE_STORE = _rule(
    18,
    "loads whatever appears in the model store",
    MEDIUM,
    "use --model-control-mode=none and restart to change models",
    "cwe:494",
    "mitre-atlas:AML.T0010.003",
)
UNSAFE_SWITCH = _rule(19, "switches a guard off", HIGH, "remove the setting", "cwe:502", "cwe:693")
OBJECT_YAML = _rule(20, "YAML that builds objects", HIGH, "remove the tag; read the file with a safe loader", "cwe:502")
ESCALATION = _rule(
    21, "may gain rights while running", LOW, "set allowPrivilegeEscalation: false and drop all capabilities", "cwe:250"
)

ALL: tuple[Rule, ...] = (
    UNPINNED_IMAGE, ROOT, PRIVILEGED, HOST_PATH, OPEN_SERVER, REMOTE_CODE, WEAK_SECRET, DOWNLOAD_PIPE, MCP_UNPINNED, MCP_SHELL, MCP_PLAIN, MCP_BROAD,
    WRITABLE_STORE, VULNERABLE, OPEN_MANAGEMENT, CROSS_ORIGIN, PLAIN_DOWNLOAD, LIVE_STORE, UNSAFE_SWITCH, OBJECT_YAML, ESCALATION,
)  # fmt: skip
