"""Are all checks found, and is what cannot be imported said aloud?"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from tests.unit.app_runner import trial_checks

import assay.checks
from assay.app.runner.discovery import Catalogue, discover, select
from assay.core.assets import Kind
from assay.core.errors import UsageError

CHECK = '''
from assay.core.assets import Kind
from assay.core.checks import check

@check("{id}", kinds={{Kind.CODE}}, version=1)
def body(asset, context):
    """Looks."""
    yield from ()
'''


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder on the path where a test installs a package that brings checks."""
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


def _install(folder: Path, name: str, body: str, points: str) -> None:
    (folder / f"{name}.py").write_text(body)
    info = folder / f"{name}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[assay.checks]\n{points}\n")


def test_built_in_checks_are_found_in_order() -> None:
    found = discover()
    assert list(found.checks) == sorted(found.checks)
    assert all(check.id == id for id, check in found.checks.items())


@pytest.mark.parametrize("point", ["ours_{n} = their_checks_{n}", "ours_{n} = their_checks_{n}:body"])
def test_checks_of_other_packages_are_found_by_module_and_by_name(package: Path, point: str) -> None:
    n = len(point)
    _install(package, f"their_checks_{n}", CHECK.format(id=f"their.check-{n}"), point.format(n=n))
    assert f"their.check-{n}" in discover().checks


@pytest.mark.parametrize(
    ("name", "body", "said"),
    [
        ("broken_import", "import no_such_module_here", "no_such_module_here"),
        ("broken_code", "1 / 0", "ZeroDivisionError"),
        ("empty_module", "x = 1", "neither a check nor a module"),
    ],
)
def test_a_broken_entry_point_is_a_problem_not_a_crash(package: Path, name: str, body: str, said: str) -> None:
    _install(package, name, body, f"theirs = {name}")
    (problem,) = (problem for problem in discover().problems if name in problem.source)
    assert said in problem.error


def test_a_broken_module_of_our_own_is_a_problem_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "broken_family.py").write_text("raise RuntimeError('broken')")
    monkeypatch.setattr(assay.checks, "__path__", [*assay.checks.__path__, str(tmp_path)])
    assert ("assay.checks.broken_family", "RuntimeError: broken") in [(p.source, p.error) for p in discover().problems]


def test_two_checks_of_one_id_are_an_error(package: Path) -> None:
    _install(package, "twin_one", CHECK.format(id="twin.check"), "one = twin_one")
    _install(package, "twin_two", CHECK.format(id="twin.check"), "two = twin_two")
    with pytest.raises(UsageError, match=r"twin\.check"):
        discover()


def test_patterns_select_checks_of_one_kind() -> None:
    catalogue = Catalogue({check.id: check for check in trial_checks.by_name().values()})
    assert [check.id for check in select(catalogue, Kind.MODEL, ["trial.n[ao]*"])] == [
        id for id in catalogue.checks if id.startswith(("trial.na", "trial.no"))
    ]
    assert select(catalogue, Kind.DATASET, ["trial.*"]) == ()
    assert len(select(catalogue, Kind.MODEL)) == len(catalogue.checks)


def test_a_pattern_without_a_match_is_answered_with_the_nearest() -> None:
    catalogue = Catalogue({check.id: check for check in trial_checks.by_name().values()})
    with pytest.raises(UsageError, match=r"did you mean 'trial\.random'"):
        select(catalogue, Kind.MODEL, ["trial.randon"])


def test_listing_imports_nothing_heavy() -> None:
    program = (
        "import sys; from assay.app.runner.discovery import discover; discover(); "
        "print([name for name in ('numpy', 'scipy', 'sklearn', 'skops', 'torch', 'rich') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
