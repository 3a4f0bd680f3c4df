"""The firewall proxy under load: what it adds, what it holds, and what leaks out of split streams. All of it on the loopback.

latency      100 requests a second direct and 100 through the proxy, in turns, of 300 characters; added = through minus direct
streams      500 streams at once of 2,000 characters; one that lacks its end or a character is lost
connections  10,000 connections that stay open; then a request on every tenth, each of which must be answered
leaks        1,000 generated secrets and identifiers, a stream split at every position, and three ways; a leak is one that comes
             out, or 12 characters of it in a row

Model, proxy and client are processes of their own and share the machine, so that its other work counts against the proxy.
How to run: make bench NAME=firewall_proxy        or with --quick
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import re
import socket
import string
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from assay.firewall import SCANNERS, Firewall
from assay.runtime.firewall.document import read_firewall_policy
from assay.runtime.firewall.stream import HELD
from assay.runtime.gateway.guard import Guard
from claims import Claim, options, scratch, show

SENTENCE = "the weather in the town by the river was mild and the people went about their work without any hurry at all"
WORDS = SENTENCE.split()
ADDRESS = "ann.miller@shop.example"  # in every whole answer; it must not come out of the proxy, or nothing was scanned
POLICY = """
firewall: assay/firewall/v1
name: bench
version: 1
routes:
  default:
    - sources: [user, document, tool, operator]
      scanners: {{{given}}}
    - sources: [output]
      scanners: {{{said}}}
