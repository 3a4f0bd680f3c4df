"""Makes texts with planted secrets and texts with none, from a seed. No value here is or was anyone's.

A case is one value in one place of one file. `Split.DEVELOPMENT` and `Split.HELD_OUT` share no context and no name: rules were tuned
on the first alone, and figures are told of the second. Positive values follow the vendors' shapes, with correct checksums;
negative ones are what people and tools write beside them: placeholders, digests, UUIDs, weights, lock files, test vectors.
"""

from __future__ import annotations

import base64
import hashlib
import json
import random
import string
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum

from assay.formats.secrets.proofs import base62_crc32

B62 = string.ascii_letters + string.digits
B64 = B62 + "+/"
URL64 = B62 + "-_"
HEX = "0123456789abcdef"
JWT_IO_EXAMPLE = (
    "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiIxMjM0NTY3ODkwIiwibmFtZSI6IkpvaG4gRG9lIiwiaWF0IjoxNTE2MjM5MDIyfQ"
    ".SflKxwRJSMeKKF2QT4fwpMeJf36POk6yJV_adQssw5c"
)
UPPER = string.ascii_uppercase + string.digits


class Split(StrEnum):
    DEVELOPMENT = "development"
    HELD_OUT = "held-out"


@dataclass(frozen=True)
class Case:
    """A text, what kind of value it holds, and the value to be found; None where nothing may be found."""

    kind: str
    path: str
    text: str
    value: str | None


Draw = Callable[[random.Random], str]


def _of(alphabet: str, length: int) -> Draw:
    return lambda r: "".join(r.choice(alphabet) for _ in range(length))


def _prefixed(prefix: str, alphabet: str, length: int, end: str = "") -> Draw:
    return lambda r: prefix + _of(alphabet, length)(r) + end


def _crc(prefix: str) -> Draw:
    def draw(r: random.Random) -> str:
        body = _of(B62, 30)(r)
        return prefix + body + base62_crc32(body)

    return draw


def _pypi(r: random.Random) -> str:
    body = (
        b"\x02\x01\x08pypi.org\x02\x24"
        + str(uuid.UUID(int=r.getrandbits(128))).encode()
        + b"\x00\x02\x2c"
        + r.randbytes(44)
        + b"\x00\x00\x06\x20"
        + r.randbytes(32)
    )
    return "pypi-" + base64.urlsafe_b64encode(body).decode().rstrip("=")


def _jwt(r: random.Random) -> str:
    head = {"alg": r.choice(["HS256", "RS256", "ES256"]), "typ": "JWT"}
    body = {
        "sub": str(r.randrange(10**9)),
        "iat": r.randrange(1_500_000_000, 1_800_000_000),
        "scope": r.choice(["admin", "deploy", "read"]),
    }
    parts = [json.dumps(head).encode(), json.dumps(body).encode(), r.randbytes(32 if head["alg"] == "HS256" else 64)]
    return ".".join(base64.urlsafe_b64encode(part).decode().rstrip("=") for part in parts)


def _pem(label: str) -> Draw:
    def draw(r: random.Random) -> str:
        inner = r.randbytes(r.choice([118, 606, 1190]))
        length = len(inner)
        der = (b"\x30\x81" + bytes([length]) if length < 256 else b"\x30\x82" + length.to_bytes(2, "big")) + inner
        if label.startswith("OPENSSH"):
            der = b"openssh-key-v1\x00\x00\x00\x00\x04none" + inner
        body = base64.b64encode(der).decode()
        lines = [body[i : i + 64] for i in range(0, len(body), 64)]
        return "\n".join([f"-----BEGIN {label}-----", *lines, f"-----END {label}-----"])

    return draw


def _password(r: random.Random) -> str:
    return "".join([r.choice(string.ascii_uppercase), *(r.choice(string.ascii_lowercase) for _ in range(5)),
    *(r.choice(string.digits) for _ in range(3)), r.choice("!*+_-"), r.choice(B62), r.choice(string.digits)])  # fmt: skip


