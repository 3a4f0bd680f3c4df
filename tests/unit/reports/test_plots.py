"""Pictures: sound SVG whatever the names and numbers are, and marks where the numbers say."""

from __future__ import annotations

import math
import re
from dataclasses import replace
from xml.etree import ElementTree

import numpy as np
import pytest
from tests.unit.policy.good_model import decided, good_ledger, pack
from tests.unit.reports.samples import CHECKED, GATE
from tests.unit.reports.test_injection import HOSTILE

from assay.core.decisions import RuleOutcome
from assay.core.outcomes import Measurement
from assay.statistics.ranks import Scores, found_draws
from assay.statistics.tables import row_ids, write_table
from assay.surfaces.reports import FORMATS
from assay.surfaces.reports.decision_figures import figures_of
from assay.surfaces.reports.figures import Measured, measured_figures
from assay.surfaces.reports.plots.curves import Curve, Point, reliability, robustness, roc
from assay.surfaces.reports.plots.intervals import Row, changes, limits
from assay.surfaces.reports.plots.rates import Rate, Series, group_rates
from assay.surfaces.reports.plots.scales import Scale, covering, number
from assay.surfaces.reports.plots.svg import clipped, escaped

SVG = "{http://www.w3.org/2000/svg}"


def rows(name: str, value: float = 0.01) -> list[Row]:
    outcomes = (RuleOutcome.PASS, RuleOutcome.FAIL, RuleOutcome.UNDECIDED, RuleOutcome.WAIVED)
    return [Row(name, outcome, value, value - 0.02, value + 0.02, -0.03, 1200, name, name) for outcome in outcomes]


def points(value: float = 0.5) -> list[Point]:
    return [Point(x, value, value - 0.1, value + 0.1, 400) for x in (0.01, 0.1, 0.5)]


def every_picture(name: str, value: float = 0.5) -> list[str]:
    curves = [Curve(name, points(value), name), Curve("b", points(0.2))]
    rates = [Rate(name, value, value - 0.1, value + 0.1, 12), Rate("g", 0.5, 0.4, 0.6, 300)]
    return [changes(rows(name, value)), limits(rows(name, value)), robustness(curves, name), roc(curves, 0.01, 0.001),
            reliability(curves), group_rates(name, [Series(name, rates), Series("b", rates)])]  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_no_name_adds_an_element_a_link_or_a_letter_that_acts(name: str) -> None:
    plain, hostile = every_picture("plain"), every_picture(HOSTILE[name])
    for mine, theirs in zip(plain, hostile, strict=True):
        tree = ElementTree.fromstring(theirs)
        tags = {element.tag.removeprefix(SVG) for element in tree.iter()}
        assert tags <= {"svg", "title", "desc", "style", "text", "line", "rect", "circle", "path"}
        attributes = {key for element in tree.iter() for key in element.attrib}
        assert attributes == {key for element in ElementTree.fromstring(mine).iter() for key in element.attrib}
        assert "://" not in theirs.replace("http://www.w3.org/2000/svg", "").replace(escaped(HOSTILE[name]), "") or name in (
            "markdown", "autolink", "ansi",
        )  # fmt: skip
        assert theirs.isprintable()


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 1e300, -1e300, 0.0])
def test_no_number_breaks_a_picture(value: float) -> None:
    for picture in every_picture("a", value):
        ElementTree.fromstring(picture)
        places = re.findall(r' (?:x|y|x1|x2|y1|y2|cx|cy|width|height|d)="([^"]*)"', picture)
        assert not [place for place in places if re.search("nan|inf|e\\+", place)]


def test_an_empty_picture_is_a_picture() -> None:
    for picture in (robustness([], "eps"), roc([], 0.01, 0.001), reliability([]), group_rates("rate", [])):
        ElementTree.fromstring(picture)


def test_marks_stand_where_the_numbers_say_and_outcomes_differ_by_shape() -> None:
    picture = ElementTree.fromstring(changes(rows("a")))
    shapes = [e.tag.removeprefix(SVG) for e in picture.iter() if "mark" in e.get("class", "").split()]
    assert shapes == ["circle", "rect", "path", "path"]
    words = [e.text for e in picture.iter(f"{SVG}text")]
    assert {"pass", "fail", "undecided", "waived", "margin", "no change"} <= set(words)
    assert any("n=1,200" in (word or "") for word in words)
    scale = Scale(0, 10, 100, 200)
    assert (scale.at(0), scale.at(5), scale.at(10), scale.at(11)) == (100, 150, 200, 200)
    assert Scale(0.001, 1, 0, 300, is_log=True).at(0.01) == pytest.approx(100)