"""
IN = ("secrets", "personal", "hidden", "injection")
OUT = ("secrets", "personal", "hidden", "exfiltration", "leak")
NOTES: list[str] = []


def main() -> int:
    parser = options(__doc__)
    parser.add_argument("--quick", action="store_true", help="small sizes, to see that everything runs")
    parser.add_argument(
        "--only", nargs="*", choices=("latency", "streams", "connections", "leaks"), help="some parts alone"
    )
    parser.add_argument("--model", type=int, help=argparse.SUPPRESS)  # a child process: be the model's server
    given = parser.parse_args()
    if given.model is not None:
        asyncio.run(serve_model(given.model))
        return 0
    wanted = given.only or ["latency", "streams", "connections", "leaks"]
    claims: list[Claim] = []
    if {*wanted} - {"leaks"}:
        with scratch(given.data) as folder, loaded(folder) as (model, proxy, pid):
            if "latency" in wanted:
                claims += asyncio.run(latency(model, proxy, pid, 5 if given.quick else 30))
            if "streams" in wanted:
                claims += asyncio.run(streams(proxy, 50 if given.quick else 500))
            if "connections" in wanted:
                claims += asyncio.run(connections(proxy, pid, 500 if given.quick else 10_000))
    if "leaks" in wanted:
        claims += leaks(given.seed, 20 if given.quick else 1000)
    show(claims, NOTES)
    return 0 if all(claim.met for claim in claims) else 1


# --- the two servers


@contextmanager
def loaded(folder: Path) -> Iterator[tuple[int, int, int]]:
    """The ports of a model's server and of the proxy in front of it, and the proxy's process id."""
    model, proxy = free_port(), free_port()
    policy = folder / "policy.yaml"
    policy.write_text(bench_policy(), "utf-8")
    environment = os.environ | {"ASSAY_STATE": str(folder / "state")}
    commands = [
        [sys.executable, __file__, "--model", str(model)],
        [str(Path(sys.executable).parent / "assay"), "firewall", "serve", "--upstream", f"http://127.0.0.1:{model}",
         "--listen", f"127.0.0.1:{proxy}", "--policy", str(policy), "--quiet"],
    ]  # fmt: skip
    processes = [subprocess.Popen(command, cwd=folder, env=environment) for command in commands]
    try:
        for port in (model, proxy):
            wait_for(port)
        yield model, proxy, processes[1].pid
    finally:
        for process in processes:
            process.terminate()
            process.wait(20)


def bench_policy() -> str:
    """Every scanner of the light tier that this release has, with a deadline that only a lost request misses."""
    settings = {
        "secrets": "redact",
        "personal": "redact",
        "hidden": "flag",
        "injection": "flag",
        "exfiltration": "redact",
        "leak": "block",
    }
    said = {
        name: ", ".join(
            f"{scanner}: {{action: {settings[scanner]}, deadline_ms: 5000}}"
            for scanner in wanted
            if scanner in SCANNERS
        )
        for name, wanted in (("given", IN), ("said", OUT))
    }
    return POLICY.format(**said)


async def serve_model(port: int) -> None:
    """Answers chat completions: at once, or as a stream of 100 pieces of 20 characters in about 10 seconds."""
    text = f"{' '.join(WORDS)} {ADDRESS}"
    body = json.dumps({"id": "c1", "object": "chat.completion", "created": 1, "model": "m", "choices": [
        {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": text}}],
        "usage": {"prompt_tokens": 60, "completion_tokens": 25}}).encode()  # fmt: skip
    whole = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(body) + body

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                size = re.search(rb"content-length: (\d+)", head, re.IGNORECASE)
                asked = await reader.readexactly(int(size[1]) if size else 0)
                if b'"stream":true' not in asked:
                    writer.write(whole)
                    continue
                writer.write(
                    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
                )
                for delta in [*STREAMED, None]:
                    writer.write(chunked(event(delta)))
                    await writer.drain()
                    await asyncio.sleep(0.1)
                writer.write(chunked(b"data: [DONE]\n\n") + b"0\r\n\r\n")
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", port, backlog=2048)
    await server.serve_forever()


SPOKEN = (" ".join(WORDS) + " ") * 20
STREAMED = [SPOKEN[i : i + 20] for i in range(0, 2000, 20)]


def event(delta: str | None) -> bytes:
    """One chunk; None ends the choice."""
    choice = {
        "index": 0,
        "delta": {} if delta is None else {"content": delta},
        "finish_reason": "stop" if delta is None else None,
    }
    return (
        b"data: "
        + json.dumps(
            {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]}
        ).encode()
        + b"\n\n"
    )


def chunked(data: bytes) -> bytes:
    """One chunk of a body."""
    return b"%x\r\n%s\r\n" % (len(data), data)


# --- latency


async def latency(model: int, proxy: int, pid: int, seconds: int) -> list[Claim]:
    """Open loop: a request is due every 10 ms on either side, whether the last one came back or not."""
    took: dict[int, list[float]] = {model: [], proxy: []}
    idle: dict[int, list[Wire]] = {model: [], proxy: []}
    unread: list[bytes] = []

    async def one(port: int, body: bytes) -> None:
        wire = idle[port].pop() if idle[port] else await Wire.to(port)
        begun = time.perf_counter()
        answer = await wire.ask(body)
        took[port].append(time.perf_counter() - begun)
        if port == proxy and ADDRESS.encode() in answer:
            unread.append(answer)
        idle[port].append(wire)

    for warm in range(50):
        for port in (model, proxy):
            await one(port, request(warm))
    took, spent = {model: [], proxy: []}, cpu_s(pid)
    begun, tasks = time.perf_counter(), []
    for tick in range(seconds * 200):
        await asyncio.sleep(max(0.0, begun + tick / 200 - time.perf_counter()))
        tasks.append(asyncio.create_task(one((model, proxy)[tick % 2], request(tick // 2))))
    await asyncio.gather(*tasks)
    direct, through = sorted(took[model]), sorted(took[proxy])
    NOTES.append(f"latency: {len(through)} pairs, direct p50 {at(direct, 0.5):.2f} p99 {at(direct, 0.99):.2f} ms,"
                 f" through p50 {at(through, 0.5):.2f} p99 {at(through, 0.99):.2f} ms;"
             f" {(cpu_s(pid) - spent) / len(through) * 1e6:.0f} us of CPU in the proxy for each")  # fmt: skip
    return [
        Claim("proxy: added p50 at 100 requests/s", at(through, 0.5) - at(direct, 0.5), "ms", 2.0),
        Claim("proxy: added p99 at 100 requests/s", at(through, 0.99) - at(direct, 0.99), "ms", 10.0),
        Claim("proxy: answers that came out unread meanwhile", len(unread), "answers", 0),
    ]


def at(ordered: Sequence[float], share: float) -> float:
    """A quantile, in milliseconds."""
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] * 1e3


def request(number: int, *, is_streamed: bool = False) -> bytes:
    """A body with a prompt of about 300 characters, no two alike."""
    rng = random.Random(number)
    prompt = " ".join(rng.choice(WORDS) for _ in range(60))[:300]
    value = {
        "model": "m",
        "messages": [
            {"role": "system", "content": "You are a helpful assistant."},
            {"role": "user", "content": prompt},
        ],
    }
    return json.dumps(value | ({"stream": True} if is_streamed else {}), separators=(",", ":")).encode()


class Wire:
    """One connection of a client."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    @classmethod
    async def to(cls, port: int) -> Wire:
        """Connects."""
        return cls(*await asyncio.open_connection("127.0.0.1", port))

    def send(self, body: bytes) -> None:
        """Sends a request."""
        self.writer.write(
            b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\nauthorization: Bearer k\r\n"
            b"content-length: %d\r\n\r\n%s" % (len(body), body)
        )

    async def ask(self, body: bytes) -> bytes:
        """One exchange with a whole answer."""
        self.send(body)
        head = await self.reader.readuntil(b"\r\n\r\n")
        size = re.search(rb"content-length: (\d+)", head, re.IGNORECASE)
        answer = await self.reader.readexactly(int(size[1]) if size else 0)
        if b" 200 " not in head:
            raise RuntimeError(f"the proxy refused: {answer[:200]!r}")
        return answer


