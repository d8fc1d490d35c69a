"""What launchers tell, in `/status` and in their termination message (`crds/status.schema.json`).

A field that is absent, null or of another type counts as not told, and what is too large is cut: anything may run in a
pod, and no answer of it may stop the operator.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated

from pet_operator.domain.bounds import Age, Count, Duration, Longest, Number, Starts, Told, Traceback, Word, Words


@dataclass(frozen=True, slots=True, kw_only=True)
class SavedCheckpoint:
    """A checkpoint. `/status` tells its age in seconds, a termination message when it was saved."""

    iteration: Count | None = None
    file: Word = ""
    bytes: Count | None = None
    age_seconds: Duration | None = None
    saved_at: datetime | None = None
    verified: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SaveFailure:
    """The newest save, which the disk refused."""

    iteration: Count | None = None
    message: Words = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Numbers:
    """How far the job is; nothing of it in a launcher that does not hold rank 0."""

    iteration: Count | None = None
    max_iterations: Count | None = None
    epoch: Number | None = None
    losses: Told = field(default_factory=dict)
    learning_rate: float | None = None
    samples_per_second: float | None = None
    step_seconds: Age | None = None
    eta_seconds: Duration | None = None
    resumed_from: Count | None = None

    @property
    def began(self) -> int | None:
        """The iteration that the ranks went on from, 0 from scratch; None before they have told their numbers, which
        they do all at once."""
        if self.resumed_from is None and self.max_iterations is not None:
            return 0
        return self.resumed_from


@dataclass(frozen=True, slots=True, kw_only=True)
class RankStatus:
    """One rank of the launcher's node. `iteration` is the last finished one; there is no age before the first step.
    `silent_seconds`: since its last sign of life, within a step or an evaluation as well; None where it is not told."""

    rank: Number | None = None
    iteration: Count = 0
    section: Word = ""
    collective: Count = 0
    silent_seconds: Age | None = None
    last_step_age_seconds: Age | None = None

    @property
    def idle_seconds(self) -> float:
        """For how long it has done nothing, as far as is told; 0 before its first step."""
        if self.last_step_age_seconds is None:
            return 0.0
        return self.last_step_age_seconds if self.silent_seconds is None else self.silent_seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class RankFailure:
    """Why a rank ended; `restart` is the number of its start in this attempt, 0 for the first."""

    restart: Starts = 0
    rank: Number | None = None
    class_: Word = ""
    exit_code: Number | None = None
    type: Words = ""
    message: Words = ""
    traceback: Traceback = ""
    iteration: Count | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LauncherStatus(Numbers):
    """The document at `/status`."""

    uid: Word = ""
    attempt: Number | None = None
    restarts: Starts = 0  # in place, in this attempt
    state: Word = ""
    metrics: Told = field(default_factory=dict)
    checkpoint: SavedCheckpoint | None = None
    checkpoint_failure: SaveFailure | None = None
    accounting: Annotated[Mapping[Word, Age], Longest(64)] = field(
        default_factory=dict
    )  # seconds, since this start of the ranks
    ranks: Annotated[tuple[RankStatus, ...], Longest(1024)] = ()
    failures: Annotated[tuple[RankFailure, ...], Longest(10)] = ()  # the newest ones, oldest first

    @property
    def stepped(self) -> int:
        """How many ranks of the node have made a step."""
        return sum(rank.last_step_age_seconds is not None for rank in self.ranks)

    @property
    def idle_seconds(self) -> float:
        """For how long a rank of the node has done nothing, of those that have made a step."""
        return max((rank.idle_seconds for rank in self.ranks), default=0.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Spent:
    """Why another start would not help, as the reason of the job, and in words."""

    reason: Word = ""
    message: Words = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class LauncherReport:
    """The termination message. `restarts_left`: starts in place that the launcher would still have granted; `spent`:
    why nobody should."""

    class_: Word = ""
    type: Words = ""
    message: Words = ""
    traceback: Traceback = ""
    rank: Number | None = None
    iteration: Count | None = None
    restart: Starts = 0
    restarts_left: Number | None = None
    spent: Spent | None = None
    metrics: Told = field(default_factory=dict)
    checkpoint: SavedCheckpoint | None = None
    progress: Numbers = Numbers()
