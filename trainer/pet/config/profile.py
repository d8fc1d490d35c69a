"""What MISC.PROFILE says: which steps are profiled, and on which ranks."""

from __future__ import annotations

import re
from dataclasses import dataclass

_FORM = re.compile(r"([1-9]\d*):([1-9]\d*)(?::(\d+(?:,\d+)*))?")


@dataclass(frozen=True)
class ProfileWindow:
    """`steps` steps from step `first` on, on each of `ranks`."""

    first: int
    steps: int
    ranks: frozenset[int] = frozenset({0})

    @property
    def last(self) -> int:
        """The last of the steps."""
        return self.first + self.steps - 1

    @classmethod
    def parse(cls, text: str) -> ProfileWindow | None:
        """From `<first step>:<steps>` or `<first step>:<steps>:<rank>,<rank>…`; None for an empty text.

        Raises ValueError for any other.
        """
        if not text:
            return None
        found = _FORM.fullmatch(text)
        if found is None:
            raise ValueError(f"{text!r} is not <first step>:<steps>, for example 100:5, with ranks 100:5:0,3")
        ranks = frozenset(map(int, found[3].split(","))) if found[3] else frozenset({0})
        return cls(int(found[1]), int(found[2]), ranks)