# --- streams and connections


async def streams(proxy: int, count: int) -> list[Claim]:
    """All of them at once; each must end and hold every character."""

    async def one(number: int) -> bool:
        await asyncio.sleep(number * 0.004)
        wire = await Wire.to(proxy)
        wire.send(request(number, is_streamed=True))
        data = b""
        while not data.endswith(b"0\r\n\r\n") and (piece := await wire.reader.read(65536)):
            data += piece
        wire.writer.close()
        said = "".join(
            json.loads(f'"{found}"') for found in re.findall(r'"content":"((?:[^"\\]|\\.)*)"', data.decode())
        )
        return said == "".join(STREAMED) and b"[DONE]" in data

    begun = time.perf_counter()
    done = await asyncio.gather(*(one(number) for number in range(count)), return_exceptions=True)
    lost = sum(result is not True for result in done)
    NOTES.append(
        f"streams: {count} at once of {sum(map(len, STREAMED))} characters in {time.perf_counter() - begun:.1f} s"
    )
    return [Claim(f"proxy: streams lost of {count} at once", lost, "streams", 0)]


async def connections(proxy: int, pid: int, count: int) -> list[Claim]:
    """Opens them, lets them lie, and asks on every tenth."""
    before = memory_mb(pid)
    gate = asyncio.Semaphore(200)

    async def connect() -> Wire:
        async with gate:
            return await Wire.to(proxy)

    wires = [
        wire
        for wire in await asyncio.gather(*(connect() for _ in range(count)), return_exceptions=True)
        if isinstance(wire, Wire)
    ]
    held = memory_mb(pid)
    await asyncio.sleep(2)
    lost = count - len(wires)
    for wire in wires[::10]:
        try:
            await asyncio.wait_for(wire.ask(request(1)), 30)
        except (OSError, asyncio.IncompleteReadError, TimeoutError):
            lost += 1
    lost += sum(wire.reader.at_eof() for wire in wires)
    for wire in wires:
        wire.writer.close()
    NOTES.append(f"connections: {len(wires)} open; the proxy grew from {before:.0f} to {held:.0f} MB")
    return [
        Claim(f"proxy: connections lost of {count}", lost, "connections", 0),
        Claim(f"proxy: memory with {count} connections", memory_mb(pid), "MB", 1024),
    ]


# --- leaks


