"""Passwords inside URLs: `scheme://user:password@host`.

Default pairs on a machine of one's own (`postgres:postgres@localhost`) and placeholders are no secret.
"""

from __future__ import annotations

import re
import string
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import unquote

from assay.formats.secrets.budget import Budget
from assay.formats.secrets.randomness import is_stand_in

_SCHEME_CHARACTERS = string.ascii_letters + string.digits + "+.-"
_USERINFO = re.compile(r"([^\s:/@\"'<>`\\{}]{0,80}):([^\s/@\"'<>`\\,]{3,200})@([A-Za-z0-9_.\[\]-]{1,200})")
_LOCAL = re.compile(
    r"localhost|127\.|0\.0\.0\.0|\[?::1|host\.docker\.internal|example\.|.*\.example|.*\.test$|host$|hostname$|server$|your",
    re.IGNORECASE,
)
_COMMON = frozenset(
    ["password", "passwd", "pass", "pwd", "secret", "postgres", "mysql", "root", "admin", "user", "username", "guest", "test", "testing", "mongo",
    "redis", "rabbitmq", "minio", "minioadmin", "default", "changeme", "123456", "1234", "airflow", "mlflow", "token", "key", "apikey", "api_key",
    "pw", "******", "*****", "x", "xxx", "foo", "bar", "baz", "hunter2", "mypass", "mypassword", "s3cr3t", "p@ssw0rd", "passw0rd", "proxypass",
    "userpass", "dbpass", "dbpassword", "oauth2", "x-oauth-basic", "git"]
)  # fmt: skip


@dataclass(frozen=True)
class UrlPassword:
    """The password of a URL and where it stands."""

    scheme: str
    value: str
    start: int


def url_passwords(text: str, budget: Budget) -> Iterator[UrlPassword]:
    at = text.find("://")
    while at >= 0:
        budget.spend(3)
        before = text[max(0, at - 31) : at]
        scheme = before[len(before.rstrip(_SCHEME_CHARACTERS)) :]
        found = _USERINFO.match(text, at + 3)
        if len(scheme) > 1 and found and _is_real(found.group(1), found.group(2), found.group(3)):
            yield UrlPassword(scheme, found.group(2), found.start(2))
        at = text.find("://", at + 3)


def _is_real(user: str, password: str, host: str) -> bool:
    plain = unquote(password)
    if (
        is_stand_in(plain)
        or plain.lower() in _COMMON
        or plain.startswith(("$", "%", "{", "[", ":", "<"))
        or plain.isdigit()
    ):
        return False
    if plain.lower() == user.lower() or re.fullmatch(r"[A-Z][A-Z_]+", plain):
        return False
    is_simple = re.fullmatch(r"[a-z_]+", plain) is not None
    return len(plain) >= 5 and not (
        is_simple and (_LOCAL.match(host) or len(plain) < 8 or "pass" in plain or "secret" in plain)
    )
