"""How long a rank may be silent before it counts as hung."""

from __future__ import annotations

# Loading and compiling may take this long, and so may what has not been seen before.
FIRST_SECONDS = 600.0
_TIMES_LONGEST = 5.0


def usual_limit(stall_seconds: float | None, longest: float, floor: float = FIRST_SECONDS) -> float:
    """Seconds. `longest` is the longest silence so far that was none of a hang; `stall_seconds` is what the job demands
    instead, None if it demands nothing."""
    return stall_seconds if stall_seconds is not None else max(floor, _TIMES_LONGEST * longest)