def leaks(seed: int, count: int) -> list[Claim]:
    """Every split of every stream, in two and in three pieces."""
    rng = random.Random(seed)
    guard = Guard(
        Firewall(read_firewall_policy(bench_policy().encode(), "bench.yaml", SCANNERS)), "default", lambda noted: None
    )
    leaked = most = splits = missed = differing = 0
    kinds = (secret, identifier) if "personal" in SCANNERS else (secret,)
    for number in range(count):
        value = kinds[number % len(kinds)](rng)
        text = f"{' '.join(WORDS[: rng.randrange(8)])} it is {value}, and {' '.join(WORDS[: rng.randrange(12)])}."
        whole = guard.output(text)
        missed += value in whole
        for place in range(len(text) + 1):
            later = rng.randrange(place, len(text) + 1)
            for cuts in ((place,), (place, later)):
                said, held = spoken(guard, text, cuts)
                splits += 1
                most = max(most, held)
                differing += said != whole
                leaked += value not in whole and any(value[i : i + 12] in said for i in range(max(1, len(value) - 11)))
    NOTES.append(
        f"leaks: {splits} splits of {count} streams; {missed} values are none for the scanners even in one piece"
    )
    return [
        Claim(f"stream: leaks over every split of {count} values", leaked, "leaks", 0),
        Claim("stream: splits that change what comes out", differing, "splits", 0),
        Claim("stream: most characters held back", most, "characters", HELD),
    ]


def spoken(guard: Guard, text: str, cuts: Sequence[int]) -> tuple[str, int]:
    """What a stream that is cut so gives, and the most that was held."""
    channel, out, most = guard.channel(), "", 0
    for begin, end in zip((0, *cuts), (*cuts, len(text)), strict=True):
        out += channel.feed(text[begin:end])
        most = max(most, channel.held)
    return out + channel.end(), most


def secret(rng: random.Random) -> str:
    """A credential of one of several vendors' shapes."""
    letters = string.ascii_letters + string.digits

    def run(size: int, alphabet: str = letters) -> str:
        return "".join(rng.choice(alphabet) for _ in range(size))

    return rng.choice([
        f"sk-proj-{run(rng.choice((48, 74, 124, 156)))}", f"sk-ant-api03-{run(93)}", f"AKIA{run(16, string.ascii_uppercase + '234567')}",
        f"AIza{run(35)}", f"glpat-{run(20)}", f"xai-{run(80)}", f"gsk_{run(52)}", f"hf_{run(34, string.ascii_letters)}",
        f"dop_v1_{run(64, '0123456789abcdef')}", f"github_pat_{run(22)}_{run(59)}", f"SG.{run(22)}.{run(43)}",
    ])  # fmt: skip


def identifier(rng: random.Random) -> str:
    """A card, account, e-mail or telephone number with the right check digits."""

    def digits(size: int) -> str:
        return "".join(rng.choice(string.digits) for _ in range(size))

    return rng.choice([card, iban, lambda _: f"{rng.choice(WORDS)}.{rng.choice(WORDS)}{digits(3)}@example.com",
                       lambda _: f"+1 202 555 {rng.randrange(100, 200):04}"])(rng)  # fmt: skip


def card(rng: random.Random) -> str:
    """Sixteen digits that satisfy Luhn."""
    body = "4" + "".join(rng.choice(string.digits) for _ in range(14))
    total = sum(sum(divmod(int(digit) * (2 - i % 2), 10)) for i, digit in enumerate(body))
    number = body + str(-total % 10)
    return rng.choice([number, " ".join(number[i : i + 4] for i in range(0, 16, 4))])


def iban(rng: random.Random) -> str:
    """A German account number that satisfies mod 97."""
    account = "".join(rng.choice(string.digits) for _ in range(18))
    check = 98 - int(f"{account}131400") % 97
    return f"DE{check:02}{account}"


def free_port() -> int:
    """A port of the loopback that nobody uses now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(port: int) -> None:
    """Waits until somebody listens."""
    until = time.monotonic() + 60
    while time.monotonic() < until:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise RuntimeError(f"nobody listens on port {port}")


def cpu_s(pid: int) -> float:
    """The CPU that all threads of a process took. Source: Linux, Documentation/scheduler/sched-stats."""
    return sum(int(path.read_text("ascii").split()[0]) for path in Path(f"/proc/{pid}/task").glob("*/schedstat")) / 1e9


def memory_mb(pid: int) -> float:
    """The resident memory of a process."""
    said = Path(f"/proc/{pid}/status").read_text("ascii")
    return int(re.search(r"VmRSS:\s+(\d+)", said)[1]) / 1024  # type: ignore[index]


if __name__ == "__main__":
    sys.exit(main())
