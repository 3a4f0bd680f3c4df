"""The few SVG elements that pictures are made of, as text."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable

from assay.surfaces.reports.inert import inert

STYLE = """
.p{--ink:#1b1f24;--soft:#57606a;--faint:#d8dee4;--paper:#ffffff;--one:#0072b2;--two:#b34d00;--good:#006b4f;--bad:#b3261e;
--zone:#eaf5f0;--off:#fbeeea;font:13px/1.3 system-ui,"Segoe UI",Roboto,"DejaVu Sans",sans-serif}
@media(prefers-color-scheme:dark){.p{--ink:#e6edf3;--soft:#9da7b1;--faint:#3b434b;--paper:#0d1117;--one:#6cb8f0;--two:#ffa860;
--good:#5fd3ae;--bad:#ff9086;--zone:#12261f;--off:#2a1a18}}
@media print{.p{--ink:#000;--soft:#444;--faint:#ccc;--paper:#fff;--one:#0072b2;--two:#b34d00;--good:#006b4f;--bad:#b3261e;
--zone:#eaf5f0;--off:#fbeeea}}
.p text{fill:var(--ink);font-size:12.5px}.p .soft{fill:var(--soft);font-size:11.5px}.p .head{font-weight:600;font-size:13px}
.p .grid{stroke:var(--faint);stroke-width:1}.p .axis{stroke:var(--soft);stroke-width:1}.p .limit{stroke:var(--ink);stroke-width:1.6;
stroke-dasharray:5 3}.p .chance{stroke:var(--soft);stroke-width:1.2;stroke-dasharray:2 4;fill:none}
.p .one{stroke:var(--one);fill:var(--one)}.p .two{stroke:var(--two);fill:var(--two)}.p .good{stroke:var(--good);fill:var(--good)}
.p .bad{stroke:var(--bad);fill:var(--bad)}.p .open{stroke:var(--soft);fill:var(--soft)}.p .bar{stroke-width:2.4;fill:none}
.p .curve{stroke-width:2;fill:none}.p .two.curve{stroke-dasharray:7 4}.p .mark{stroke-width:2}.p .hollow{fill:var(--paper)}
.p .zone{fill:var(--zone);stroke:none}.p .off{fill:var(--off);stroke:none}.p .columns{opacity:.35;stroke:none}
.p .word{font-weight:600;stroke:none}
""".replace("\n", "")
LETTER = 6.7
"""The usual width of a letter at our size, in pixels; there is no font here to measure with."""


def picture(width: float, height: float, title: str, about: str, parts: Iterable[str]) -> str:
    """A whole `<svg>`; `about` says in words what it shows, for whoever cannot see it."""
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="p" role="img" viewBox="0 0 {width:g} {height:g}" width="{width:g}" '
        f'height="{height:g}" style="max-width:100%;height:auto"><title>{escaped(title)}</title><desc>{escaped(about)}</desc>'
        f"<style>{STYLE}</style>{''.join(parts)}</svg>"
    )


def escaped(text: str) -> str:
    """Text that no XML or HTML reader acts on: one line, without control or invisible characters."""
    plain = inert(text)
    for letter, entity in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ('"', "&quot;"), ("'", "&#39;")):
        plain = plain.replace(letter, entity)
    return plain


def text(x: float, y: float, said: str, kind: str = "", anchor: str = "start", room: float = 0) -> str:
    """A line of text with its baseline at `y`, cut to `room` pixels if any; the whole stands in its tooltip then."""
    shown = clipped(said, room) if room else said
    whole = f"<title>{escaped(said)}</title>" if shown != said else ""
    return f'<text x="{x:.1f}" y="{y:.1f}"{_class(kind)} text-anchor="{anchor}">{escaped(shown)}{whole}</text>'


def line(x1: float, y1: float, x2: float, y2: float, kind: str) -> str:
    """A straight line."""
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"{_class(kind)}/>'


def box(x: float, y: float, width: float, height: float, kind: str) -> str:
    """A filled rectangle; nothing if it has no size."""
    if width <= 0 or height <= 0:
        return ""
    return f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}"{_class(kind)}/>'


def path(points: Iterable[tuple[float, float]], kind: str) -> str:
    """Straight lines from point to point."""
    steps = " ".join(f"{'L' if i else 'M'}{x:.1f} {y:.1f}" for i, (x, y) in enumerate(points))
    return f'<path d="{steps}"{_class(kind)}/>' if steps else ""


def mark(x: float, y: float, shape: str, kind: str) -> str:
    """A mark: `dot`, `square`, `diamond`; told apart without colour."""
    if shape == "square":
        return f'<rect x="{x - 4.5:.1f}" y="{y - 4.5:.1f}" width="9" height="9"{_class(f"mark {kind}")}/>'
    if shape == "diamond":
        corners = f"M{x - 6:.1f} {y:.1f}L{x:.1f} {y - 6:.1f}L{x + 6:.1f} {y:.1f}L{x:.1f} {y + 6:.1f}Z"
        return f'<path d="{corners}"{_class(f"mark {kind}")}/>'
    return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="5"{_class(f"mark {kind}")}/>'


def span(x1: float, x2: float, y: float, kind: str) -> str:
    """A horizontal interval with end caps."""
    return line(x1, y, x2, y, f"bar {kind}") + "".join(line(x, y - 4, x, y + 4, f"bar {kind}") for x in (x1, x2))


def rise(x: float, y1: float, y2: float, kind: str) -> str:
    """A vertical interval with end caps."""
    return line(x, y1, x, y2, f"bar {kind}") + "".join(line(x - 4, y, x + 4, y, f"bar {kind}") for y in (y1, y2))


def clipped(said: str, room: float) -> str:
    """As much of a text as fits into `room` pixels, with an ellipsis where it was cut."""
    said, used = inert(said), 0.0
    for place, letter in enumerate(said):
        used += LETTER * (1.8 if unicodedata.east_asian_width(letter) in "WF" else 1)
        if used > room:
            return said[: max(0, place - 1)] + "…"
    return said


def _class(kind: str) -> str:
    return f' class="{kind}"' if kind else ""