def _url(scheme: str) -> Draw:
    def draw(r: random.Random) -> str:
        user, host, port = r.choice(["svc", "etl", "app_rw"]), r.choice(["db", "cache", "mq"]), r.randrange(1000, 9999)
        return f"{scheme}://{user}:{_of(B62, 16)(r)}@{host}{r.randrange(9)}.corp.internal:{port}/prod"

    return draw


TOKENS: dict[str, Draw] = {
    "github": _crc("ghp_"), "github-app": _crc("ghs_"), "npm": _crc("npm_"), "pypi": _pypi,
    "github-fine": lambda r: f"github_pat_{_of(B62, 22)(r)}_{_of(B62, 59)(r)}",
    "slack": lambda r: f"xoxb-{r.randrange(10**11, 10**12)}-{r.randrange(10**12, 10**13)}-{_of(B62, 24)(r)}",
    "slack-hook": lambda r: "https://hooks.slack.com/services/T" + _of(UPPER, 9)(r) + "/B" + _of(UPPER, 10)(r) + "/" + _of(B62, 24)(r),
    "aws-id": _prefixed("AKIA", string.ascii_uppercase + "234567", 16), "google": _prefixed("AIza", URL64, 35),
    "google-oauth": _prefixed("GOCSPX-", URL64, 28), "azure-storage": _prefixed("AccountKey=", B64, 86, "=="),
    "azure-bus": _prefixed("SharedAccessKey=", B64, 43, "="),
    "azure-app": lambda r: f"{_of(B62, 3)(r)}{r.randrange(10)}Q~{_of(B62 + '_~.-', 33)(r)}a",
    "openai-project": lambda r: f"sk-proj-{_of(URL64, 74)(r)}T3BlbkFJ{_of(URL64, 73)(r)}A",
    "openai": lambda r: f"sk-{_of(B62, 20)(r)}T3BlbkFJ{_of(B62, 20)(r)}", "anthropic": _prefixed("sk-ant-api03-", URL64, 93, "AA"),
    "huggingface": _prefixed("hf_", string.ascii_letters, 34), "stripe": _prefixed("sk_live_", B62, 24),
    "stripe-hook": _prefixed("whsec_", B62, 32), "sendgrid": lambda r: f"SG.{_of(URL64, 22)(r)}.{_of(B62, 43)(r)}",
    "telegram": lambda r: f"{r.randrange(10**9, 10**10)}:AA{_of(B62, 33)(r)}", "gitlab": _prefixed("glpat-", B62, 20),
    "digitalocean": _prefixed("dop_v1_", HEX, 64), "shopify": _prefixed("shpat_", HEX, 32), "docker": _prefixed("dckr_pat_", B62, 27),
    "databricks": _prefixed("dapi", HEX, 32), "groq": _prefixed("gsk_", B62, 52), "replicate": _prefixed("r8_", B62, 37),
    "nvidia": _prefixed("nvapi-", B62, 64), "langsmith": lambda r: f"lsv2_pt_{_of(HEX, 32)(r)}_{_of(HEX, 10)(r)}",
    "openrouter": _prefixed("sk-or-v1-", HEX, 64), "xai": _prefixed("xai-", B62, 80), "vault": _prefixed("hvs.", B62, 90),
    "jwt": _jwt, "postgres": _url("postgresql"), "mongo": _url("mongodb+srv"), "redis": _url("redis"), "amqp": _url("amqp"),
    "pem-rsa": _pem("RSA PRIVATE KEY"), "pem": _pem("PRIVATE KEY"), "pem-ec": _pem("EC PRIVATE KEY"), "pem-ssh": _pem("OPENSSH PRIVATE KEY"),
}  # fmt: skip
KEYS: dict[str, Draw] = {
    "hex32": _of(HEX, 32),
    "hex40": _of(HEX, 40),
    "hex64": _of(HEX, 64),
    "base62": _of(B62, 32),
    "base64": lambda r: base64.b64encode(r.randbytes(32)).decode(),
}
"""Values without a shape of their own: found only under a telling name."""

