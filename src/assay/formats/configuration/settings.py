"""Settings files of servers: TorchServe's properties, Jupyter's Python and JSON configuration, Triton's model configuration, units and scripts."""

from __future__ import annotations

import re
from collections.abc import Iterator

from assay.formats.code.facts import Problem, problem
from assay.formats.code.shell import joined_lines, shell_problems
from assay.formats.configuration import rules
from assay.formats.configuration.containers import Found, flat_words
from assay.formats.configuration.nodes import Node
from assay.formats.configuration.servers import Launch, launch_problems, setting_problem
from assay.formats.configuration.versions import pinned_packages

_PROPERTY = re.compile(r"\s{0,20}([\w.]{1,80})\s{0,9}[=:]\s{0,9}(.{0,2000})")
_JUPYTER = re.compile(r"\s{0,9}c\.(\w{1,40}\.\w{1,40})\s{0,9}=\s{0,9}(.{0,500})")
_LITERAL = re.compile(r"^[rRbBuUfF]{1,2}(?=[\"'])|^None$")
_EXPORT = re.compile(r"\s{0,20}(?:export\s{1,4}|Environment=\"?)?([A-Z][A-Z0-9_]{1,60})=(\S{0,400})")


def judge_properties(text: str) -> Found:
    """Java properties, as TorchServe reads them."""
    found = Found()
    for number, line in enumerate(text.split("\n"), 1):
        if (setting := _PROPERTY.fullmatch(line.rstrip())) and not line.lstrip().startswith(("#", "!")):
            found.problems += setting_problem(setting[1], setting[2], number)
    return found


def judge_jupyter(text: str) -> Found:
    """`jupyter_*_config.py`, line by line; what is computed there is not followed."""
    found = Found()
    values = {
        m[1]: (m[2].split(" #")[0].strip(), n)
        for n, line in enumerate(text.split("\n"), 1)
        if (m := _JUPYTER.fullmatch(line.rstrip()))
    }
    found.problems += jupyter_problems(values)
    return found


def judge_jupyter_json(document: Node) -> Found:
    found = Found()
    values = {
        f"{owner}.{key}": (repr(value.text), value.line)
        for owner, group in document.fields.items()
        for key, value in group.fields.items()
    }
    found.problems += jupyter_problems(values)
    return found


def jupyter_problems(values: dict[str, tuple[str, int]]) -> Iterator[Problem]:
    """Settings by `Owner.key`, as Python literals with their lines."""
    plain = {
        key.rpartition(".")[2]: (_LITERAL.sub("", value).strip("\"'"), line) for key, (value, line) in values.items()
    }
    token, password = plain.get("token"), plain.get("password") or plain.get("hashed_password")
    if token and token[0] == "" and not (password and password[0]):
        yield problem(rules.OPEN_SERVER, "Jupyter runs without token and password", token[1])
    for key, bad, rule, said in (
        ("allow_origin", "*", rules.CROSS_ORIGIN, "Jupyter allows any origin"), ("disable_check_xsrf", "True",
        rules.CROSS_ORIGIN, "Jupyter does not check the origin of requests"),
        ("allow_root", "True", rules.ROOT, "Jupyter may run as root"), ("allow_unauthenticated_access", "True",
        rules.OPEN_SERVER, "Jupyter handlers may be reached without a login"),
    ):  # fmt: skip
        if key in plain and plain[key][0].lower() == bad.lower():
            severity = rules.MEDIUM if rule is rules.OPEN_SERVER else None
            yield problem(rule, said, plain[key][1], severity)


def judge_triton(text: str) -> Found:
    """`config.pbtxt`: the backend that runs the model, and where its environment comes from."""
    found = Found()
    for number, line in enumerate(text.split("\n"), 1):
        if re.search(r"\bbackend\s*:\s*\"python\"", line):
            found.problems.append(
                problem(
                    rules.REMOTE_CODE,
                    "the model is Python code that the server runs; review model.py as code",
                    number,
                    rules.LOW,
                )
            )
        if re.search(r"EXECUTION_ENV_PATH", line) and re.search(r"https?://|s3://|gs://", text):
            found.problems.append(
                problem(
                    rules.REMOTE_CODE, "the model brings an execution environment from elsewhere", number, rules.MEDIUM
                )
            )
    return found


def judge_script(text: str) -> Found:
    """Shell scripts, environment files and units: starts of servers with the variables set before them."""
    found, environment = Found(), dict[str, str]()
    for number, line in joined_lines(text):
        for part in shell_problems([(number, line)]):
            found.problems.append(
                problem(
                    rules.DOWNLOAD_PIPE if "interpreter" in part.summary else rules.PLAIN_DOWNLOAD, part.summary, number
                )
            )
        if set_here := _EXPORT.match(line):
            pair = {set_here[1]: set_here[2].strip("\"'")}
            environment |= pair
            found.problems += launch_problems(Launch((), pair, line=number))
        words = tuple(line.removeprefix("ExecStart=").split())
        if words:
            relevant = {"VLLM_API_KEY", "RAY_AUTH_MODE", "MLFLOW_HOST"}
            found.problems += launch_problems(
                Launch(flat_words(words), {k: v for k, v in environment.items() if k in relevant}, line=number)
            )
        for judgement in pinned_packages(line, number):
            found.add(judgement)
    return found
