"""How far a rank is, as numbers to compare: of ranks that wait for one another, the lowest is the one waited for."""

from __future__ import annotations

Place = tuple[int, int, int]

# Where collectives are not counted: the order in which a rank goes through its sections after a finished iteration.
_SECTIONS = ("init", "save", "eval", "data", "step", "done")


def place(iteration: int, collective: int, section: str) -> Place:
    """A rank's place: its last finished iteration, the collectives that it has begun, its section.

    The collectives go before the section: after a step a rank may be in hooks before a save or behind it, and only
    their number tells which.
    """
    return iteration, collective, _SECTIONS.index(section) if section in _SECTIONS else len(_SECTIONS)
