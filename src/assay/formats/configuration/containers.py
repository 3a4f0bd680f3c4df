"""Dockerfiles, Compose files and Kubernetes manifests (KServe too): what each container may do, who reaches it, what it starts."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from assay.core.outcomes import Severity
from assay.formats.code.facts import Problem, problem
from assay.formats.code.shell import shell_problems
from assay.formats.configuration import rules
from assay.formats.configuration.dockerfile import Instruction
from assay.formats.configuration.images import judge_image
from assay.formats.configuration.nodes import Node
from assay.formats.configuration.servers import Launch, launch_problems
from assay.formats.configuration.versions import Judgement, pinned_packages

HIGH, MEDIUM, LOW = Severity.HIGH, Severity.MEDIUM, Severity.LOW
_STORE = re.compile(
    r"(^|/)(models?|model[-_]?(store|repository|repo|cache)|checkpoints?|weights|mlruns|mlartifacts)(/|$)",
    re.IGNORECASE,
)
_HOST = re.compile(r"^/($|(etc|root|home|var|proc|sys|dev|boot|usr|run)(/|$))")
_SOCKETS = re.compile(r"(docker|containerd|crio|podman)(/[\w.-]+)?\.sock$")
_POD_KINDS = (
    "Pod",
    "Deployment",
    "StatefulSet",
    "DaemonSet",
    "Job",
    "CronJob",
    "ReplicaSet",
    "InferenceService",
    "ServingRuntime",
    "ClusterServingRuntime",
    "RayCluster",
    "RayService",
)
_CAPABILITIES = frozenset(
    {"ALL", "SYS_ADMIN", "SYS_PTRACE", "SYS_MODULE", "NET_ADMIN", "DAC_READ_SEARCH", "CAP_SYS_ADMIN"}
)


@dataclass
class Found:
    """Problems so far, and what could not be judged."""

    problems: list[Problem] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)

    def add(self, judgement: Judgement) -> None:
        self.problems += judgement.problems
        self.unknown += [judgement.unknown] if judgement.unknown else []


def judge_dockerfile(instructions: Sequence[Instruction]) -> Found:
    """A Dockerfile: the last stage is what runs; every stage's base and commands count."""
    found, environment, arguments = Found(), dict[str, str](), dict[str, str]()
    stages: set[str] = set()
    user, start, last = "", Launch(()), 1
    entry: tuple[str, ...] = ()
    for one in instructions:
        words = one.words()
        if one.keyword == "FROM":
            environment, user, entry, last = {}, "", (), one.line
            _from(one, words, stages, arguments, found)
        elif one.keyword in ("ENV", "ARG", "LABEL"):
            pairs = _pairs(one.rest)
            (arguments if one.keyword == "ARG" else environment if one.keyword == "ENV" else {}).update(pairs)
            if one.keyword == "ENV":
                found.problems += launch_problems(Launch((), pairs, line=one.line, reach="container"))
        elif one.keyword == "USER":
            user = words[0] if words else ""
        elif one.keyword in ("RUN", "ADD", "COPY"):
            _build_step(one, found)
        elif one.keyword in ("ENTRYPOINT", "CMD"):
            entry = tuple(words) if one.keyword == "ENTRYPOINT" else entry
            start = Launch((*entry, *words) if one.keyword == "CMD" else entry, {}, line=one.line, reach="container")
            found.problems += launch_problems(Launch(flat_words(start.words), {}, line=one.line, reach="container"))
    if user.split(":")[0] in ("", "root", "0"):
        found.problems.append(
            problem(
                rules.ROOT,
                "the image runs as root" if user else "no USER is set, so the base image decides, and most run as root",
                last,
            )
        )
    return found


def _from(one: Instruction, words: list[str], stages: set[str], arguments: Mapping[str, str], found: Found) -> None:
    image = next((word for word in words if not word.startswith("--")), "")
    image = re.sub(r"\$\{?(\w{1,60})(?::-([^}]{0,120}))?\}?", lambda m: arguments.get(m[1]) or m[2] or m[0], image)
    if image.lower() not in stages:
        found.add(judge_image(image, one.line))
    if len(words) >= 3 and words[-2].upper() == "AS":
        stages.add(words[-1].lower())


def _build_step(one: Instruction, found: Found) -> None:
    for part in shell_problems([(one.line, one.rest)]):
        rule = rules.DOWNLOAD_PIPE if "interpreter" in part.summary else rules.PLAIN_DOWNLOAD
        found.problems.append(problem(rule, part.summary, one.line))
    if (
        re.search(r"\bhttp://(?!localhost|127\.)", one.rest)
        and one.keyword in ("ADD", "RUN")
        and re.search(r"\b(curl|wget|ADD|pip)\b", f"{one.keyword} {one.rest}")
    ):
        found.problems.append(problem(rules.PLAIN_DOWNLOAD, "fetches over plain HTTP", one.line))
    elif one.keyword == "ADD" and re.match(r"(--\S+\s+)*https?://", one.rest) and "--checksum=" not in one.rest:
        found.problems.append(problem(rules.PLAIN_DOWNLOAD, "ADD of an address without --checksum", one.line, LOW))
    for judgement in pinned_packages(one.rest, one.line):
        found.add(judgement)
    if re.search(r"chmod\s+(-R\s+)?(a\+w|o\+w|0?777)\s+\S*(model|weights|checkpoint)", one.rest):
        found.problems.append(problem(rules.WRITABLE_STORE, "makes the model store writable for everybody", one.line))


