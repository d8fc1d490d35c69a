"""When ranks count as hung: judged from their heartbeats alone, for how long they have been silent in a section.

Time is what this launcher has watched. While it was held up itself, with its container or its machine, it has seen
nothing, and nothing of that time counts against the ranks.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from pet.runfiles.heartbeat import Heartbeat, Section
from pet.runfiles.patience import FIRST_SECONDS, usual_limit
from pet.runfiles.place import Place

# Between two looks pass tenths of a second.
_LONGEST_LOOK_SECONDS = 1.0
# What a rank may need in each section, however short it was so far. A disk may be slow for once, and the last save is
# written while training waits although those before were not; numbers of an evaluation take longer as a model learns.
_FLOORS = {Section.DATA: 30.0, Section.STEP: 30.0, Section.EVAL: 120.0, Section.SAVE: FIRST_SECONDS}
# A compiler that meets a second shape begins again.
_FIRST_STEPS = 2
# Between its last word and its end, and after the end of another rank.
_END_SECONDS = 60.0
_NOWHERE: Place = (-1, -1, -1)  # before its first heartbeat


@dataclass(frozen=True)
class Stall:
    """`ranks` (local) are those of this node that the others wait for, silent for `seconds` in a row."""

    ranks: tuple[int, ...]
    place: Place
    seconds: float
    why: str


class Watchdog:
    """One per launcher, to be shown the heartbeats of the running ranks all the time.

    `stall_seconds` is the job's own limit, None: five times the longest silence seen in a section. It does not shorten
    what comes before the first steps are done.
    """

    def __init__(self, stall_seconds: float | None, clock: Callable[[], float] = time.monotonic) -> None:
        self._stall_seconds = stall_seconds
        self._clock = clock
        self._looked_at = clock()
        self._watched = 0.0
        self._longest = dict.fromkeys(Section, 0.0)
        self._floors = dict(_FLOORS)
        self._known = {Section.DATA, Section.STEP}  # what a rank has come through, once it is past its first steps
        self._beats: dict[int, tuple[Heartbeat | None, float]] = {}  # by local rank, and when it came
        self._others_ended_at: float | None = None

    @property
    def patience(self) -> float:
        """The longest silence, in seconds, that is by now no hang in some section. No rank may give up before."""
        usual = (usual_limit(self._stall_seconds, self._longest[section], floor)
                 for section, floor in self._floors.items())  # fmt: skip
        return max(FIRST_SECONDS, *usual)

    def begin(self) -> None:
        """Other ranks will be shown from now on; what was learnt is kept."""
        self._beats.clear()
        self._others_ended_at = None

    def look(self, beats: Mapping[int, Heartbeat | None], *, others_ended: bool = False) -> Stall | None:
        """Take in the newest heartbeats by local rank; who hangs, if anybody does.

        `others_ended`: some ranks of the job have finished.
        """
        now = self._clock()
        self._watched += min(now - self._looked_at, _LONGEST_LOOK_SECONDS)
        self._looked_at = now
        if others_ended and self._others_ended_at is None:
            self._others_ended_at = self._watched
        for local_rank, beat in beats.items():
            self._take(local_rank, beat)
        lowest = self.lowest(beats)
        return self._judged(lowest, beats) if lowest is not None else None

    def lowest(self, beats: Mapping[int, Heartbeat | None]) -> Stall | None:
        """The ranks that are the furthest behind, hung or not. None if there are none."""
        places = {rank: beat.place if beat is not None else _NOWHERE for rank, beat in beats.items()}
        if not places:
            return None
        first = min(places.values())
        ranks = tuple(sorted(rank for rank, place in places.items() if place == first))
        silent = min(self._silence(rank) for rank in ranks)
        return Stall(ranks, first, silent, f"silent for {silent:.0f} s")

    def excuse(self, beats: Mapping[int, Heartbeat | None], stall: Stall) -> None:
        """A silence was acted on. If it was none of a hang, the next one like it has twice the time."""
        for beat in (beats[rank] for rank in stall.ranks):
            if beat is not None and beat.section in self._floors:
                self._floors[beat.section] = max(self._floors[beat.section], 2 * stall.seconds)

    def _take(self, local_rank: int, beat: Heartbeat | None) -> None:
        before, since = self._beats.get(local_rank, (None, self._watched))
        if local_rank in self._beats and before == beat:
            return
        self._beats[local_rank] = beat, self._watched
        if before is not None and beat is not None and before.steps >= _FIRST_STEPS:
            self._longest[before.section] = max(self._longest[before.section], self._watched - since)
            if beat.section is not before.section:
                self._known.add(before.section)

    def _silence(self, local_rank: int) -> float:
        return self._watched - self._beats[local_rank][1] if local_rank in self._beats else 0.0

    def _judged(self, lowest: Stall, beats: Mapping[int, Heartbeat | None]) -> Stall | None:
        limit = max(self._limit(beats[rank]) for rank in lowest.ranks)
        if lowest.seconds >= limit:
            return replace(lowest, why=f"{lowest.why}, the limit is {limit:.0f} s,")
        if self._others_ended_at is not None and (late := self._watched - self._others_ended_at) >= _END_SECONDS:
            return replace(lowest, why=f"not done {late:.0f} s after others were,")
        return None

    def _limit(self, beat: Heartbeat | None) -> float:
        if beat is None or beat.section is Section.INIT or beat.steps < _FIRST_STEPS:
            return max(FIRST_SECONDS, self._stall_seconds or 0.0)
        if beat.section is Section.DONE:
            return _END_SECONDS
        floor = self._floors[beat.section]
        if beat.section not in self._known:
            floor = max(floor, FIRST_SECONDS)
        return usual_limit(self._stall_seconds, self._longest[beat.section], floor)
