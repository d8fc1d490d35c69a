"""A histogram that travels through a metric file and keeps its counts over restarts."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass, field

# Upper bounds for the duration of a save.
SAVE_SECONDS = (1.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0)


@dataclass
class Histogram:
    """Counts of observations by upper bound (inclusive, ascending); the last count is of everything above."""

    bounds: tuple[float, ...]
    counts: list[int] = field(default_factory=list)
    total: float = 0.0

    def __post_init__(self) -> None:
        self.bounds = tuple(self.bounds)
        self.counts = self.counts or [0] * (len(self.bounds) + 1)

    def observe(self, value: float) -> None:
        """Count one value."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value

    def __add__(self, other: Histogram) -> Histogram:
        """Both histograms' observations. Raises ValueError if their bounds differ."""
        if self.bounds != other.bounds:
            raise ValueError(f"histograms of different bounds: {self.bounds} and {other.bounds}")
        counts = [mine + theirs for mine, theirs in zip(self.counts, other.counts, strict=True)]
        return Histogram(self.bounds, counts, self.total + other.total)
