"""A page for people: the answer, every rule, pictures of what was seen, and the evidence. One file, no script, no network.

The page says by a content security policy that nothing may be loaded or run, and all text from outside is made inert and
escaped, so names and findings of an attacker are shown and never obeyed.
"""

from __future__ import annotations

from collections.abc import Iterator

from assay.core.decisions import Answer, RuleOutcome, RuleResult
from assay.core.digests import shown
from assay.core.outcomes import Measurement
from assay.surfaces.reports import wording
from assay.surfaces.reports.entries import Entry, entries_of, summary_of
from assay.surfaces.reports.figures import Measured, measured_figures
from assay.surfaces.reports.plots.svg import escaped
from assay.surfaces.reports.results import CheckRun, DecisionReport, Figure, Report, ScanReport

_STYLE = """
:root{color-scheme:light dark;--ink:#1b1f24;--soft:#57606a;--line:#d8dee4;--paper:#fff;--card:#f6f8fa;--good:#006b4f;--bad:#b3261e;
--open:#7a4b00}
@media(prefers-color-scheme:dark){:root{--ink:#e6edf3;--soft:#9da7b1;--line:#3b434b;--paper:#0d1117;--card:#161b22;--good:#5fd3ae;
--bad:#ff9086;--open:#ffc46b}}
*{box-sizing:border-box}body{margin:0 auto;max-width:1000px;padding:28px 24px 64px;background:var(--paper);color:var(--ink);
font:15px/1.5 system-ui,"Segoe UI",Roboto,"DejaVu Sans",sans-serif}h1{font-size:26px;margin:0 0 4px}h2{font-size:18px;margin:36px 0 10px}
h3{font-size:15px;margin:26px 0 6px}p{margin:6px 0;max-width:75ch}.soft{color:var(--soft)}code{font:13px ui-monospace,"DejaVu Sans Mono",monospace;
overflow-wrap:anywhere}table{border-collapse:collapse;width:100%;font-size:14px}th,td{text-align:left;vertical-align:top;padding:7px 12px 7px 0;
border-bottom:1px solid var(--line)}th{color:var(--soft);font-weight:600}td{overflow-wrap:anywhere}td:first-child{white-space:nowrap}
.pass{color:var(--good);font-weight:600}
.fail{color:var(--bad);font-weight:700}.undecided{color:var(--open);font-weight:600}.waived,.not-applicable{color:var(--soft);font-weight:600}
.answer{border-left:6px solid currentColor;padding:6px 0 6px 16px;margin-bottom:18px}.answer p,.answer h1 span{color:var(--ink)}
figure{margin:12px 0 30px;padding:18px 18px 12px;border:1px solid var(--line);border-radius:8px;overflow-x:auto}
figcaption{color:var(--soft);font-size:13.5px;max-width:80ch;margin-top:8px}dl{display:grid;grid-template-columns:max-content 1fr;gap:4px 16px;margin:8px 0}
dt{color:var(--soft)}dd{margin:0;overflow-wrap:anywhere}.card{background:var(--card);border-radius:8px;padding:10px 16px;margin:10px 0}
@media print{body{max-width:none}figure{break-inside:avoid}}
""".replace("\n", "")
_ANSWERS = {Answer.ALLOW: "pass", Answer.DENY: "fail", Answer.UNDECIDED: "undecided"}


def render(report: Report) -> str:
    """The whole page."""
    made = f"Made by Assay {escaped(report.tool_version)}"
    if isinstance(report, DecisionReport):
        title, body = f"{report.decision.answer}: {report.context.asset}", "\n".join(_decision(report))
        made += f" as of {escaped(report.decision.now)}"
    else:
        title, body = "Assay: checks", "\n".join(_scan(report))
    policy = "default-src 'none'; style-src 'unsafe-inline'"
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}"><meta name="referrer" content="no-referrer">'
        f"<title>{escaped(title)}</title><style>{_STYLE}</style></head>\n<body>\n{body}\n"
        f'<p class="soft">{made}. This page loads nothing and runs nothing.</p>\n</body></html>\n'
    )


def _decision(report: DecisionReport) -> Iterator[str]:
    decision, context = report.decision, report.context
    where = f"{escaped(context.asset)} to {escaped(decision.stage)}"
    yield f'<header class="answer {_ANSWERS[decision.answer]}"><h1>{decision.answer}<span>: {where}</span></h1>'
    yield f"<p>{escaped(wording.counts(rule.outcome for rule in decision.rules))}</p>"
    yield from (f"<p>{escaped(line)}</p>" for line in wording.circumstances(report))
    yield "</header><dl>"
    for name, value in _facts(report):
        yield f"<dt>{name}</dt><dd>{value}</dd>"
    yield "</dl>"
    yield "<h2>Rules</h2><table><thead><tr><th>outcome</th><th>rule</th><th>observed</th><th>needed</th></tr></thead><tbody>"
    rules = wording.in_reading_order(decision.rules)
    for rule in rules:
        title = f'<br><span class="soft">{escaped(rule.title)}</span>' if rule.title else ""
        yield (f'<tr><td class="{rule.outcome}">{escaped(str(rule.outcome))}</td><td><code>{escaped(rule.id)}</code>{title}</td>'
               f"<td>{escaped(wording.observed(rule.observed)) or '-'}</td><td>{escaped(rule.needed)}</td></tr>")  # fmt: skip
    yield "</tbody></table>"
    open_rules = [rule for rule in rules if rule.outcome not in (RuleOutcome.PASS, RuleOutcome.NOT_APPLICABLE)]
    if open_rules:
        yield "<h2>What would change the answer</h2>"
        for rule in open_rules:
            yield from _why(rule)
    yield from _figures(context.figures)
    yield from _evidence(report)


