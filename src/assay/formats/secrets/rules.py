"""The rules for credentials with a shape of their own, as data: {id, name, severity, anchor, pattern, check}.

The anchor is a literal that every such credential holds; it is searched first, at the speed of `str.find`. The pattern is
matched at the anchor (`before` characters earlier where the anchor stands inside). Every pattern is a sequence of character
classes with bounds and without nesting, and no two neighbours share a character, so matching is linear; where neighbours do
overlap the bound keeps the work constant. `proof` then decides. Ids are stable and never reused.
Sources: the token formats that each vendor documents; the shapes were written down here anew.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import cached_property

from assay.core.outcomes import Severity
from assay.formats.secrets import proofs
from assay.formats.secrets.proofs import Prove

CRITICAL, HIGH, MEDIUM, LOW = Severity.CRITICAL, Severity.HIGH, Severity.MEDIUM, Severity.LOW


@dataclass(frozen=True)
class Rule:
    """One kind of credential. `shown` characters of its start are public and may be printed."""

    id: str
    name: str
    severity: Severity
    anchors: tuple[str, ...]
    shape: str
    proof: Prove
    before: tuple[int, ...] = (0,)
    shown: int = 0
    edge: str = field(default="word")

    @cached_property
    def pattern(self) -> re.Pattern[str]:
        """The shape, compiled when a text first holds the anchor."""
        return re.compile(self.shape)


def _rule(
    id: int, name: str, severity: Severity, anchors: str, pattern: str, proof: Prove = proofs.random_token, *,
    before: tuple[int, ...] = (0,), shown: int | None = None, edge: str = "word",
) -> Rule:  # fmt: skip
    words = tuple(anchors.split())
    return Rule(
        f"ASY-SEC-{id:03}", name, severity, words, pattern, proof, before,
        len(words[0]) if shown is None else shown, edge,
    )  # fmt: skip


_END = r"(?![A-Za-z0-9_-])"

RULES: tuple[Rule, ...] = (
    _rule(1, "GitHub token", CRITICAL, "ghp_ gho_ ghu_ ghs_ ghr_", r"gh[pousr]_[A-Za-z0-9]{36}" + _END, proofs.crc_token),
    _rule(2, "GitHub fine-grained token", CRITICAL, "github_pat_", r"github_pat_[A-Za-z0-9]{22}_[A-Za-z0-9]{59}" + _END),
    _rule(3, "npm token", CRITICAL, "npm_", r"npm_[A-Za-z0-9]{36}" + _END, proofs.crc_token),
    _rule(4, "PyPI token", CRITICAL, "pypi-AgE", r"pypi-AgE[A-Za-z0-9_-]{60,400}", proofs.pypi_macaroon, shown=5),
    _rule(5, "Slack token", CRITICAL, "xoxb- xoxp- xoxa- xoxr- xoxs- xoxe- xapp-",
          r"(xox[bpars]-[0-9A-Za-z]{8,}(-[0-9A-Za-z]{6,64}){1,4}|xoxe-1-[A-Za-z0-9]{100,200}|xapp-\d-[A-Z0-9]{8,14}-\d{8,16}-[0-9a-f]{60,68})" + _END),
    _rule(6, "Slack webhook", HIGH, "hooks.slack.com/",
    r"hooks\.slack\.com/(services/T[A-Z0-9]{7,12}/B[A-Z0-9]{7,12}/|"
          r"workflows/T[A-Z0-9]{7,12}/A[A-Z0-9]{7,12}/\d{15,20}/)[A-Za-z0-9]{20,30}" + _END, edge="none"),
    _rule(7, "AWS access key id", HIGH, "AKIA ASIA", r"A[KS]IA[A-Z2-7]{16}" + _END),
    _rule(8, "Google API key", HIGH, "AIza", r"AIza[A-Za-z0-9_-]{35}" + _END),
    _rule(9, "Google OAuth client secret", HIGH, "GOCSPX-", r"GOCSPX-[A-Za-z0-9_-]{28}" + _END),
    _rule(10, "Azure storage account key", CRITICAL, "AccountKey=", r"AccountKey=[A-Za-z0-9+/]{86}=="),
    _rule(11, "Azure shared access key", CRITICAL, "SharedAccessKey=", r"SharedAccessKey=[A-Za-z0-9+/]{43}="),
    _rule(12, "Azure application secret", HIGH, "Q~", r"[A-Za-z0-9_~.]{3}\dQ~[A-Za-z0-9_~.-]{31,34}" + _END, before=(4,), shown=0),
    _rule(13, "OpenAI key", CRITICAL, "sk-proj- sk-svcacct- sk-admin- sk-None-",
          r"sk-(?:proj|svcacct|admin|None)-[A-Za-z0-9_-]{40,220}", shown=3),
    _rule(14, "OpenAI key", CRITICAL, "T3BlbkFJ", r"sk-[A-Za-z0-9]{20}T3BlbkFJ[A-Za-z0-9]{20}" + _END, before=(23,), shown=3),
    _rule(15, "Anthropic key", CRITICAL, "sk-ant-", r"sk-ant-(?:api|admin|oat|ort|sid)\d{2}-[A-Za-z0-9_-]{80,120}"),
    _rule(16, "Hugging Face token", CRITICAL, "hf_ api_org_", r"(?:hf_|api_org_)[A-Za-z0-9]{34,37}" + _END, shown=3),
    _rule(17, "Stripe live key", CRITICAL, "sk_live_ rk_live_", r"[rs]k_live_[A-Za-z0-9]{24,247}" + _END),
    _rule(18, "Stripe test key", LOW, "sk_test_ rk_test_", r"[rs]k_test_[A-Za-z0-9]{24,247}" + _END),
    _rule(19, "Stripe webhook secret", HIGH, "whsec_", r"whsec_[A-Za-z0-9+/=]{32,64}"),
    _rule(20, "private key", CRITICAL, "-----BEGIN ", r"-----BEGIN (?:[A-Z0-9]{2,12} ){0,2}PRIVATE KEY(?: BLOCK)?-----[^-]{60,16000}-----END ",
          proofs.pem_key, edge="none", shown=0),
    _rule(21, "JSON web token", HIGH, "eyJ", r"eyJ[A-Za-z0-9_-]{10,2000}\.eyJ[A-Za-z0-9_-]{10,8000}\.[A-Za-z0-9_-]{20,2000}", proofs.jwt),
    _rule(22, "SendGrid key", CRITICAL, "SG.", r"SG\.[A-Za-z0-9_-]{22}\.[A-Za-z0-9_-]{43}" + _END),
    _rule(23, "Telegram bot token", HIGH, ":AA", r"\d{8,10}:AA[A-Za-z0-9_-]{33}" + _END, before=(10, 9, 8), shown=0),
    _rule(24, "Discord webhook", HIGH, "/api/webhooks/", r"/api/webhooks/\d{17,20}/[A-Za-z0-9_-]{60,72}" + _END, edge="none"),
    _rule(25, "GitLab token", CRITICAL, "glpat- glptt- gldt- glrt- glsoat- glcbt-", r"gl(?:pat|ptt|dt|rt|soat|cbt)-[A-Za-z0-9_.-]{20,320}"),
    _rule(26, "DigitalOcean token", CRITICAL, "dop_v1_ doo_v1_ dor_v1_", r"do[opr]_v1_[0-9a-f]{64}" + _END),
    _rule(27, "Shopify token", CRITICAL, "shpat_ shpca_ shppa_ shpss_", r"shp(?:at|ca|pa|ss)_[0-9a-fA-F]{32}" + _END),
    _rule(28, "Docker Hub token", CRITICAL, "dckr_pat_ dckr_oat_", r"dckr_[po]at_[A-Za-z0-9_-]{27,32}" + _END),
    _rule(29, "Databricks token", CRITICAL, "dapi", r"dapi[0-9a-f]{32}(?:-\d)?" + _END),
    _rule(30, "Groq key", CRITICAL, "gsk_", r"gsk_[A-Za-z0-9]{52}" + _END),
    _rule(31, "Replicate token", CRITICAL, "r8_", r"r8_[A-Za-z0-9]{37}" + _END),
    _rule(32, "NVIDIA API key", CRITICAL, "nvapi-", r"nvapi-[A-Za-z0-9_-]{60,70}" + _END),
    _rule(33, "LangSmith key", HIGH, "lsv2_", r"lsv2_(?:pt|sk)_[0-9a-f]{32}_[0-9a-f]{10}" + _END),
    _rule(34, "Pinecone key", HIGH, "pcsk_", r"pcsk_[A-Za-z0-9]{5,7}_[A-Za-z0-9]{60,70}" + _END),
    _rule(35, "xAI key", CRITICAL, "xai-", r"xai-[A-Za-z0-9]{80}" + _END),
    _rule(36, "Perplexity key", HIGH, "pplx-", r"pplx-[A-Za-z0-9]{48}" + _END),
    _rule(37, "OpenRouter key", CRITICAL, "sk-or-v1-", r"sk-or-v1-[0-9a-f]{64}" + _END),
    _rule(38, "Grafana token", HIGH, "glsa_", r"glsa_[A-Za-z0-9]{32}_[0-9a-f]{8}" + _END),
    _rule(39, "Vault token", CRITICAL, "hvs. hvb.", r"hv[sb]\.[A-Za-z0-9_-]{24,200}"),
    _rule(40, "Linear key", HIGH, "lin_api_", r"lin_api_[A-Za-z0-9]{40}" + _END),
    _rule(41, "Atlassian token", CRITICAL, "ATATT3xFfGF0", r"ATATT3xFfGF0[A-Za-z0-9_=-]{150,250}"),
    _rule(42, "New Relic key", HIGH, "NRAK-", r"NRAK-[A-Z0-9]{27}" + _END),
    _rule(43, "Doppler token", HIGH, "dp.pt. dp.st. dp.sa.", r"dp\.(?:pt|st|sa)\.(?:[a-z0-9_-]{2,35}\.)?[A-Za-z0-9]{40,44}" + _END),
    _rule(44, "age secret key", CRITICAL, "AGE-SECRET-KEY-1", r"AGE-SECRET-KEY-1[QPZRY9X8GF2TVDW0S3JN54KHCE6MUA7L]{58}" + _END),
    _rule(45, "Supabase token", CRITICAL, "sbp_ sb_secret_", r"(?:sbp_[0-9a-f]{40}|sb_secret_[A-Za-z0-9_-]{22}_[A-Za-z0-9_-]{8})" + _END),
    _rule(46, "Notion token", HIGH, "ntn_", r"ntn_[A-Za-z0-9]{46}" + _END),
    _rule(47, "Mailgun key", HIGH, "key-", r"key-[0-9a-f]{32}" + _END),
    _rule(48, "Tailscale key", HIGH, "tskey-", r"tskey-(?:auth|api|client|scim|webhook)-[A-Za-z0-9]{8,24}-[A-Za-z0-9]{24,40}" + _END),
    _rule(49, "Terraform Cloud token", CRITICAL, ".atlasv1.", r"[A-Za-z0-9]{14}\.atlasv1\.[A-Za-z0-9_-]{60,75}" + _END, before=(14,), shown=0),
    _rule(50, "basic credentials", HIGH, "Basic ", r"Basic [A-Za-z0-9+/_-]{10,200}={0,2}", proofs.basic_credentials),
    _rule(51, "Sentry token", HIGH, "sntrys_ sntryu_", r"sntry(?:s_eyJ[A-Za-z0-9+/=_-]{80,300}|u_[0-9a-f]{64})" + _END),
    _rule(52, "Weights & Biases key", HIGH, "wandb_v1_", r"wandb_v1_[A-Za-z0-9_]{60,90}" + _END),
    _rule(53, "bearer token in a header", HIGH, "Bearer ", r"Bearer [A-Za-z0-9_.~+/-]{24,500}={0,2}", shown=7),
)  # fmt: skip

DATABASE_URL = Rule("ASY-SEC-090", "URL with a password", HIGH, ("://",), "", proofs.random_token)
ASSIGNED = Rule("ASY-SEC-091", "secret in an assignment", HIGH, (), "", proofs.random_token)
AWS_SECRET = Rule("ASY-SEC-092", "AWS secret access key", CRITICAL, (), "", proofs.random_token)
ALL: tuple[Rule, ...] = (*RULES, DATABASE_URL, ASSIGNED, AWS_SECRET)
