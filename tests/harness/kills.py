"""Ranks of a real training that die at random moments, by a signal or by an exception, and all that must hold then."""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from harness.gang import Gang, gang, left_behind
from harness.interruptions import check_end
from harness.launcher import eventually
from harness.training import Training
from pet.engine.distributed import get_rank
from pet.runfiles.exits import ExitCode

# By the clock a rank dies while it imports, loads or makes its first steps, by steps in the middle of the training; and
# with it, where its launcher has no restart left, the whole attempt.
WAYS = ("clock", "steps", "attempts")
_LONGEST = 5.0  # seconds from the start of the ranks to a kill by the clock
# Seconds from the beginning of a step to a kill: it may fall into the next one, or into a save, and not behind the step
# that another one is planned for.
_WITHIN_STEP = 0.05
_MOMENTS = ("before_step", "after_backward", "after_step")


@dataclass(frozen=True)
class Kill:
    """Of one rank: so many seconds after all were started or started again, or after the beginning of `step`.

    With a `moment` it dies by an exception there.
    """

    rank: int
    seconds: float
    step: int = 0
    moment: str = ""

    def __str__(self) -> str:
        return f"{self.rank}-{self.moment or 'killed'}-{self.step}-{self.seconds:.2f}"

    @property
    def type(self) -> str:
        """What is told as its cause."""
        return "ValueError" if self.moment else "SIGKILL"


@dataclass(frozen=True)
class Kills:
    """Those of one training, one after the other."""

    way: str
    nodes: int
    ranks: int
    workers: int
    kills: tuple[Kill, ...]

    def __str__(self) -> str:
        return "-".join(
            [self.way, f"{self.nodes}x{self.ranks // self.nodes}", f"{self.workers}w", *map(str, self.kills)]
        )


def kills(seed: int, nodes: int, injections: int) -> list[Kills]:
    """So many in all, one to five in a training: each way by turns, in some with several ranks to a launcher, in some
    with loader workers."""
    dice, runs, left = random.Random(f"{seed} {nodes}"), [], injections
    while left:
        way, number = WAYS[len(runs) % len(WAYS)], min(left, dice.randint(1, 5))
        ranks = 4 if len(runs) % 7 == 6 else 2
        steps = sorted(dice.sample(range(3, Training.steps - 10, 3), number))
        each = [_drawn(dice, ranks, 0 if way == "clock" else step) for step in steps]
        runs.append(Kills(way, nodes, ranks, 2 * (len(runs) % 4 == 3), tuple(each)))
        left -= number
    return runs


def _drawn(dice: random.Random, ranks: int, step: int) -> Kill:
    rank = dice.randrange(ranks)
    if not step:
        return Kill(rank, dice.uniform(0, _LONGEST))
    if dice.random() < 0.5:
        return Kill(rank, dice.uniform(0, _WITHIN_STEP), step)
    return Kill(rank, 0.0, step, dice.choice(_MOMENTS))


class Dying:
    """The hook whose rank dies as planned, each time once: the restarted run finds the marks."""

    def __init__(self, kills: list[dict[str, Any]], folder: str) -> None:
        self.kills = [Kill(**kill) for kill in kills]
        self.folder = Path(folder)

    def before_step(self, storage: Any) -> None:
        """A kill falls anywhere in the step, or in one after it."""
        for kill in self._due(storage.iter, ""):
            threading.Timer(kill.seconds, os.kill, (os.getpid(), signal.SIGKILL)).start()
        self._raise(storage.iter, "before_step")

    def after_backward(self, storage: Any) -> None:
        """With gradients that were not applied."""
        self._raise(storage.iter, "after_backward")

    def after_step(self, storage: Any) -> None:
        """With new weights."""
        self._raise(storage.iter, "after_step")

    def _raise(self, step: int, moment: str) -> None:
        for _ in self._due(step, moment):
            raise ValueError(f"made to fail in step {step}")

    def _due(self, step: int, moment: str) -> list[Kill]:
        due = []
        for number, kill in enumerate(self.kills):
            mark = self.folder / f"died-{number}"
            if (kill.step, kill.moment, kill.rank) == (step, moment, get_rank()) and not mark.exists():
                mark.touch()
                due.append(kill)
        return due