def judge_compose(document: Node) -> Found:
    found = Found()
    for name, service in document.get("services").fields.items():
        if image := service.says("image"):
            found.add(_known_image(image, service.get("image").line))
        line = service.line
        if service.is_true("privileged"):
            found.problems.append(problem(rules.PRIVILEGED, f"{name} runs privileged", service.get("privileged").line))
        for capability in service.get("cap_add").items:
            if capability.text.upper() in _CAPABILITIES:
                found.problems.append(
                    problem(rules.PRIVILEGED, f"{name} has the capability {capability.text}", capability.line)
                )
        for key in ("pid", "network_mode", "ipc", "userns_mode"):
            if service.says(key) == "host":
                found.problems.append(
                    problem(
                        rules.PRIVILEGED,
                        f"{name} shares the host's {key}",
                        service.get(key).line,
                        HIGH if key == "pid" else MEDIUM,
                    )
                )
        if service.says("user").split(":")[0] in ("root", "0"):
            found.problems.append(problem(rules.ROOT, f"{name} runs as root", service.get("user").line))
        for volume in service.get("volumes").items:
            found.problems += _compose_volume(name, volume)
        words = tuple(word.text for key in ("entrypoint", "command") for word in service.get(key).words())
        published = (
            any(_is_published(port) for port in service.get("ports").items) or service.says("network_mode") == "host"
        )
        launch = Launch(
            flat_words(words),
            _environment(service.get("environment")),
            service.says("image"),
            line,
            "published" if published else "container",
        )
        found.problems += launch_problems(launch)
    return found


def _known_image(image: str, line: int) -> Judgement:
    return judge_image(re.sub(r"\$\{\w{1,60}:-([^}]{0,120})\}", r"\1", image), line)


def _compose_volume(name: str, volume: Node) -> Iterator[Problem]:
    source, target, mode = (volume.says("source"), volume.says("target"), "ro" if volume.is_true("read_only") else "")
    if volume.kind == "scalar":
        parts = volume.text.split(":")
        source, target, mode = parts[0], parts[1] if len(parts) > 1 else "", parts[2] if len(parts) > 2 else ""
    yield from _mount(name, source, target, "ro" in mode.split(","), volume.line)


def _mount(name: str, source: str, target: str, is_read_only: bool, line: int) -> Iterator[Problem]:
    if _SOCKETS.search(source):
        yield problem(rules.HOST_PATH, f"{name} can command the container engine ({source[:60]})", line)
    elif _HOST.match(source):
        severity = (
            HIGH if not is_read_only and re.match(r"^/($|etc|root|var/run|proc|sys|dev$|boot|usr)", source) else MEDIUM
        )
        yield problem(rules.HOST_PATH, f"{name} mounts {source[:60]} of the host", line, severity)
    if not is_read_only and (_STORE.search(target) or _STORE.search(source)):
        yield problem(rules.WRITABLE_STORE, f"{name} can write {target[:60] or source[:60]}", line)


def _is_published(port: Node) -> bool:
    host = port.says("host_ip") if port.kind == "mapping" else port.text.rpartition(":")[0].rpartition(":")[0]
    has_host = (port.kind == "mapping" and bool(port.says("published"))) or ":" in port.text
    return has_host and host not in ("127.0.0.1", "localhost", "[::1]", "::1")


def judge_manifests(documents: Sequence[Node]) -> Found:
    """Kubernetes objects of one file; a Service that leaves the cluster publishes the containers beside it."""
    found = Found()
    flat = [
        item
        for document in documents
        for item in (
            (document.get("items").items or (document,)) if document.says("kind").endswith("List") else (document,)
        )
    ]
    published = any(
        one.says("kind") == "Ingress"
        or (one.says("kind") == "Service" and one.says("spec", "type") in ("LoadBalancer", "NodePort"))
        for one in flat
    )
    for document in flat:
        for pod in _pods(document):
            _judge_pod(pod, found, published or document.says("kind") == "InferenceService")
        for node in document.walk():
            if node.says("storageUri").startswith("http://"):
                line = node.get("storageUri").line
                found.problems.append(problem(rules.PLAIN_DOWNLOAD, "the model is fetched over plain HTTP", line))
            if node.get("rayStartParams").fields:
                found.problems += _ray_node(node)
    return found


