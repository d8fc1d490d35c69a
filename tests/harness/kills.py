"""Ranks of a real training that are killed at random moments, whatever they are at, and all that must hold then."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import time
from dataclasses import dataclass
from pathlib import Path

from harness.gang import Gang, gang, left_behind
from harness.interruptions import check_end
from harness.launcher import eventually
from harness.training import Training

RANKS = 2
_LONGEST = 5.0  # seconds from the start of the ranks to a kill: while they import, load, and make their steps


@dataclass(frozen=True)
class Kills:
    """Each is of a rank, so many seconds after all ranks were started or started again."""

    nodes: int
    kills: tuple[tuple[float, int], ...]

    def __str__(self) -> str:
        return "-".join([f"{self.nodes}-nodes", *(f"{rank}-after-{seconds:.2f}" for seconds, rank in self.kills)])


def kills(seed: int, injections: int) -> list[Kills]:
    """So many in all, one to five in a run, on one node and on two by turns."""
    dice, runs, left = random.Random(seed), [], injections
    while left:
        number = min(left, dice.randint(1, 5))
        each = tuple((dice.uniform(0, _LONGEST), dice.randrange(RANKS)) for _ in range(number))
        runs.append(Kills(1 + len(runs) % 2, each))
        left -= number
    return runs


def check(case: Kills, folder: Path, data: Path, expected: Training) -> int:
    """Every killed rank is named, and the training ends as if none had been. Returns how many were killed: one that has
    ended is no more to be had."""
    training = Training(folder, data, ranks=RANKS, steps=expected.steps, period=expected.period)
    training.environ = {"PETJOB_RESTARTS_LEFT": "10"}
    with gang(training, case.nodes) as made:
        killed: list[int] = []
        for seconds, rank in case.kills:
            if not _kill(made, rank, seconds):
                break
            killed.append(rank)
            eventually(lambda: len(_crashes(made)) == len(killed) or made.over, "the death is told")
        codes = made.wait()
        print(made.output)
        assert codes == [0] * case.nodes
        assert left_behind(made) == []
        assert made.free_port()
    # One that died with the whole training all but done is named in the output alone.
    named = [failure["rank"] for failure in _crashes(made)]
    assert named == killed[: len(named)]
    assert len(named) >= len(killed) - 1
    check_end(training, expected)
    return len(killed)


def _kill(made: Gang, rank: int, seconds: float) -> bool:
    """Whether it lived still."""
    former = made.killed

    def are_all_there() -> bool:
        ranks = made.ranks()  # any may end between two looks
        return set(ranks) == set(range(RANKS)) and ranks[rank] not in former

    eventually(lambda: made.over or are_all_there(), "all ranks are there")
    time.sleep(seconds)
    pid = made.ranks().get(rank)
    if pid is None:
        return False
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
        former.add(pid)
        return True
    return False


def _crashes(made: Gang) -> list[dict[str, object]]:
    found = [failure for failure in made.hear() if failure["type"] == "SIGKILL"]
    return sorted(found, key=lambda failure: failure["restart"])
