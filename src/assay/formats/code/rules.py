"""The rules for Python source, as data: what each says, how bad it is, what to do instead, and what it maps to.

Sources: Python documentation, "pickle", "subprocess" and "tarfile" (extraction filters, PEP 706); PyTorch documentation,
`torch.load`; Keras documentation, `load_model`; Hugging Face documentation, "Custom models"; OWASP Machine Learning Security
Top 10 2023; MITRE ATLAS 5.6.0.
"""

from __future__ import annotations

from assay.core.outcomes import Severity
from assay.formats.code.facts import Rule

CRITICAL, HIGH, MEDIUM, LOW = Severity.CRITICAL, Severity.HIGH, Severity.MEDIUM, Severity.LOW
_MODEL = ("mitre-atlas:AML.T0011.000", "mitre-atlas:AML.T0010.003", "owasp-ml:ML06:2023")
_SUPPLY = ("mitre-atlas:AML.T0010.001", "owasp-ml:ML06:2023", "owasp-llm:LLM04:2026")


def _rule(number: int, title: str, severity: Severity, remedy: str, *refs: str, shows_intent: bool = False) -> Rule:
    return Rule(f"ASY-PY-{number:03}", title, severity, remedy, refs, shows_intent)


TORCH_LOAD = _rule(
    1, "torch.load without weights_only=True", HIGH, "pass weights_only=True, or load safetensors", "cwe:502", *_MODEL
)
PICKLE = _rule(
    2,
    "unpickles data",
    HIGH,
    "load weights from safetensors, models with skops, and plain data from JSON",
    "cwe:502",
    *_MODEL,
)
NUMPY_PICKLE = _rule(
    3, "numpy reads pickled objects", HIGH, "leave allow_pickle off and save numbers or text", "cwe:502", *_MODEL
)
YAML = _rule(4, "YAML that builds objects", HIGH, "use yaml.safe_load", "cwe:502", "owasp-ml:ML06:2023")
REMOTE_CODE = _rule(
    5,
    "runs code that comes with a model",
    HIGH,
    "leave trust_remote_code off; else review the code and pin its revision",
    "cwe:94",
    *_SUPPLY,
    *_MODEL[:1],
)
EVAL = _rule(
    6,
    "runs text as code",
    MEDIUM,
    "use ast.literal_eval, a table of functions or a parser",
    "cwe:95",
    "owasp-llm:LLM10:2026",
)
SHELL = _rule(
    7, "runs a command through a shell", HIGH, "pass a list of arguments to subprocess.run without a shell", "cwe:78"
)
MARSHAL = _rule(8, "loads bytecode", HIGH, "use JSON for data; ship source for code", "cwe:502")
EXTRACT = _rule(9, "unpacks an archive without a filter", MEDIUM, 'pass filter="data" (CVE-2007-4559)', "cwe:22")
UNPINNED = _rule(
    10,
    "downloads a model or data without a pinned revision",
    MEDIUM,
    "pass revision= with a full commit hash",
    "cwe:494",
    *_SUPPLY,
)
HUB_CODE = _rule(
    11,
    "torch.hub runs code of a repository that may change",
    HIGH,
    "pin a commit (owner/repo:hash), review it, and vendor the code",
    "cwe:494",
    "cwe:94",
    *_SUPPLY,
)
NO_TLS = _rule(
    12,
    "does not verify the server's certificate",
    MEDIUM,
    "remove verify=False; add the certificate authority instead",
    "cwe:295",
)
PLAIN_HTTP = _rule(
    13, "fetches a model over plain HTTP", MEDIUM, "use https and compare a digest", "cwe:319", "cwe:494", *_SUPPLY[:1]
)
KERAS = _rule(
    14, "Keras loads code with a model", HIGH, "leave safe_mode on and register layers by name", "cwe:502", *_MODEL
)
KERAS_LAMBDA = _rule(
    15,
    "a Keras Lambda layer stores code in the model",
    LOW,
    "write a Layer subclass",
    "cwe:502",
    "mitre-atlas:AML.T0018.002",
)
DANGEROUS_SWITCH = _rule(
    16,
    "switches a guard off",
    HIGH,
    "remove the option; where it must stay, restrict who can write the file",
    "cwe:502",
    "cwe:94",
    "owasp-agentic:ASI05",
)
EXPOSED = _rule(
    17,
    "serves to every network",
    MEDIUM,
    "bind to 127.0.0.1 and put an authenticating proxy in front",
    "cwe:1327",
    "mitre-atlas:AML.T0049",
)
DEBUGGER = _rule(18, "serves a debugger", HIGH, "remove debug=True", "cwe:489", "cwe:94")
NATIVE = _rule(
    19,
    "loads native code named at run time",
    MEDIUM,
    "name the library by a constant path that only administrators can write",
    "cwe:114",
)
DROPPER = _rule(
    20,
    "runs code that was decoded or downloaded",
    CRITICAL,
    "remove it; ask the author what it does",
    "cwe:506",
    "cwe:94",
    "mitre-atlas:AML.T0011.001",
    "owasp-agentic:ASI05",
    shows_intent=True,
)
MODEL_STORE = _rule(
    21,
    "loads a model by a name that others can move",
    MEDIUM,
    "load by version or digest, verified with assay.guard.load",
    "cwe:494",
    *_MODEL,
)
HIDDEN_TEXT = _rule(
    30,
    "text that people cannot see",
    HIGH,
    "remove the characters; turn on their display in the editor",
    "cwe:1007",
    "cwe:451",
    "mitre-atlas:AML.T0068",
)
MIXED_SCRIPT = _rule(31, "a name of mixed alphabets", HIGH, "spell the name in one alphabet", "cwe:1007")
DOWNLOAD_PIPE = _rule(
    32, "pipes a download into an interpreter", HIGH, "download, compare a digest, then run", "cwe:494", *_SUPPLY[:1]
)
ODD_ENCODING = _rule(33, "source in an encoding that hides code", HIGH, "save as UTF-8", "cwe:838", "cwe:506")

ALL: tuple[Rule, ...] = (
    TORCH_LOAD, PICKLE, NUMPY_PICKLE, YAML, REMOTE_CODE, EVAL, SHELL, MARSHAL, EXTRACT, UNPINNED, HUB_CODE, NO_TLS, PLAIN_HTTP, KERAS, KERAS_LAMBDA,
    DANGEROUS_SWITCH, EXPOSED, DEBUGGER, NATIVE, DROPPER, MODEL_STORE, HIDDEN_TEXT, MIXED_SCRIPT, DOWNLOAD_PIPE, ODD_ENCODING,
)  # fmt: skip
