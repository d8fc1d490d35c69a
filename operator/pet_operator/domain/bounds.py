"""How large things may be that launchers tell: what is larger is cut as it is read, once, so that all that follows from
it (sums, dates, a status that the API server keeps) is sane.

Anything may run in a pod. A number far out of its range would overflow, and a long list fill the cluster's storage.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Annotated, Any

MOST_STARTS = 1000  # of ranks in place: a status keeps the time of each that counts
_CENTURY = 100 * 365 * 86400  # seconds


@dataclass(frozen=True)
class Within:
    """The number, or the end of the range that it is beyond."""

    lowest: int
    highest: int

    def __call__(self, value: Any) -> Any:
        return type(value)(min(max(value, self.lowest), self.highest))


@dataclass(frozen=True)
class OnlyWithin:
    """The number; None, which is not told, for one beyond the range."""

    lowest: int
    highest: int

    def __call__(self, value: Any) -> Any:
        return value if self.lowest <= value <= self.highest else None


@dataclass(frozen=True)
class Longest:
    """The beginning of a text, a list or a mapping."""

    length: int

    def __call__(self, value: Any) -> Any:
        return dict(islice(value.items(), self.length)) if isinstance(value, Mapping) else value[: self.length]


@dataclass(frozen=True)
class LongestEnd:
    """The end of a text."""

    length: int

    def __call__(self, value: str) -> str:
        return value[-self.length :]


Count = Annotated[int, Within(0, 2**53)]  # of iterations, collectives, bytes
Number = Annotated[int, Within(0, 2**31 - 1)]  # of a rank, an attempt, an epoch
Starts = Annotated[int, Within(0, MOST_STARTS)]
Age = Annotated[float, Within(0, _CENTURY)]  # seconds
Duration = Annotated[float, OnlyWithin(0, _CENTURY)]  # seconds; no date can be computed from others
Word = Annotated[str, Longest(256)]
Words = Annotated[str, Longest(3072)]  # what a termination message may have in all
Traceback = Annotated[str, LongestEnd(3072)]
Told = Annotated[Mapping[Word, float], Longest(64)]