def _facts(report: DecisionReport) -> Iterator[tuple[str, str]]:
    decision, context = report.decision, report.context
    yield (
        "policy",
        f"<code>{escaped(decision.policy_name)}</code> <code>{escaped(shown(decision.policy_digest))}</code>",
    )
    yield "asset", f"<code>{escaped(shown(decision.subject))}</code>"
    if decision.baseline:
        yield "compared with", f"{escaped(context.baseline_name)} <code>{escaped(shown(decision.baseline))}</code>"
    yield "ledger", f"<code>{escaped(decision.ledger_origin)}</code>, {decision.ledger_size:,} entries"
    yield "recorded as", f"<code>{escaped(shown(context.statement))}</code>" if context.statement else "not recorded"


def _why(rule: RuleResult) -> Iterator[str]:
    yield f'<div class="card"><code>{escaped(rule.id)}</code> <span class="{rule.outcome}">{escaped(str(rule.outcome))}</span> ({rule.severity})'
    if wording.why(rule):
        yield f"<p>{escaped(wording.why(rule))}</p>"
    if wording.fix(rule):
        yield f"<p>To do: {escaped(wording.fix(rule))}</p>"
    if rule.refs:
        yield f'<p class="soft">{escaped(", ".join(rule.refs))}</p>'
    yield "</div>"


def _figures(figures: tuple[Figure, ...]) -> Iterator[str]:
    if figures:
        yield "<h2>What was seen</h2>"
    for figure in figures:
        yield f"<h3>{escaped(figure.title)}</h3><figure>{figure.svg}<figcaption>{escaped(figure.caption)}</figcaption></figure>"


def _evidence(report: DecisionReport) -> Iterator[str]:
    statements = wording.cited_once(report.decision)
    if not statements:
        return
    yield f"<h2>Evidence: {len(statements)} statements</h2><table><thead><tr><th>alias</th><th>statement</th><th>signer</th>"
    yield "<th>age</th><th>runs</th></tr></thead><tbody>"
    for item in statements:
        yield (f"<tr><td>{escaped(item.alias)}</td><td><code>{escaped(shown(item.digest))}</code></td>"
               f"<td>{escaped(wording.signer(item))}</td><td>{escaped(wording.age(item))}</td><td>{item.attempts}</td></tr>")  # fmt: skip
    yield "</tbody></table>"


def _scan(report: ScanReport) -> Iterator[str]:
    entries = entries_of(report)
    yield f'<header class="answer {_scan_class(report)}"><h1><span>{escaped(summary_of(entries))}</span></h1></header>'
    yield "<h2>Results</h2><table><thead><tr><th>outcome</th><th>what</th><th>where</th><th></th></tr></thead><tbody>"
    for entry in sorted(entries, key=lambda e: wording.WORST_FIRST.index(e.outcome)):
        place = f"{entry.path}:{entry.line}" if entry.line else entry.about
        yield (f'<tr><td class="{entry.outcome}">{escaped(str(entry.outcome))}</td><td><code>{escaped(entry.id)}</code></td>'
               f"<td><code>{escaped(place)}</code></td><td>{escaped(entry.lines[0])}{_waiver(entry)}</td></tr>")  # fmt: skip
    yield "</tbody></table>"
    measured = [run for run in report.runs if run.measurements]
    if measured:
        yield "<h2>Measurements</h2><table><thead><tr><th>check</th><th>number</th><th>value</th><th>rows</th></tr></thead><tbody>"
        for run in measured:
            yield from (_measurement(run, m) for m in run.measurements)
        yield "</tbody></table>"
    for asset in dict.fromkeys(run.asset for run in measured):
        mine = Measured(asset, [m for run in measured if run.asset == asset for m in run.measurements])
        yield from _figures(tuple(measured_figures([mine])))


def _measurement(run: CheckRun, m: Measurement) -> str:
    place = "".join(f" {word} {name}" for word, name in (("of", m.group), ("in", m.slice)) if name)
    spread = f" [{m.low:.4g}, {m.high:.4g}]" if m.low is not None and m.high is not None and m.low != m.high else ""
    valid = "" if m.valid else ' <span class="fail">not valid</span>'
    return (f"<tr><td><code>{escaped(run.check)}</code> on {escaped(run.asset)}</td><td>{escaped(m.metric + place)}</td>"
            f"<td>{m.value:.4g}{spread} {escaped(m.unit)}{valid}</td><td>{m.n:,}</td></tr>")  # fmt: skip


def _waiver(entry: Entry) -> str:
    return f'<br><span class="soft">waived by {escaped(entry.waived_by)}</span>' if entry.waived_by else ""


def _scan_class(report: ScanReport) -> str:
    return {0: "pass", 1: "fail"}.get(report.exit_code, "undecided")
