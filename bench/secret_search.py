"""Recall, precision and speed of the search for secrets, on texts made from a seed and on real code.

Made texts: contexts and names of the held-out split were never used to tune the rules; development ran on seeds below 1,000
and this script on 20261123 by default. Recall counts a planted value as found when a finding overlaps it; precision is over
findings in all made texts, positive and negative. Intervals are exact (Clopper and Pearson, 1934), 95 %.
Real code: every Python file of the installed libraries, taken as free of secrets; what is found there is listed to be read.
How to run: .venv/bin/python bench/secret_search.py [--seed 20261123] [--each 40] [--real]
"""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Iterable

from claims import HERE, Claim, options, show

sys.path.insert(0, str(HERE.parent))
from tests.corpus.secrets.made import Case, Split, negatives, positives

from assay.formats.secrets.engine import secrets_in
from assay.statistics.intervals import share_interval_exact

HELD_OUT_SEED = 20261123


def main() -> None:
    parser = options(__doc__)
    parser.set_defaults(seed=HELD_OUT_SEED)
    parser.add_argument("--each", type=int, default=40, help="cases of each kind")
    parser.add_argument("--split", choices=[*Split], default=Split.HELD_OUT)
    parser.add_argument("--real", action="store_true", help="also the installed libraries")
    parser.add_argument("--show", action="store_true", help="print what was missed or invented")
    asked = parser.parse_args()
    claims, notes = made(asked.seed, Split(asked.split), asked.each, asked.show)
    claims.append(speed())
    if asked.real:
        notes += real()
    show(claims, notes)


def made(seed: int, split: Split, each: int, is_shown: bool = False) -> tuple[list[Claim], list[str]]:
    """Recall, precision and the share of innocent texts in which something was found."""
    hidden, innocent = list(positives(seed, split, each)), list(negatives(seed, split, each))
    missed = [case for case in hidden if not _found(case)]
    invented = [case for case in innocent if list(secrets_in(case.text, case.path))]
    stray = sum(_stray(case) for case in hidden)
    right, wrong = len(hidden) - len(missed), len(invented) + stray
    recall = share_interval_exact(right, len(hidden))
    precision = share_interval_exact(right, right + wrong)
    if is_shown:
        _tell(missed, "missed")
        _tell(invented, "invented")
    claims = [
        Claim("secrets: recall on planted values", right / len(hidden), "share", 0.98, "higher"),
        Claim("secrets: precision", right / (right + wrong), "share", 0.98, "higher"),
        Claim("secrets: innocent texts with a finding", len(invented) / len(innocent), "share", 0.02),
    ]
    notes = [
        f"seed {seed}, {split}: recall {right}/{len(hidden)} [{recall.low:.4f}, {recall.high:.4f}], precision "
        f"{right}/{right + wrong} [{precision.low:.4f}, {precision.high:.4f}], innocent {len(invented)}/{len(innocent)}",
        f"missed by kind: {dict(Counter(c.kind for c in missed))}; invented by kind: {dict(Counter(c.kind for c in invented))}; stray {stray}",
    ]
    return claims, notes


def _found(case: Case) -> bool:
    start = case.text.find(_first_line(case))
    end = start + len(_first_line(case))
    return any(fact.offset < end and start < fact.offset + fact.length for fact in secrets_in(case.text, case.path))


def _stray(case: Case) -> int:
    """Findings that touch no planted value; the key id of a pair is planted too."""
    if case.kind == "aws-pair":
        return 0
    start = case.text.find(_first_line(case))
    end = start + len(case.value or "") * 2
    return sum(not (f.offset < end and start < f.offset + f.length) for f in secrets_in(case.text, case.path))


def _first_line(case: Case) -> str:
    return (case.value or "").split("\n")[0]


def _tell(cases: Iterable[Case], what: str) -> None:
    for case in list(cases)[:60]:
        print(f"{what} {case.kind}: {case.text[:160]!r}", file=sys.stderr)


def speed() -> Claim:
    """Ten megabytes of real Python."""
    folder = HERE.parent / ".venv/lib"
    text = ""
    for path in sorted(folder.rglob("*.py")):
        text += path.read_text(errors="replace")
        if len(text) > 10_000_000:
            break
    start = time.process_time()
    list(secrets_in(text[:10_000_000], "text"))
    return Claim("secrets: 10 MB of code", time.process_time() - start, "CPU s", 2.0)


def real() -> list[str]:
    """What is found in the installed libraries."""
    notes, files, with_findings = [], 0, 0
    for path in sorted((HERE.parent / ".venv/lib").rglob("*.py")):
        files += 1
        text = path.read_text(errors="replace")
        found = list(secrets_in(text, str(path.relative_to(HERE.parent))))
        with_findings += bool(found)
        notes += [f"{f.rule} {f.where}:{f.line} {f.masked}" for f in found[:3]]
    high = share_interval_exact(with_findings, files).high
    return [
        f"installed libraries: {with_findings} of {files} files with a finding (95 % upper bound {high:.5f})",
        *notes[:60],
    ]


if __name__ == "__main__":
    main()
