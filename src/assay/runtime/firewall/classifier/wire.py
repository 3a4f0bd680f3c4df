"""What goes over the socket between the firewall and a classifier's process.

message = length (4 bytes, big endian) JSON object (UTF-8)
asked     {"text", "purpose", "light"}
answered  {"score"}; {"why"} where the text is refused; {"why", "is_over"} where the process ends
"""

from __future__ import annotations

import json
import socket
import struct
import time
from collections.abc import Mapping
from typing import Any

MAX_BYTES = 4 << 20
_LENGTH = struct.Struct(">I")


def send(pipe: socket.socket, message: Mapping[str, object], deadline_s: float | None = None) -> None:
    """Sends one message; `deadline_s` is on the monotonic clock.

    Raises:
        TimeoutError: the other side did not take it in time.
    """
    data = json.dumps(message).encode()
    pipe.settimeout(_left(deadline_s))
    pipe.sendall(_LENGTH.pack(len(data)) + data)


def receive(pipe: socket.socket, deadline_s: float | None = None) -> dict[str, Any]:  # values as JSON has them
    """The next message.

    Raises:
        TimeoutError: there is none in time.
        EOFError: the other side is gone.
        ValueError: it is no JSON object, or too long.
    """
    (length,) = _LENGTH.unpack(_exactly(pipe, _LENGTH.size, deadline_s))
    if length > MAX_BYTES:
        raise ValueError("the message is too long")
    message = json.loads(_exactly(pipe, length, deadline_s))
    if not isinstance(message, dict):
        raise ValueError("the message is no object")
    return message


def _exactly(pipe: socket.socket, count: int, deadline_s: float | None) -> bytes:
    found = bytearray()
    while len(found) < count:
        pipe.settimeout(_left(deadline_s))
        part = pipe.recv(count - len(found))
        if not part:
            raise EOFError
        found += part
    return bytes(found)


def _left(deadline_s: float | None) -> float | None:
    """Seconds until the deadline, never 0, which would mean not to wait at all for what is already there."""
    return None if deadline_s is None else max(1e-4, deadline_s - time.monotonic())
