"""What the files of a model are, judged by content and without loading them.

Every file is read into facts and the facts are judged against allow-lists of exact names; what no list has is unknown, what was not read to
its end is inconclusive. Only clean passes. Needs the standard library only.
`docs/reference/rules.md` lists the rules, what each decides and what to do.
"""

from __future__ import annotations

from collections.abc import Iterator

from assay.checks.model_file.judge import judge
from assay.checks.model_file.judgement import MAX_PROBLEMS, Judgement, Problem
from assay.checks.model_file.lists import AddedList, Lists
from assay.checks.model_file.readers import facts_of
from assay.checks.model_file.stored import Keeper
from assay.core.assets import Asset, Kind
from assay.core.checks import Context, Family, check
from assay.core.outcomes import Facts, FileVerdict, Finding, Outcome, Progress, Skipped
from assay.formats.facts import SCHEMA

ID = "model_file.format"
MAX_FINDINGS = 800


@check(
    ID,
    kinds={Kind.MODEL},
    version=4,
    family=Family.SCAN,
    maps_to=("mitre-atlas:AML.T0011.000",),
    defaults={"lists": []},
)
def format(asset: Asset, context: Context) -> Iterator[Outcome]:
    """What each file of a model is, and whether loading it could run code.

    One verdict a file, and a finding for each reason that a file is not clean, up to 800. The facts that were judged are kept, so that
    later lists judge them again. The option `lists` holds the allow-lists that `lists` in `assay.yaml` or `--lists` name.

    Limits: a name on the lists is trusted for the versions that were read; weights themselves can still be poisoned.
    """
    entries = asset.manifest.entries
    lists = Lists(AddedList(item["name"], item["text"].encode()) for item in context.options["lists"])
    keeper, told = Keeper(), 0
    for number, entry in enumerate(entries):
        yield Progress(number, len(entries), entry.path)
        with context.open(asset, entry.path) as handle:
            facts = facts_of(handle, entry.path, entry.size)
        keeper.keep(entry, facts)
        judgement = judge(facts, lists)
        for finding in findings_of(entry.path, judgement):
            told += 1
            if told <= MAX_FINDINGS:
                yield finding
        yield FileVerdict(entry.path, entry.sha256, judgement.format, judgement.verdict)
    if told > MAX_FINDINGS:
        yield Skipped(
            f"{told - MAX_FINDINGS} findings", f"only the first {MAX_FINDINGS} are listed; every verdict counts"
        )
    yield Facts(keeper.blob(), SCHEMA, lists.digests())
    yield Progress(len(entries), len(entries), "done")


def findings_of(path: str, judgement: Judgement) -> Iterator[Finding]:
    """The problems of one file as findings."""
    yield from (finding_of(path, problem) for problem in judgement.problems[:MAX_PROBLEMS])


def finding_of(path: str, problem: Problem) -> Finding:
    """One problem as a finding; its place is `path!member@offset`."""
    rule = problem.meaning
    place = f"{path}!{problem.member}" if problem.member else path
    place += f"@{problem.offset}" if problem.offset is not None else ""
    return Finding(rule.id, rule.severity, place, f"{rule.title}: {problem.summary}", rule.remedy, rule.refs)
