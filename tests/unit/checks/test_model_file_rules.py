"""The table of rules, its page, and readers of single formats."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from tests.corpus.model_file.attacks import TEMPLATE, gguf

from assay.checks.model_file.judge import RULE_OF, judge
from assay.checks.model_file.lists import LIBRARIES, Lists, spellings
from assay.checks.model_file.rules import RULES
from assay.core.errors import MalformedInput
from assay.core.outcomes import Verdict
from assay.formats.chat_template import template_facts
from assay.formats.reading import read_facts
from assay.formats.ubjson_file import ubjson_facts

ROOT = Path(__file__).resolve().parents[3]


def test_every_kind_of_fact_has_a_rule_with_a_remedy() -> None:
    assert set(RULE_OF.values()) <= set(RULES)
    assert all(rule.remedy and rule.title for rule in RULES.values())


def test_the_page_of_rules_is_current() -> None:
    assert subprocess.run([sys.executable, str(ROOT / "tools/make_rules_page.py"), "--check"], cwd=ROOT).returncode == 0


@pytest.mark.parametrize("library", sorted(LIBRARIES - {"torchvision"}))
def test_no_list_holds_a_name_that_calls_by_name_or_opens_files(library: str) -> None:
    lists = Lists()
    forbidden = [("os", "system"), ("builtins", "eval"), ("builtins", "getattr"), ("functools", "partialmethod"), ("operator", "attrgetter"), ("numpy",
        "load"),
                 ("pandas", "read_pickle"), ("torch", "load"), ("joblib", "load"), ("scipy.stats._distn_infrastructure", "rv_continuous"), (library,
                 "os.system")]  # fmt: skip
    assert [name for name in forbidden if lists.find(*name)] == []


def test_a_partial_wraps_nothing_but_functions_that_are_listed_for_any_arguments() -> None:
    entry = Lists().find("functools", "partial")
    assert entry is not None and entry.args == ("harmless",) and not entry.own_state
    assert entry.state_args is not None and entry.state_args[0] == "harmless"


def test_names_are_never_found_by_joining_module_and_name() -> None:
    assert Lists().find("collections", "OrderedDict") and not Lists().find("", "collections.OrderedDict")
    assert Lists().find("numpy.core.multiarray", "_reconstruct") and not Lists().find(
        "numpy", "core.multiarray._reconstruct"
    )
    assert spellings("__builtin__", "set") == [("builtins", "set")] and spellings("os", "system") == [("os", "system")]


LLAMA = """{{- bos_token }}{%- if custom_tools is defined %}{%- set tools = custom_tools %}{%- endif %}{#- don't break #}
{%- set date = strftime_now("%d %b %Y") %}{%- if messages[0]['role'] == 'system' %}{%- set messages = messages[1:] %}{%- endif %}
{%- for m in messages[::-1] %}{%- set i = (messages|length - 1) - loop.index0 %}{{ m.content.split('</think>')[-1].lstrip('\\n') }}
{{- {"a": {"b": 1}} | tojson(indent=4) }}{% generation %}{{ m['content'] ~ 'x' }}{% endgeneration %}{{ raise_exception("no's") }}{%- endfor %}"""


@pytest.mark.parametrize(
    "template", [TEMPLATE, LLAMA, "", "no template", "{# __class__ #}", "{% raw %}{{ ''.__class__ }}{% endraw %}"]
)
def test_templates_of_chat_models_are_clean(template: str) -> None:
    assert template_facts(template) == []
    assert judge(read_facts(gguf({"tokenizer.chat_template": template}), "m.gguf")).verdict is Verdict.CLEAN


def test_a_template_is_read_in_one_pass() -> None:
    for text in ("{{" * 300_000, "{% raw %}" * 50_000, "{{'" * 200_000, "{#" * 300_000):
        assert template_facts(text)


def test_a_vocabulary_may_hold_braces() -> None:
    assert (
        judge(read_facts(b'{"vocab": ["{{", "}", "{%", "a"], "merges": ["{ {"]}', "tokenizer.json")).verdict
        is Verdict.CLEAN
    )


@pytest.mark.parametrize(
    ("data", "ok"),
    [
        (b"{i\x01aU\x05}", True),
        (b"[$U#i\x03abc", True),
        (b"{i\x01a[[i\x01]]}", True),
        (b"[" * 5000, False),
        (b"[$U#L\x7f\xff\xff\xff\xff\xff\xff\xff", False),
        (b"{i\x7fa", False),
    ],
)
def test_ubjson_is_walked_to_its_end(data: bytes, ok: bool) -> None:
    if ok:
        assert list(ubjson_facts(data)) == [] and list(ubjson_facts(data + b"x"))
    else:
        with pytest.raises(MalformedInput):
            list(ubjson_facts(data))
