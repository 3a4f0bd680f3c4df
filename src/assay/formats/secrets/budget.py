"""A counted bound on the work that one text may cause; counted and not timed, so that results repeat."""

from __future__ import annotations

from assay.core.errors import MalformedInput

UNITS = 6_000_000


class Budget:
    """Units left; one is about a microsecond. A text of ten megabytes that people wrote takes a sixth of them."""

    def __init__(self, units: int = UNITS) -> None:
        self._left = units

    def spend(self, units: int) -> None:
        """Takes units.

        Raises:
            MalformedInput: none are left; what was found before stays found, and the rest was not looked at.
        """
        self._left -= units
        if self._left < 0:
            raise MalformedInput(
                "text holds too many marks of secrets",
                "looking at each would take too long, so the rest was not looked at",
                "split the file, or leave it out with `ignore` if it is generated",
            )