def check(case: Kills, folder: Path, data: Path, expected: Training) -> int:
    """Every rank that dies is named with all that there is to know, no more work is lost than since the last save, and
    the training ends as if nothing had been. Returns how many died."""
    training = Training(folder, data, ranks=case.ranks, workers=case.workers, steps=expected.steps,
                        period=expected.period)  # fmt: skip
    training.environ = {"PETJOB_RESTARTS_LEFT": "0" if case.way == "attempts" else "10"}
    if case.way == "clock":
        training.step_seconds = _LONGEST * len(case.kills) / training.steps  # no kill comes too late
    else:
        args = {"kills": [asdict(kill) for kill in case.kills], "folder": str(folder)}
        training.hooks = [{"type": "harness.kills:Dying", "args": args}]
    lost = [_one_attempt(case, number, kill, training) for number, kill in enumerate(_ends(case), start=1)]
    told = lost + _last_attempt(case, len(lost) + 1, training)
    for failure, kill in zip(told, case.kills, strict=True):
        _check_failure(failure, kill)
    for former, step in pairwise(training.steps_done):
        assert former - training.period < step <= former + 1, "more steps are made again than since the last save"
    check_end(training, expected)
    return len(told)


def _ends(case: Kills) -> tuple[Kill, ...]:
    return case.kills if case.way == "attempts" else ()


def _one_attempt(case: Kills, number: int, kill: Kill, training: Training) -> dict[str, Any]:
    """It ends with this death, and what its node has left as its last word."""
    with gang(training, case.nodes, number) as made:
        codes = made.wait()
        print(made.output)
        assert left_behind(*made.messages) == []
    home = kill.rank // (case.ranks // case.nodes)
    expected = [ExitCode.PEER_LOST] * case.nodes
    expected[home] = ExitCode.APP_ERROR if kill.moment else ExitCode.CRASH
    assert codes == expected
    return made.nodes[home].termination


def _last_attempt(case: Kills, number: int, training: Training) -> list[dict[str, Any]]:
    """It succeeds; who died in it, as /status has told."""
    with gang(training, case.nodes, number) as made:
        for died, kill in enumerate(case.kills if case.way == "clock" else (), start=1):
            _kill(made, case.ranks, kill)
            eventually(lambda died=died: len(_told(made)) == died, "the death is told")
        codes = made.wait()
        print(made.output)
        assert codes == [0] * case.nodes
        assert left_behind(*made.messages) == []
        assert made.free_port()
    return _told(made)


def _kill(made: Gang, ranks: int, kill: Kill) -> None:
    """By the clock."""

    def are_all_there() -> bool:
        alive = made.ranks()
        return set(alive) == set(range(ranks)) and alive[kill.rank] not in made.killed

    eventually(are_all_there, "all ranks are there")
    time.sleep(kill.seconds)
    pid = made.ranks()[kill.rank]
    os.kill(pid, signal.SIGKILL)
    made.killed.add(pid)


def _told(made: Gang) -> list[dict[str, Any]]:
    """The failures, but for those of ranks that have only lost another one."""
    found = [failure for failure in made.hear() if failure["class"] != "PeerLost"]
    return sorted(found, key=lambda failure: failure["restart"])


def _check_failure(failure: dict[str, Any], kill: Kill) -> None:
    assert (failure["rank"], failure["type"]) == (kill.rank, kill.type)
    if kill.moment:
        assert failure["message"] == f"made to fail in step {kill.step}"
        assert "in _raise" in failure["traceback"]
        assert failure["iteration"] == (kill.step if kill.moment == "after_step" else kill.step - 1)
    elif kill.step:
        assert failure["iteration"] >= kill.step - 1