KEY_NAMES = {
    Split.DEVELOPMENT: ("api_key", "API_KEY", "client_secret", "SECRET_KEY", "auth_token", "accessToken"),
    Split.HELD_OUT: ("WANDB_API_KEY", "apiKey", "clientSecret", "jwt_secret", "SERVICE_TOKEN", "X-Api-Key", "signing_secret", "COHERE_API_KEY",
    "refreshToken", "encryption_key"),
}  # fmt: skip
PASSWORD_NAMES = {
    Split.DEVELOPMENT: ("password", "DB_PASSWORD", "passwd"),
    Split.HELD_OUT: ("POSTGRES_PASSWORD", "smtpPassword", "redis_passwd", "keystore.password", "MLFLOW_TRACKING_PASSWORD", "rootPassword"),
}  # fmt: skip
CONTEXTS = {
    Split.DEVELOPMENT: {
        "settings.py": 'import os\n\n{name} = "{value}"\nDEBUG = False\n',
        ".env": "PORT=8080\n{name}={value}\nLOG=info\n",
        "config.json": '{{\n  "debug": true,\n  "{name}": "{value}"\n}}\n',
        "values.yaml": "service:\n  port: 80\n  {name}: {value}\n  replicas: 2\n",
    },
    Split.HELD_OUT: {
        "app.toml": '[server]\nport = 1\n{name} = "{value}"\n',
        "conf.ini": "[main]\nhost = a\n{name} = {value}\n",
        "run.sh": '#!/bin/sh\nset -e\nexport {name}="{value}"\npython serve.py\n',
        "Dockerfile": "FROM scratch\nENV {name}={value}\nCMD run\n",
        "client.js": "const opts = {{ retries: 3, {name}: '{value}' }};\n",
        "call.py": 'client = Client(timeout=3, {name}="{value}", retries=2)\n',
        "App.java": 'private static final String {name} = "{value}";\n',
        "book.ipynb": '{{"cells": [{{"cell_type": "code", "source": ["{name} = \\"{value}\\"\\n"], "outputs": []}}]}}\n',
        "tfvars": '{name} = "{value}"\nregion = "eu"\n',
        "compose.yaml": "services:\n  a:\n    environment:\n      - {name}={value}\n",
        "deploy.yaml": "env:\n  other: 1\n  {name}: '{value}'\n",
        "dict.py": "conf['{name}'] = '{value}'\n",
        "nginx.conf": "set ${name} {value_q};\n",
        "log.txt": '2026-01-02T03:04:05 INFO started with {name}={value}\n',
    },
}  # fmt: skip
FREE_CONTEXTS = (
    "see {value} for details\n",
    "curl -H 'Authorization: token {value}' https://x.test\n",
    "print('{value}')\n",
    "# old: {value}\n",
    "{value}\n",
)


def positives(seed: int, split: Split, each: int) -> Iterator[Case]:
    """`each` cases of every kind of secret."""
    r = random.Random(f"{seed} {split} positive")
    for kind, draw in TOKENS.items():
        for _ in range(each):
            yield _placed(r, split, kind, draw(r), r.choice(KEY_NAMES[split]), is_shaped=True)
    for kind, draw in KEYS.items():
        for _ in range(each):
            yield _placed(r, split, f"assigned-{kind}", draw(r), r.choice(KEY_NAMES[split]))
    for _ in range(3 * each):
        yield _placed(r, split, "assigned-password", _password(r), r.choice(PASSWORD_NAMES[split]))
    for _ in range(each):
        secret = _of(B64, 40)(r)
        text = f"aws_access_key_id = {TOKENS['aws-id'](r)}\naws_secret_access_key = {secret}\nregion = eu-west-1\n"
        yield Case("aws-pair", "credentials", text, secret)


