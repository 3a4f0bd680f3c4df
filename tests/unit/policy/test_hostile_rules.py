"""Every hostile expression of the corpus is refused or undecided, each within 2 CPU seconds and 512 MiB in all."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

CORPUS = Path("tests/corpus/policy/hostile_rules.yaml")
CHILD = """
import json, math, re, resource, sys, time
from pathlib import Path
from assay.core.errors import PolicyError
from assay.formats.yaml_strict import load_yaml
from assay.policy.documents import read_policy
from assay.policy.evaluate import decide
from tests.unit.policy.made_evidence import NOW, Ledger, scan
from assay.evidence.predicates import Predicate

corpus = load_yaml(Path(sys.argv[1]).read_bytes(), "corpus")
rules = corpus["rules"] + [
    {"name": g["name"], "expr": g["start"] * g["times"] + g["middle"] + g["end"] * g["times"]} for g in corpus["generated"]
]
rules.append({"name": "list of a thousand", "expr": "scan.files_examined in [" + ",".join(["1"] * 900) + "]"})
free = {"l": list(range(300)), "long": list(range(1900)), "s": "a" * 3000, "nan": math.nan, "nul": None, "empty": [],
        "n": 5, "zero": 0, "zerofloat": 0.0, "t": "text", "deep": [{"x": 1}, {"y": 2}], "mixed": [1, "5"]}
ledger = Ledger()
ledger.add(Predicate.SCAN_RESULT, scan(), "scanner")
ledger.add("https://example.com/free/v1", free, "scanner")
for rule in rules:
    document = {
        "policy": "assay/policy/v1", "name": "hostile", "applies_to": {"kind": "model", "stage": "production"},
        "evidence": {"scan": {"type": "scan-result"}, "ev": {"type": "https://example.com/free/v1"}},
        "rules": [{"id": "hostile", "severity": "high"} | {k: v for k, v in rule.items() if k != "name"}],
    }
    start = time.process_time()
    try:
        decision = decide(ledger.view(), [read_policy(json.dumps(document).encode(), "hostile")], NOW)
        said = [decision.rules[-1].outcome, decision.rules[-1].reason, decision.rules[-1].observed.text, decision.answer]
    except PolicyError as error:
        said = ["refused", "", error.what + ": " + error.why, "refused"]
    print(json.dumps([rule["name"], time.process_time() - start, *said]))
try:  # the peak of getrusage begins with that of the parent, which may be a test run of any size
    peak_kib = int(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1])
except OSError:
    peak_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(json.dumps(peak_kib // 1024))
"""


def test_every_hostile_rule_is_stopped_and_none_passes() -> None:
    done = subprocess.run(
        [sys.executable, "-c", CHILD, str(CORPUS)], capture_output=True, text=True, timeout=120, check=True
    )
    *results, peak_mib = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(results) >= 50
    assert [r[0] for r in results if r[2] == "pass" or r[5] == "allow"] == []
    assert [r[:2] for r in results if r[1] >= 2] == []
    assert [r[0] for r in results if not r[4]] == [], "each says why"
    assert peak_mib < 512
