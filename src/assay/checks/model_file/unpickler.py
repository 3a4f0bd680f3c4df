"""Unpicklers that import listed names only. The second line: use them for streams that were judged clean, never instead of judging.

Judging sees arguments, states, extension codes and what is hidden behind the end; `find_class` sees a name alone. It refuses every
name without an entry at the moment of loading, and hands out what the name itself says: no attribute of an attribute, nothing that
`copyreg` has cached. Persistent ids are refused except where torch brings a reader of its own storages.
"""

from __future__ import annotations

import pickle
from types import ModuleType
from typing import IO, TYPE_CHECKING, Any

from assay.checks.model_file.lists import Lists, spellings

if TYPE_CHECKING:
    _Base = pickle.Unpickler
else:
    _Base = object


class ListedNames(_Base):
    """A mix-in for classes of unpicklers; `lists` says which names may be imported."""

    lists: Lists

    def find_class(self, module: str, name: str) -> Any:  # Any: a class or function
        """The object of a listed name.

        Raises:
            UnpicklingError: the name has no entry.
        """
        if not all(self.lists.find(*spelling) for spelling in spellings(module, name)):
            raise pickle.UnpicklingError(f"{module}.{name} is on no allow-list")
        return super().find_class(module, name)


class ListedUnpickler(ListedNames, pickle.Unpickler):
    """Reads one plain pickle from a file."""

    def __init__(self, file: IO[bytes], lists: Lists) -> None:
        super().__init__(file)
        self.lists = lists

    def persistent_load(self, pid: Any) -> Any:  # Any: as the base class says
        """Refuses: a plain pickle has no storages beside it."""
        raise pickle.UnpicklingError("persistent ids are not expected here")


def listed_pickle_module(lists: Lists) -> ModuleType:
    """What `torch.load` takes as `pickle_module`: its unpicklers import listed names only.

    Torch sets a `persistent_load` of its own on them, which knows storages and nothing else.
    """

    class Unpickler(ListedNames, pickle.Unpickler):
        """As `pickle.Unpickler`, with its arguments."""

    Unpickler.lists = lists
    module = ModuleType("assay_listed_pickle")
    vars(module).update(
        Unpickler=Unpickler,
        UnpicklingError=pickle.UnpicklingError,
        load=lambda file, **options: Unpickler(file, **options).load(),
    )
    return module