def _placed(r: random.Random, split: Split, kind: str, value: str, name: str, *, is_shaped: bool = False) -> Case:
    if "\n" in value:  # a PEM block stands alone, or in one line with written line ends
        return (
            Case(kind, "key.pem", value + "\n", value)
            if r.random() < 0.5
            else Case(kind, "sa.json", json.dumps({"type": "service_account", "private_key": value}), value)
        )
    if is_shaped and r.random() < 0.3:
        return Case(kind, "notes.md", r.choice(FREE_CONTEXTS).format(value=value), value)
    path, form = r.choice(sorted(CONTEXTS[split].items()))
    return Case(kind, path, form.format(name=name, value=value, value_q=f'"{value}"'), value)


PLACEHOLDERS = ("xxxxxxxxxxxxxxxxxxxx", "changeme", "<your-token>", "${API_TOKEN}", "$(cat /run/secret)", "{{ vault_secret }}", "YOUR_API_KEY_HERE",
    "sk-...", "ghp_xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx", "AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
    "hf_xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
    "replace-me-with-a-long-random-string", "test", "none", "********", "os.environ['X']", "ENC[AES256]", "my-secret-token", "abcdefghijklmnopqrstuvwxyz123456",
    "sk_test_", "sk-ant-api03-your-key", "00000000000000000000000000000000", "1234567890abcdef1234567890abcdef", "dummy-token-for-tests",
    "vault:secret/data/app#key", "%(password)s",
    "AIzaSyXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXX", "not-a-real-key-just-for-docs", "secretKeyRef", "file:/run/secrets/db", "/var/run/secrets/token",
    "password123", "hunter2")  # fmt: skip
