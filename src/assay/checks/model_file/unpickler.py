"""Loads a pickle that was judged clean, and nothing else: the bytes are judged first, then unpickled under the same list.

Judging sees arguments, states and codes; `find_class` alone does not, so it is only the second line: it refuses every name
without an entry, at the moment of loading. Extension codes are refused even where `copyreg` has cached one.

    value = load_pickle(data)                      # raises Refused with the reasons, or MalformedInput
"""

from __future__ import annotations

import io
import pickle
from collections.abc import Callable, Iterable
from typing import Any

from assay.checks.model_file.judge import judge
from assay.checks.model_file.judgement import Judgement
from assay.checks.model_file.lists import Lists, default_lists, spellings
from assay.core.errors import MalformedInput, Refused
from assay.core.outcomes import Verdict
from assay.formats.facts import FileFacts
from assay.formats.pickle_file import PickleFile


def load_pickle(
    data: bytes, lists: Lists | None = None, *, storages: Callable[[object], object] | None = None
) -> Any:  # Any: whatever was pickled
    """The value of one pickle, if the same lists that scan it call it clean.

    Args:
        data: The bytes; what is judged is what is loaded.
        lists: The allow-lists; default those that ship with Assay.
        storages: Called with the persistent id of a tensor storage; without it persistent ids are refused.

    Raises:
        Refused: the bytes are not clean; the message names the reasons.
        MalformedInput: the unpickler failed, or asked for a name that has no entry.
    """
    chosen = lists or default_lists()
    reader = PickleFile(data)
    judgement = judge(FileFacts(reader.format, tuple(reader.read())), chosen)
    if judgement.verdict is not Verdict.CLEAN:
        raise Refused(
            "the pickle is not loaded",
            _reasons(judgement),
            "load only files that `assay scan` calls clean",
            reason="not-clean",
        )
    try:
        return ListedUnpickler(data, chosen, storages).load()
    except (
        pickle.UnpicklingError,
        AttributeError,
        EOFError,
        ImportError,
        IndexError,
        KeyError,
        TypeError,
        ValueError,
        OverflowError,
    ) as error:
        raise MalformedInput("the pickle cannot be loaded", f"{type(error).__name__}: {error}"[:300]) from error


class ListedUnpickler(pickle.Unpickler):
    """An unpickler that imports listed names only. Use `load_pickle`: names are not enough to call a stream harmless."""

    def __init__(self, data: bytes, lists: Lists, storages: Callable[[object], object] | None = None) -> None:
        super().__init__(io.BytesIO(data))
        self._lists, self._storages = lists, storages

    def find_class(self, module: str, name: str) -> Any:  # Any: a class or function
        """The object of a listed name.

        Raises:
            UnpicklingError: the name has no entry.
        """
        if not all(self._lists.find(*spelling) for spelling in spellings(module, name)):
            raise pickle.UnpicklingError(f"{module}.{name} is on no allow-list")
        return super().find_class(module, name)

    def persistent_load(self, pid: Any) -> Any:  # Any: as the base class says
        """A storage, where the caller knows storages."""
        if self._storages is None:
            raise pickle.UnpicklingError("persistent ids are not expected here")
        return self._storages(pid)


def _reasons(judgement: Judgement) -> str:
    shown: Iterable[str] = (f"{problem.rule} {problem.summary}" for problem in judgement.problems[:5])
    return f"{judgement.verdict}: " + "; ".join(shown)
