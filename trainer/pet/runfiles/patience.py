"""How long a rank may be silent before it counts as hung, and the file in which a launcher tells its ranks.

A launcher learns in one start what it has to wait for, and the ranks of the next must not give up on each other before.
"""

from __future__ import annotations

from pathlib import Path

from pet.runfiles.atomic import replace_text

# Loading and compiling may take this long, and so may what has not been seen before.
FIRST_SECONDS = 600.0
_TIMES_LONGEST = 5.0


def usual_limit(stall_seconds: float | None, longest: float, floor: float = FIRST_SECONDS) -> float:
    """Seconds. `longest` is the longest silence so far that was none of a hang; `stall_seconds` is what the job demands
    instead, None if it demands nothing."""
    return stall_seconds if stall_seconds is not None else max(floor, _TIMES_LONGEST * longest)


def write_patience(path: Path, seconds: float) -> None:
    """Tell the ranks, before they start, the longest silence that is no hang. Raises OSError."""
    replace_text(path, repr(seconds))


def read_patience(path: Path) -> float:
    """What the launcher told, in seconds; 0 without one."""
    try:
        return float(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return 0.0