INNOCENT: dict[str, Callable[[random.Random], str]] = {
    "digest": lambda r: f"sha256: {hashlib.sha256(r.randbytes(8)).hexdigest()}\n",
    "lock": lambda r: f'    {{ url = "https://files.test/x-{r.randrange(9)}.whl", hash = "sha256:{hashlib.sha256(r.randbytes(8)).hexdigest()}", size = 1 }},\n',
    "requirements": lambda r: f"tokenizers==0.{r.randrange(20)}.1 \\\n    --hash=sha256:{hashlib.sha256(r.randbytes(8)).hexdigest()}\n",
    "npm-lock": lambda r: f'"node_modules/js-tokens": {{ "integrity": "sha512-{base64.b64encode(r.randbytes(64)).decode()}" }}\n',
    "uuid": lambda r: f"api_key_id = '{uuid.UUID(int=r.getrandbits(128))}'\n",
    "uuid-token": lambda r: f'"session": "{uuid.UUID(int=r.getrandbits(128))}"\n',
    "weights": lambda r: f'{{"data": "{base64.b64encode(r.randbytes(1500)).decode()}"}}\n',
    "hex-weights": lambda r: f"blob = '{r.randbytes(600).hex()}'\n",
    "image": lambda r: f"![plot](data:image/png;base64,{base64.b64encode(r.randbytes(900)).decode()})\n",
    "commit": lambda r: f"token_rev: {r.randbytes(20).hex()} # commit\n",
    "git": lambda r: f"uses: actions/checkout@{r.randbytes(20).hex()}\n",
    "vector": lambda r: "secret_key = bytes.fromhex('" + bytes((i + 3) % 256 for i in range(32)).hex() + "')\n",
    "aes-vector": lambda r: "secret_key: 2b7e151628aed2a6abf7158809cf4f3c\n",
    "tokenizer": lambda r: json.dumps({"pad_token": "<pad>", "eos_token": "</s>", "unk_token": "[UNK]", "additional_special_tokens": ["<x>"],
    "tokenizer_class": "PreTrainedTokenizerFast"}) + "\n",
    "vocab": lambda r: json.dumps({f"tok{_of(B62, 6)(r)}": r.randrange(50000) for _ in range(20)}) + "\n",
    "code": lambda r: r.choice(["token = request.headers.get('Authorization')\n", "password = getpass.getpass('Password: ')\n",
    "def check(password: str, secret_key: bytes) -> bool:\n    return True\n",
        "token = next(tokens, None)\n", "api_key = settings.openai_api_key\n", "secret = secrets.token_hex(32)\n",
        "self.password = password_from_prompt\n", "if token == TokenType.IDENTIFIER:\n", "auth_token=os.getenv('HF_TOKEN')\n",
        "max_new_tokens=2048, pad_token_id=tokenizer.eos_token_id\n", "kwargs['use_auth_token'] = use_auth_token_value\n",
        "API_KEY_HEADER = 'X-Custom-Api-Key-Header-V2'\n", "password_hash = '$2b$12$KIXQ8cG8Y1lL1n0uY5mZQe6'\n"]),
    "jwt-example": lambda r: JWT_IO_EXAMPLE + "\n",
    "bad-checksum": lambda r: f"ghp_{_of(B62, 30)(r)}000000\n",
    "url": lambda r: r.choice(["postgresql://user:password@localhost/db\n", "https://user:pass@example.com/\n",
    "redis://:${REDIS_PASSWORD}@cache:6379\n", "http://host:8080/a@b\n", "mongodb://root:root@mongo:27017\n",
    "postgres://{user}:{password}@{host}/db\n", "git@github.com:a/b.git https://github.com/a/b@v1\n"]),
    "public-key": lambda r: f"-----BEGIN PUBLIC KEY-----\n{base64.b64encode(r.randbytes(90)).decode()}\n-----END PUBLIC KEY-----\n",
    "certificate": lambda r: f"-----BEGIN CERTIFICATE-----\n{base64.b64encode(r.randbytes(600)).decode()}\n-----END CERTIFICATE-----\n",
    "pem-empty": lambda r: "-----BEGIN PRIVATE KEY-----\n...\n-----END PRIVATE KEY-----\n",
    "ssh-public": lambda r: f"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAA{base64.b64encode(r.randbytes(33)).decode()} me@host\n",
    "prose": lambda r: r.choice(["The secret to good training is patience; a token of thanks: none.\n",
    "Set the password: it must be at least 12 characters.\n", "Token: a unit of text. Secret: something not told.\n",
    "See docs for `api_key`: string, required, the key that identifies you\n"]),
    "kubernetes": lambda r: "      valueFrom:\n        secretKeyRef:\n          name: db-credentials\n          key: password\n",
    "type": lambda r: "password: Optional[SecretStr] = None\nclient_secret: str = Field(default='', description='The OAuth2ClientSecretValue')\n",
    "sri": lambda r: f'<script src="a.js" integrity="sha384-{base64.b64encode(r.randbytes(48)).decode()}" crossorigin></script>\n',
    "arn": lambda r: f"secret_arn: arn:aws:secretsmanager:eu-west-1:{r.randrange(10**11, 10**12)}:secret:prod/db-{_of(B62, 6)(r)}\n",
    "url-token": lambda r: f"token_url: https://login.test/{uuid.UUID(int=r.getrandbits(128))}/oauth2/v2.0/token\n",
    "hash-named": lambda r: f'"password_hash": "{hashlib.sha256(r.randbytes(9)).hexdigest()}"\n',
}  # fmt: skip


def negatives(seed: int, split: Split, each: int) -> Iterator[Case]:
    """Cases in which nothing may be found: placeholders under telling names, and `each` of every innocent kind."""
    r = random.Random(f"{seed} {split} negative")
    for placeholder in PLACEHOLDERS:
        for _ in range(max(1, each // 4)):
            name = r.choice([*KEY_NAMES[split], *PASSWORD_NAMES[split]])
            path, form = r.choice(sorted(CONTEXTS[split].items()))
            if '"' in placeholder or "'" in placeholder:
                form = "{name} = {value}\n"
            yield Case(
                f"placeholder {placeholder[:16]}",
                path,
                form.format(name=name, value=placeholder, value_q=placeholder),
                None,
            )
    for kind, made in INNOCENT.items():
        for _ in range(each):
            yield Case(kind, f"{kind}.txt", made(r), None)
