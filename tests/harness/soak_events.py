"""What happens to a long training: faults and pauses, drawn from a seed, and what may follow from each.

The moments are seconds, and so the same only as far as the machine is.
"""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.corruption import DAMAGES
from harness.gang import Gang, left_behind
from harness.training import Training
from pet.engine.hooks.base import TrainHook
from pet.store.names import data_of

RANKS = 2
STALL_SECONDS = 15  # the job's own limit
_MEAN_SECONDS = 30.0
_FEWEST = 3  # checkpoints, of which one may be damaged
_PIECE = 2**16  # bytes
_ENDS = {"Crash": 139, "Hang": 76}
_STORAGE, _PREEMPTED = 79, 143


@dataclass(frozen=True)
class Event:
    """So many seconds after the one before, or where it is not `early` after its traces are gone."""

    seconds: float
    early: bool
    kind: str
    rank: int
    lasts: float  # seconds, of what passes
    damage: str  # to a checkpoint

    def __str__(self) -> str:
        return f"{self.kind}, rank {self.rank}, {self.lasts:.1f} s, {self.damage}"


def events(seed: int, kinds: tuple[str, ...]) -> Iterator[Event]:
    """As many as are wanted."""
    dice = random.Random(seed)
    while True:
        yield Event(
            seconds=dice.expovariate(1 / _MEAN_SECONDS),
            # Not all: on a machine where a start takes half a minute nothing would ever be trained.
            early=dice.random() < 0.25,
            kind=dice.choice(kinds),
            rank=dice.randrange(RANKS),
            lasts=dice.uniform(1.0, 20.0),
            damage=dice.choice(list(DAMAGES)),
        )


@dataclass
class Attempt:
    """One launcher, what was done to it, and what may follow from that."""

    made: Gang
    training: Training
    number: int
    codes: set[int] = field(default_factory=lambda: {0})
    causes: set[tuple[str, int]] = field(default_factory=set)  # class and rank
    ending: bool = False
    damage: Callable[[], None] | None = None  # of a checkpoint, once it is over

    def check(self) -> int:
        """It ended as it had to, and nobody is blamed to whom nothing was done; its exit code."""
        (code,), output = self.made.wait(), self.made.output
        assert code in self.codes, f"attempt {self.number} ended with {code}, not one of {self.codes}:\n{output}"
        told = {(failure["class"], failure["rank"]) for failure in self.made.hear()}
        wrong = {cause for cause in told - self.causes if cause[0] != "PeerLost"}
        assert not wrong, f"attempt {self.number} blames {wrong}; what was done: {self.causes}:\n{output}"
        assert left_behind(*self.made.messages) == []
        return code


def _kill_rank(attempt: Attempt, event: Event, status: dict[str, Any]) -> bool:
    return _signal_rank(attempt, event, signal.SIGKILL, "Crash")


def _stop_rank(attempt: Attempt, event: Event, status: dict[str, Any]) -> bool:
    """The limit holds once the first steps are done."""
    first = (status["resumedFrom"] or 0) + 3
    trains = len(status["ranks"]) == RANKS and all(
        rank["iteration"] >= first and rank["section"] in ("data", "step") for rank in status["ranks"]
    )
    return trains and _signal_rank(attempt, event, signal.SIGSTOP, "Hang")


def _kill_launcher(attempt: Attempt, event: Event, status: dict[str, Any]) -> bool:
    attempt.made.signal(signal.SIGKILL)
    attempt.codes.add(-signal.SIGKILL)
    attempt.ending = True
    return True


def _end_launcher(attempt: Attempt, event: Event, status: dict[str, Any]) -> bool:
    """A rank that was killed just before may be how it ends."""
    attempt.made.signal(signal.SIGTERM)
    attempt.codes |= {_PREEMPTED, *(_ENDS[kind] for kind, _ in attempt.causes)}
    attempt.ending = True
    return True


def _corrupt(attempt: Attempt, event: Event, status: dict[str, Any]) -> bool:
    """While there are others to fall back on."""
    folder = attempt.training.checkpoints
    if len(_committed(folder)) < _FEWEST:
        return False
    attempt.damage = lambda: _damage(folder, event.damage)
    return _kill_launcher(attempt, event, status)


def _fill_disk(attempt: Attempt, event: Event, status: dict[str, Any]) -> bool:
    """Several saves in a row may be refused, or a rank that is started meanwhile."""
    attempt.codes.add(_STORAGE)
    ballast = attempt.training.checkpoints / "ballast"
    with suppress(OSError), open(ballast, "wb", buffering=0) as file:
        while file.write(bytes(_PIECE)):
            pass
    time.sleep(event.lasts)
    ballast.unlink()
    return True


def _pause(attempt: Attempt, event: Event, status: dict[str, Any]) -> bool:
    """Everything, as a container or a machine is paused: no fault."""
    processes = attempt.made.processes()
    for pid in processes:
        os.kill(pid, signal.SIGSTOP)
    time.sleep(event.lasts)
    for pid in reversed(processes):
        os.kill(pid, signal.SIGCONT)
    return True


KINDS: dict[str, dict[str, Callable[[Attempt, Event, dict[str, Any]], bool]]] = {
    "faults": {
        "kill rank": _kill_rank, "stop rank": _stop_rank, "kill launcher": _kill_launcher,
        "end launcher": _end_launcher, "corrupt": _corrupt, "fill disk": _fill_disk,
    },
    "pauses": {"pause": _pause},
}  # fmt: skip


def _signal_rank(attempt: Attempt, event: Event, number: signal.Signals, cause: str) -> bool:
    pid = attempt.made.ranks().get(event.rank)
    if pid is None:
        return False
    os.kill(pid, number)
    attempt.causes.add((cause, event.rank))
    return True


def _committed(folder: Path) -> list[str]:
    """The data files of the checkpoints, oldest first."""
    files = {data_of(path.name) for path in folder.glob("model_iter*.manifest.json")} - {None}
    return sorted(filter(None, files), key=lambda file: (len(file), file))


def _damage(folder: Path, kind: str) -> None:
    """The newest one's data."""
    *_, other, newest = _committed(folder)
    DAMAGES[kind](folder, newest, other, False, random.Random(newest))


class Slow(TrainHook):
    """As a loader may, it makes every step last so many seconds at least, and the part `late` of all samples come
    late by seconds, far from the limit."""

    def __init__(self, seconds: float, late: float = 0.0, seed: int = 0) -> None:
        self._seconds = seconds
        self._late = late
        self._dice = random.Random(seed)

    def before_train(self) -> None:
        """From the first sample on."""
        loader: Any = self.trainer._loop.loader  # type: ignore[attr-defined]
        each = self._seconds / sum(loader.sizes(loader.start_iter))
        loader._dataset.dataset = _SlowDataset(loader._dataset.dataset, each, self._seconds, self._late, self._dice)


class _SlowDataset:
    """A sample is due so many seconds after the one before. What the training itself takes is made up for, up to a
    step's worth."""

    def __init__(self, dataset: Any, each: float, step: float, late: float, dice: random.Random) -> None:
        self.dataset = dataset
        self._each = each
        self._step = step
        self._late = late
        self._dice = dice
        self._due = time.monotonic()

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> Any:
        now = time.monotonic()
        self._due = max(self._due, now - self._step) + self._each
        late = self._dice.uniform(0.0, STALL_SECONDS / 3) if self._dice.random() < self._late else 0.0
        time.sleep(max(0.0, self._due - now) + late)
        return self.dataset[index]
