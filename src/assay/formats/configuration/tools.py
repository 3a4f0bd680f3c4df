"""Tool lists of agents (MCP): which programs a host starts, from where, and with what rights.

Source: Model Context Protocol, specification 2025-06-18, "Security Best Practices"; the `mcpServers` form of Claude Desktop, VS Code
and Cursor.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from assay.core.outcomes import Severity
from assay.formats.code.facts import Problem, problem
from assay.formats.configuration import rules
from assay.formats.configuration.containers import Found
from assay.formats.configuration.images import judge_image
from assay.formats.configuration.nodes import Node
from assay.formats.configuration.servers import Launch, launch_problems
from assay.formats.configuration.versions import judge_version, product_of_package

_SHELLS = frozenset(
    {"sh", "bash", "zsh", "dash", "fish", "ksh", "cmd", "cmd.exe", "powershell", "powershell.exe", "pwsh"}
)
_RUNNERS = frozenset({"npx", "npx.cmd", "uvx", "bunx", "pnpx", "pipx", "uv", "pnpm", "yarn", "bun", "npm", "deno"})
_SKIPPED_WORDS = frozenset(
    {"-y", "--yes", "run", "dlx", "exec", "x", "--from", "tool", "-p", "--package", "--quiet", "-q", "--silent"}
)
_EXACT = re.compile(r"(?P<name>@?[\w./-]+?)(?:@|==)v?(?P<version>\d[\w.+-]*)")
_LOCAL = re.compile(r"https?://(localhost|127\.|\[::1\])")
_WHOLE = re.compile(
    r"^(/|~|~/|\$HOME|\$\{HOME\}|[A-Za-z]:[\\/]?|/home/?|/Users/?|/root/?|/etc/?|/home/[\w.-]+/?|/Users/[\w.-]+/?)$"
)
_SOURCE = re.compile(r"^(git\+|https?://|github:)")


def tool_servers(document: Node) -> Node:
    """The mapping of servers, under any of the keys that hosts use; empty where it is no tool list."""
    for path in (("mcpServers",), ("mcp", "servers"), ("servers",), ("context_servers",), ("mcp_servers",)):
        servers = document.get(*path)
        if (
            servers.kind == "mapping"
            and servers.fields
            and all({"command", "url", "serverUrl", "httpUrl"} & set(one.fields) for one in servers.fields.values())
        ):
            return servers
    return Node(1)


def judge_tools(servers: Node) -> Found:
    found = Found()
    for name, server in servers.fields.items():
        command = server.says("command").replace("\\", "/").rpartition("/")[2].lower()
        words = [word.text for word in server.get("args").words()]
        if " " in server.says("command").strip():
            first, *more = server.says("command").split()
            command, words = first.rpartition("/")[2].lower(), [*more, *words]
        line = server.line
        found.problems += _address(name, server)
        if command in _SHELLS:
            found.problems.append(problem(rules.MCP_SHELL, f"{name} is started by {command}", line))
            words = " ".join(words).split()
            command = next((word for word in words if word in _RUNNERS), command)
            words = words[words.index(command) + 1 :] if command in words else words
        if command in _RUNNERS:
            _package(name, command, words, line, found)
        elif command in ("docker", "podman"):
            _container(name, words, line, found)
        found.problems += _rights(name, server, words)
        environment = {key: value.text for key, value in server.get("env").fields.items()}
        found.problems += launch_problems(Launch(tuple(words), environment, line=line))
    return found


def _address(name: str, server: Node) -> Iterator[Problem]:
    for key in ("url", "serverUrl", "httpUrl"):
        address = server.says(key)
        if address.startswith("http://") and not _LOCAL.match(address):
            yield problem(rules.MCP_PLAIN, f"{name} is reached over plain HTTP", server.get(key).line)
    for word in server.get("args").words():
        if word.text.startswith("http://") and not _LOCAL.match(word.text):
            yield problem(rules.MCP_PLAIN, f"{name} is reached over plain HTTP", word.line)


def _package(name: str, command: str, words: Sequence[str], line: int, found: Found) -> None:
    if command in ("uv", "npm", "yarn", "bun", "pnpm", "deno") and not {"run", "dlx", "exec", "x", "tool"} & set(
        words[:2]
    ):
        return
    if command == "uv" and "--directory" in words:
        return  # runs a project of its own folder, from its lock file
    package = next((word for word in words if word not in _SKIPPED_WORDS and not word.startswith("-")), "")
    if package.endswith((".py", ".js", ".ts", ".mjs")) or package.startswith((".", "/")) or not package:
        return
    exact = _EXACT.fullmatch(package)
    if exact and not _SOURCE.match(package):
        if product := product_of_package(exact["name"]):
            found.add(judge_version(product, exact["version"], line))
        return
    if re.search(r"@[0-9a-f]{40}$|#[0-9a-f]{40}$", package):
        return
    found.problems.append(
        problem(rules.MCP_UNPINNED, f"{name}: {command} fetches {package[:80]} in whatever version there is", line)
    )
    if product := product_of_package(re.sub(r"(?<=.)@.*$", "", package)):
        found.unknown.append(f"line {line}: the version of {product} is not fixed, so it may be vulnerable")


def _container(name: str, words: Sequence[str], line: int, found: Found) -> None:
    if "--privileged" in words:
        found.problems.append(problem(rules.PRIVILEGED, f"{name} runs privileged", line))
    if any("docker.sock" in word for word in words):
        found.problems.append(problem(rules.HOST_PATH, f"{name} can command the container engine", line))
    takes_value = {
        "-v",
        "--volume",
        "-e",
        "--env",
        "--mount",
        "-p",
        "--name",
        "--network",
        "-u",
        "--user",
        "-w",
        "--entrypoint",
        "--env-file",
        "--platform",
    }
    skip = False
    for word in words[1:] if words[:1] == ["run"] else words:
        if skip or word.startswith("-"):
            skip = word in takes_value
            continue
        found.add(judge_image(word, line))
        return


def _rights(name: str, server: Node, words: Sequence[str]) -> Iterator[Problem]:
    for word in words:
        if _WHOLE.match(word):
            yield problem(rules.MCP_BROAD, f"{name} is given {word[:40]}", server.line)
    for key in ("autoApprove", "alwaysAllow", "trust"):
        given = server.get(key)
        if given.is_true() or any(item.text == "*" for item in given.items):
            yield problem(rules.MCP_BROAD, f"{name}: every call is approved without asking ({key})", given.line)
    if {"--dangerously-skip-permissions", "--allow-all", "-A", "--yolo", "--no-sandbox"} & set(words):
        yield problem(rules.MCP_BROAD, f"{name} runs without its guard", server.line, Severity.HIGH)
