"""What the files of a model are, judged by content and without loading them.

Clean are only formats that hold data: arrays, tensors, plain text, and skops files whose every type is listed in its role.
Pickles run what they name, so a name outside a tiny list is never clean. Needs the standard library only.
Source: design, "Scan", section 2, "Verdict of a file".
"""

from __future__ import annotations

from collections.abc import Iterator

from assay.checks.model_file.judgement import Judgement
from assay.checks.model_file.readers import judged
from assay.core.assets import Asset, Kind
from assay.core.checks import Context, Family, check
from assay.core.outcomes import FileVerdict, Finding, Outcome, Progress, Severity, Skipped

ID = "model_file.format"
MAX_FINDINGS = 800
REFS = ("cwe:502", "mitre-atlas:AML.T0011.000")
REMEDIES = {
    "dangerous-global": "do not load this file; ask its author for weights in safetensors or skops",
    "computed-global": "do not load this file",
    "dangerous-type": "do not load this file",
    "unlisted-global": "save weights as safetensors, or scikit-learn models with skops",
    "unlisted-type": "use estimators of scikit-learn alone, or replace the type that is named",
    "object-array": "save numbers or text instead of objects",
}


@check(ID, kinds={Kind.MODEL}, version=1, family=Family.SCAN, maps_to=("mitre-atlas:AML.T0011.000",))
def format(asset: Asset, context: Context) -> Iterator[Outcome]:
    """What each file of a model is, and whether loading it could run code.

    One verdict a file, and a finding for each reason that a file is not clean: critical where it names something that can
    act, high for names and objects that are not listed, medium for what could not be looked at.
    """
    entries = asset.manifest.entries
    told = 0
    for number, entry in enumerate(entries):
        yield Progress(number, len(entries), entry.path)
        with context.open(asset, entry.path) as handle:
            judgement = judged(handle, entry.path, entry.size)
        for finding in _findings(entry.path, judgement):
            told += 1
            if told <= MAX_FINDINGS:
                yield finding
        yield FileVerdict(entry.path, entry.sha256, judgement.format, judgement.verdict)
    if told > MAX_FINDINGS:
        yield Skipped(
            f"{told - MAX_FINDINGS} findings", f"only the first {MAX_FINDINGS} are listed; every verdict counts"
        )
    yield Progress(len(entries), len(entries), "done")


def _findings(path: str, judgement: Judgement) -> Iterator[Finding]:
    for problem in judgement.problems:
        place = f"{path}!{problem.member}" if problem.member else path
        place += f"@{problem.offset}" if problem.offset is not None else ""
        refs = REFS if problem.severity is not Severity.MEDIUM else ()
        remedy = REMEDIES.get(problem.rule, "")
        yield Finding(f"model-file.{problem.rule}", problem.severity, place, problem.summary, remedy, refs)
