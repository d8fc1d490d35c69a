"""What this launcher knows of its job. The agent's thread writes; `/status`, `/metrics` and the end report read."""

from __future__ import annotations

import threading
from collections.abc import Collection
from dataclasses import dataclass, field, replace
from enum import Enum

from pet.launch.counters import Counters, Observation, observe
from pet.launch.ranks import RankExit, RankGroup
from pet.launch.verdict import describe, is_cause
from pet.runfiles.exits import ExitCode

_KEPT_FAILURES = 10
_FAILURES_OF_A_START = 5
RESTART_REASONS = tuple(code.exit_class for code in ExitCode if code.restarts_in_place)


class Phase(Enum):
    """What the launcher itself is doing."""

    RENDEZVOUS = "rendezvous"
    RUNNING = "running"
    RESTARTING = "restarting"
    STOPPING = "stopping"
    FINISHED = "finished"
    FAILED = "failed"


@dataclass(frozen=True)
class RankFailure:
    """One rank's bad end, as `/status` shows it."""

    restart: int
    rank: int
    exit_class: str
    exit_code: int
    type: str
    message: str
    traceback: str
    iteration: int | None


@dataclass(frozen=True)
class Snapshot:
    """One consistent look at the job. `ranks` maps local ranks to global ones, empty before the first start."""

    phase: Phase
    starts: int
    ranks: dict[int, int]
    running: tuple[int, ...]  # global ranks
    observation: Observation
    counters: Counters
    restarts: dict[str, int]  # by reason
    failures: tuple[RankFailure, ...]
    checkpoint: int | None  # iteration of the newest checkpoint that a rank told of

    @property
    def has_rank_zero(self) -> bool:
        """Whether the job's own numbers are known here."""
        return 0 in self.ranks.values()


@dataclass
class _Past:
    """Over all starts that have ended."""

    counters: Counters = field(default_factory=Counters)
    observation: Observation = field(default_factory=lambda: Observation({}, None))
    failures: tuple[RankFailure, ...] = ()
    restarts: dict[str, int] = field(default_factory=lambda: dict.fromkeys(RESTART_REASONS, 0))
    checkpoint: int | None = None


class Record:
    """Guarded by one lock, which is never held while ranks are waited for."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._phase = Phase.RENDEZVOUS
        self._starts = 0
        self._group: RankGroup | None = None  # the one that runs
        self._ranks: dict[int, int] = {}
        self._past = _Past()

    def enter(self, phase: Phase) -> None:
        """The launcher goes on to something else."""
        with self._lock:
            self._phase = phase

    def started(self, group: RankGroup) -> None:
        """A start of ranks is complete."""
        with self._lock:
            self._group, self._ranks = group, group.ranks
            self._starts += 1
            if self._phase is not Phase.STOPPING:
                self._phase = Phase.RUNNING

    def ended(self, group: RankGroup) -> None:
        """All its ranks are over: keep what they did and why they ended."""
        with self._lock:
            past = self._past
            past.observation = observe(group)
            past.counters += Counters.of(past.observation)
            past.checkpoint = _newest_checkpoint(past.observation, past.checkpoint)
            failures = _failures(list(group.exits.values()), restart=self._starts - 1)
            past.failures = (*past.failures, *failures)
            self._group = None

    def restarting(self, reason: ExitCode) -> None:
        """The ranks will be started again."""
        with self._lock:
            self._past.restarts[reason.exit_class] += 1
            self._phase = Phase.RESTARTING

    def snapshot(self) -> Snapshot:
        """Read the run files, as far as they can be read."""
        with self._lock:
            past, group = replace(self._past), self._group
            phase, starts, ranks = self._phase, self._starts, self._ranks
        observation, counters, failures = past.observation, past.counters, past.failures
        if group is not None:
            observation = observe(group)
            counters = counters + Counters.of(observation)
            failures = (*failures, *_failures(list(group.exits.values()), restart=starts - 1))
        return Snapshot(
            phase=phase,
            starts=starts,
            ranks=ranks,
            running=tuple(group.ranks[local_rank] for local_rank in group.running) if group else (),
            observation=observation,
            counters=counters,
            restarts=dict(past.restarts),
            failures=failures[-_KEPT_FAILURES:],
            checkpoint=_newest_checkpoint(observation, past.checkpoint),
        )


def _newest_checkpoint(observation: Observation, known: int | None) -> int | None:
    metrics = observation.metrics
    return metrics.checkpoint.iteration if metrics and metrics.checkpoint else known


def _failures(exits: Collection[RankExit], restart: int) -> list[RankFailure]:
    """The causes, first ones first; where this node has none, the ranks that lost a peer."""
    bad = [exit for exit in exits if is_cause(exit)]
    bad = bad or [exit for exit in exits if exit.exit_code is ExitCode.PEER_LOST]
    failures = []
    for exit in sorted(bad, key=lambda exit: (exit.order, exit.rank))[:_FAILURES_OF_A_START]:
        type_, message = describe(exit)
        code = exit.exit_code
        failures.append(
            RankFailure(
                restart=restart,
                rank=exit.rank,
                exit_class=code.exit_class,
                exit_code=int(code),
                type=type_,
                message=message,
                traceback=exit.failure.traceback if exit.failure else "",
                iteration=exit.iteration,
            )
        )
    return failures