@pytest.mark.parametrize(("low", "high"), [(0, 1), (-0.02, 0.013), (0, 12345), (1e-7, 3e-7), (5, 5.0001)])
def test_ticks_are_few_round_and_inside(low: float, high: float) -> None:
    ticks = Scale(low, high, 0, 100).ticks()
    assert 2 <= len(ticks) <= 8 and low - 1e-9 <= ticks[0] and ticks[-1] <= high + 1e-9
    assert all(len(number(tick)) <= 9 for tick in ticks)
    assert covering([0.5], 0, 1).low < 0.5 < covering([0.5], 0, 1).high


def test_long_and_wide_names_are_cut_and_stand_whole_in_a_tooltip() -> None:
    assert clipped("short", 100) == "short"
    assert len(clipped("x" * 100, 100)) < 20 and clipped("x" * 100, 100).endswith("…")
    assert len(clipped("数" * 100, 100)) < len(clipped("x" * 100, 100))
    assert f"<title>{'x' * 60}</title>" in changes(rows("x" * 60))


def measured(metric: str, value: float, **other: object) -> Measurement:
    made = Measurement(metric, value, "share", "higher", 100, value - 0.1, value + 0.1)
    return replace(made, **other)  # type: ignore[arg-type]  # fields by name


def test_checks_show_groups_and_strengths_without_a_decision() -> None:
    mine = Measured("m", [measured("tpr", 0.5, group="a"), measured("tpr", 0.7, group="b"),
                          measured("robust_accuracy", 0.9, slice="eps=0"), measured("robust_accuracy", 0.4, slice="eps=0.1"),
                          measured("robust_accuracy", 0.2, slice="eps=nan"), measured("accuracy", 0.9)])  # fmt: skip
    figures = list(measured_figures([mine]))
    assert [figure.title for figure in figures] == ["Tpr by group", "Robust accuracy by strength of attack"]
    assert "0.4 at 0.1" in figures[1].svg and "nan" not in figures[1].svg


def test_a_decision_shows_its_rules_and_the_curves_behind_them() -> None:
    ledger, rng = good_ledger(), np.random.default_rng(1)
    member, score = np.arange(4000) % 2, rng.normal(size=4000) + 0.4 * (np.arange(4000) % 2)
    ids = row_ids([b"%d" % i for i in range(4000)])
    table = ledger.keep(write_table(ids, {"member": member, "score": score}, {}))
    sure = ledger.keep(write_table(ids, {"score": rng.random(4000), "ok": rng.random(4000) < 0.8}, {}))
    truth = found_draws(Scores(score[member == 1], score[member == 0]), 0.01, 100, rng).estimate
    for place, evidence in enumerate(ledger.evidence):
        for metric, digest in (("tpr_at_fpr_001", table), ("expected_calibration_error", sure)):
            items = evidence.predicate.get("measurements", [])
            made = [m | ({"outcomes": digest} if m["metric"] == metric else {}) for m in items]
            if made:
                evidence = replace(evidence, predicate={**evidence.predicate, "measurements": made})
                ledger.evidence[place] = evidence
    view, policy = ledger.view(), pack()
    figures = {
        f.title: f for f in figures_of(decided(view), {rule.id: rule.test for rule in policy.rules}, view, "credit@1")
    }
    assert {"Changes against what is compared with", "Values against their limits",
            "True positives at low false positive rates", "Reliability of the probabilities"} <= figures.keys()  # fmt: skip
    drawn = re.findall(r"([\d.]+) at 0.01", figures["True positives at low false positive rates"].svg)
    assert drawn and truth > 0
    for figure in figures.values():
        ElementTree.fromstring(figure.svg)


def test_a_page_runs_and_loads_nothing() -> None:
    figures = tuple(
        measured_figures([Measured("m", [measured("tpr", 0.5, group="<b>"), measured("tpr", 0.7, group="b")])])
    )
    for report in (replace(GATE, context=replace(GATE.context, figures=figures)), CHECKED):
        page = FORMATS["html"](report)
        assert "default-src 'none'" in page and "<script" not in page and "<img" not in page
        assert not re.search(r"(?:src|href)=|url\(|@import", page)
        assert set(re.findall(r"https?://[^\"' <]*", page)) <= {"http://www.w3.org/2000/svg"}
    assert FORMATS["html"](GATE).count("<tr>") >= len(GATE.decision.rules)


def test_the_comment_names_the_page_that_has_the_pictures() -> None:
    told = FORMATS["markdown"](replace(GATE, context=replace(GATE.context, page="gate.html")))
    assert "<code>gate.html</code>" in told and "gate.html" not in FORMATS["markdown"](GATE)