def _ray_node(group: Node) -> Iterator[Problem]:
    """A group of a RayCluster: its parameters become options of `ray start`, with the environment of its containers."""
    parameters = group.get("rayStartParams")
    words = ("ray", "start", *(word for key, value in parameters.fields.items() for word in (f"--{key}", value.text)))
    environment = {
        item.says("name"): item.says("value")
        for container in group.get("template", "spec", "containers").items
        for item in container.get("env").items
    }
    yield from launch_problems(Launch(words, environment, line=parameters.line, reach="published"))


def _pods(document: Node) -> Iterator[Node]:
    """Every mapping that holds containers, whatever wraps it."""
    for node in document.walk():
        if node.get("containers").kind == "list" or (
            node.get("model").kind == "mapping" and "storageUri" in node.get("model").fields
        ):
            yield node


def _judge_pod(pod: Node, found: Found, is_published: bool) -> None:
    for key in ("hostPID", "hostNetwork", "hostIPC"):
        if pod.is_true(key):
            found.problems.append(
                problem(rules.PRIVILEGED, f"the pod shares the host's {key.removeprefix('host')}", pod.get(key).line)
            )
    volumes = {volume.says("name"): volume for volume in pod.get("volumes").items}
    for volume in volumes.values():
        if path := volume.says("hostPath", "path"):
            found.problems += (
                _mount("the pod", path, "", False, volume.get("hostPath", "path").line)
                if _HOST.match(path) or _SOCKETS.search(path)
                else [problem(rules.HOST_PATH, f"the pod mounts {path[:60]} of the host", volume.line, MEDIUM)]
            )
    for key in ("containers", "initContainers"):
        for container in pod.get(key).items:
            _judge_container(pod, container, found, is_published or pod.is_true("hostNetwork"))
    if pod.get("model").kind == "mapping":
        _judge_container(pod, pod.get("model"), found, is_published)


def _judge_container(pod: Node, container: Node, found: Found, is_published: bool) -> None:
    name, line = container.says("name") or "the container", container.line
    if image := container.says("image"):
        found.add(judge_image(image, container.get("image").line))
    context = container.get("securityContext")
    if context.is_true("privileged"):
        found.problems.append(problem(rules.PRIVILEGED, f"{name} runs privileged", context.get("privileged").line))
    for capability in context.get("capabilities", "add").items:
        if capability.text.upper() in _CAPABILITIES:
            found.problems.append(
                problem(rules.PRIVILEGED, f"{name} has the capability {capability.text}", capability.line)
            )
    found.problems += _user(name, pod.get("securityContext"), context, line)
    for mount in container.get("volumeMounts").items:
        if _STORE.search(mount.says("mountPath")) and not mount.is_true("readOnly"):
            found.problems.append(
                problem(rules.WRITABLE_STORE, f"{name} can write {mount.says('mountPath')[:60]}", mount.line)
            )
    words = tuple(word.text for key in ("command", "args") for word in container.get(key).words())
    environment = {
        item.says("name"): item.says("value") or ("given" if "valueFrom" in item.fields else "")
        for item in container.get("env").items
    }
    found.problems += launch_problems(
        Launch(
            flat_words(words), environment, container.says("image"), line, "published" if is_published else "container"
        )
    )


def _user(name: str, pod: Node, context: Node, line: int) -> Iterator[Problem]:
    user = context.says("runAsUser") or pod.says("runAsUser")
    if user == "0":
        yield problem(rules.ROOT, f"{name} runs as root", line)
    elif not user and not (context.is_true("runAsNonRoot") or pod.is_true("runAsNonRoot")):
        yield problem(rules.ROOT, f"{name} may run as root: the image decides", line, LOW)
    if context.says("allowPrivilegeEscalation").lower() != "false":
        yield problem(
            rules.ESCALATION,
            f"{name} {rules.ESCALATION.title}",
            line,
            MEDIUM if context.is_true("allowPrivilegeEscalation") else LOW,
        )


def flat_words(words: Sequence[str]) -> tuple[str, ...]:
    """Words of a command, those inside `sh -c "…"` cut apart."""
    flat: list[str] = []
    for word in words:
        if " " in word.strip():
            try:
                flat += shlex.split(word)
            except ValueError:
                flat += word.split()
        else:
            flat.append(word)
    return tuple(flat)


def _pairs(rest: str) -> dict[str, str]:
    try:
        words = shlex.split(rest)
    except ValueError:
        words = rest.split()
    if words and "=" not in words[0]:
        return {words[0]: " ".join(words[1:])}
    return {word.partition("=")[0]: word.partition("=")[2] for word in words}


def _environment(node: Node) -> dict[str, str]:
    if node.kind == "mapping":
        return {key: value.text for key, value in node.fields.items()}
    return {item.text.partition("=")[0]: item.text.partition("=")[2] for item in node.items}
