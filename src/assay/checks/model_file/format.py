"""What the files of a model are, judged by content and without loading them.

Every file is read into facts and the facts are judged against allow-lists of exact names; what no list has is unknown, what
was not read to its end is inconclusive. Only clean passes. Needs the standard library only.
Source: design, "Scan", section 2, "Verdict of a file".
"""

from __future__ import annotations

from collections.abc import Iterator

from assay.checks.model_file.judgement import MAX_PROBLEMS, Judgement
from assay.checks.model_file.readers import judged
from assay.core.assets import Asset, Kind
from assay.core.checks import Context, Family, check
from assay.core.outcomes import FileVerdict, Finding, Outcome, Progress, Skipped

ID = "model_file.format"
MAX_FINDINGS = 800


@check(ID, kinds={Kind.MODEL}, version=2, family=Family.SCAN, maps_to=("mitre-atlas:AML.T0011.000",))
def format(asset: Asset, context: Context) -> Iterator[Outcome]:
    """What each file of a model is, and whether loading it could run code.

    One verdict a file, and a finding for each reason that a file is not clean. Rules are those of `rules.RULES`.
    """
    entries = asset.manifest.entries
    told = 0
    for number, entry in enumerate(entries):
        yield Progress(number, len(entries), entry.path)
        with context.open(asset, entry.path) as handle:
            judgement = judged(handle, entry.path, entry.size)
        for finding in findings_of(entry.path, judgement):
            told += 1
            if told <= MAX_FINDINGS:
                yield finding
        yield FileVerdict(entry.path, entry.sha256, judgement.format, judgement.verdict)
    if told > MAX_FINDINGS:
        yield Skipped(
            f"{told - MAX_FINDINGS} findings", f"only the first {MAX_FINDINGS} are listed; every verdict counts"
        )
    yield Progress(len(entries), len(entries), "done")


def findings_of(path: str, judgement: Judgement) -> Iterator[Finding]:
    """The problems of one file as findings; a place is `path!member@offset`."""
    for problem in judgement.problems[:MAX_PROBLEMS]:
        rule = problem.meaning
        place = f"{path}!{problem.member}" if problem.member else path
        place += f"@{problem.offset}" if problem.offset is not None else ""
        summary = f"{rule.title}: {problem.summary}"
        yield Finding(rule.id, rule.severity, place, summary, rule.remedy, rule.refs)
