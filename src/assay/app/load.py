"""Loads only what a scan of these very bytes called clean, under the same allow-lists: "scanned" and "loaded" mean the same bytes.

load_file(path, Lists())                     # one file: held still, judged, loaded by a built-in loader
load_copy(path, Lists(), loader)             # a file or folder: copied, every file of the copy judged, given to the loader
"""

from __future__ import annotations

import pickle
import struct
import zipfile
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from assay.app.guarded import copy_hashing
from assay.app.held import Held, hold
from assay.app.loaders import Loaded, load_as
from assay.app.scan import Scan, scan
from assay.checks.model_file.format import findings_of
from assay.checks.model_file.judge import judge
from assay.checks.model_file.judgement import Judgement
from assay.checks.model_file.lists import Lists
from assay.core.assets import Kind
from assay.core.errors import MalformedInput, MissingExtra, Refused, UsageError
from assay.core.outcomes import Finding, Verdict
from assay.formats.reading import read_facts

T = TypeVar("T")
MAX_TOLD = 3
_LOADING_FAILS = (
    pickle.UnpicklingError, AttributeError, EOFError, ImportError, LookupError, TypeError, ValueError, ArithmeticError, RuntimeError, OSError,
    AssertionError, struct.error, zipfile.BadZipFile, zlib.error,
)  # fmt: skip


class NotClean(Refused):
    """Something is not loaded, because a scan did not call it clean; `findings` say why.

    The exit code is 1 as for what is malicious or unknown, 3 where the scan could not come to an end.
    """

    def __init__(self, what: str, judged: Sequence[tuple[str, Judgement]]) -> None:
        self.findings: tuple[Finding, ...] = tuple(f for path, found in judged for f in findings_of(path, found))
        verdicts = {found.verdict for _, found in judged}
        shown = "; ".join(f"{f.rule} {f.summary} at {f.location}" for f in self.findings[:MAX_TOLD])
        more = f"; and {len(self.findings) - MAX_TOLD} more" if len(self.findings) > MAX_TOLD else ""
        why = f"{', '.join(sorted(map(str, verdicts)))}: {shown}{more}"
        super().__init__(
            f"{what} is not loaded", why, "see `assay scan` for every finding and its remedy", reason="not-clean"
        )
        self.exit_code = 3 if verdicts == {Verdict.INCONCLUSIVE} else 1


def load_file(path: Path, lists: Lists, verify: Callable[[Held], None] = lambda held: None) -> Loaded:
    """The object in one file. `verify` is asked first, about the bytes that are then judged and loaded.

    Raises:
        NotClean: the scan found something, or could not come to an end.
        UsageError: it is clean, and there is no built-in loader for what it is.
        MalformedInput: it is a link or no file, or its library cannot load it.
        MissingExtra: its library is not installed.
        ChangedMeanwhile: somebody wrote to it meanwhile.
    """
    if path.is_dir():
        raise UsageError(
            f"{path} is a folder",
            "which of its files is the model?",
            "name the file, or pass `loader=` to read the folder",
        )
    with hold(path) as held:
        verify(held)
        facts = read_facts(held.data, held.name)
        _refuse_unless_clean(str(path), [(held.name, judge(facts, lists))])
        loaded = _loaded(facts.format, held, lists)
        held.check()
    return loaded


def load_copy(path: Path, lists: Lists, loader: Callable[[Path], T]) -> T:
    """What `loader` makes of a private copy of a file or folder, every file of which was judged clean.

    Raises:
        NotClean: as `load_file`.
        MalformedInput, StorageError: a link or device, or there is no room for the copy.
    """
    with copy_hashing(path, Kind.MODEL) as copy:
        return load_judged(copy.path, str(path), lists, loader)


def load_judged(private: Path, name: str, lists: Lists, loader: Callable[[Path], T]) -> T:
    """What `loader` makes of a file or folder that nobody else writes to, once every file of it was judged clean.

    Raises:
        NotClean: as `load_file`.
    """
    base = private if private.is_dir() else private.parent
    judged = [(str(Path(found.path).relative_to(base)), found.judgement) for found in scan([str(private)], Scan(lists))]
    _refuse_unless_clean(name, judged)
    return loader(private)


def _refuse_unless_clean(name: str, judged: Sequence[tuple[str, Judgement]]) -> None:
    """Nothing to judge is not clean either, and cannot be: a copy has at least one file."""
    if bad := [(path, found) for path, found in judged if found.verdict is not Verdict.CLEAN]:
        raise NotClean(name, bad)


def _loaded(format: str, held: Held, lists: Lists) -> Any:  # Any: whatever the file holds
    try:
        return load_as(format, held, lists)
    except ModuleNotFoundError as error:
        why = f"its library is not installed: {error.name}"
        raise MissingExtra(
            f"{held.name} cannot be loaded", why, f"install {(error.name or '').partition('.')[0]}"
        ) from error
    except _LOADING_FAILS as error:
        raise MalformedInput(f"{held.name} cannot be loaded", f"{type(error).__name__}: {error}"[:300]) from error
