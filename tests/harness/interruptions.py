"""One interruption of a real training, and all that must hold after it. Used with few cases and with many."""

from __future__ import annotations

import json
import random
from dataclasses import dataclass
from itertools import cycle, islice, product
from pathlib import Path

from harness.gang import left_behind
from harness.training import Training, differences, fault

SIGKILL, PREEMPTED = -9, 143


@dataclass(frozen=True)
class Case:
    """`signal` reaches `target` while rank `rank` is in step `step`. A rank that gets SIGSTOP hangs."""

    ranks: int
    target: str  # rank or launcher
    signal: str
    rank: int
    step: int
    workers: int = 0  # of each rank's loader

    def __str__(self) -> str:
        workers = f"-{self.workers}-workers" if self.workers else ""
        return f"{self.ranks}-ranks{workers}-{self.signal}-{self.target}-of-rank-{self.rank}-at-{self.step}"

    @property
    def is_asked_to_leave(self) -> bool:
        """Whether it may save first."""
        return self.signal in ("SIGTERM", "SIGINT")


KINDS = (
    ("rank", "SIGKILL"),
    ("rank", "SIGSTOP"),
    ("launcher", "SIGKILL"),
    ("launcher", "SIGTERM"),
    ("launcher", "SIGINT"),
)
# The job's own limit for a hang: far more than a step takes on a busy machine.
STALL_SECONDS = 20
# The first step that it holds for: those before may take minutes.
FIRST_WATCHED = 3


def cases(seed: int, repetitions: int) -> list[Case]:
    """`repetitions` of each kind, in turns with one to four ranks and with 0 or 2 workers, at random steps and ranks.

    In the first half of the training: to agree on a stop may take the ranks half a second.
    """
    dice = random.Random(seed)
    drawn = []
    for target, signal in KINDS:
        first = FIRST_WATCHED if signal == "SIGSTOP" else 2
        for ranks, workers in islice(cycle(product((1, 2, 3, 4), (0, 2))), repetitions):
            rank, step = dice.randrange(ranks), max(first, dice.randrange(2, Training.steps // 2))
            drawn.append(Case(ranks, target, signal, rank, step, workers))
    return drawn


def check(case: Case, folder: Path, data: Path, expected: Training) -> None:
    """Interrupt, run again until the end, compare with the uninterrupted training `expected`."""
    training = Training(
        folder, data, ranks=case.ranks, device=expected.device, workers=case.workers, steps=expected.steps,
        period=expected.period, overrides=expected.overrides,
        environ={"PETJOB_STALL_SECONDS": str(STALL_SECONDS)} if case.signal == "SIGSTOP" else {},
    )  # fmt: skip
    training.hooks = [fault(folder, step=case.step, rank=case.rank, target=case.target, number=case.signal)]
    code, output = training.run()
    assert left_behind(folder / "termination.json") == []
    if case.target == "rank":
        assert code == 0, output  # the launcher started its ranks again
    elif case.signal == "SIGKILL":
        assert code == SIGKILL, output
    else:
        assert code == PREEMPTED, output
        assert training.termination["savedIteration"] == training.steps_done[-1], "a finished step was not saved"
    if code != 0:
        code, output = training.run()
        assert code == 0, output
    _check_steps(case, training)
    check_end(training, expected)


def check_end(training: Training, expected: Training, *, evaluated: bool = False) -> None:
    """Everything that a training leaves is bit for bit what the uninterrupted one has left. An evaluation, which that
    one has not, changes nothing but what is known of the best model."""
    for part in ("model", "optimizer", "ranks", *(() if evaluated else ("scheduler",))):
        assert differences(expected.final_state()[part], training.final_state()[part]) == [], part
    assert _losses(training) == _losses(expected)
    assert not list(training.checkpoints.glob(".tmp-*")), "a temporary file was left"


def _check_steps(case: Case, training: Training) -> None:
    """Who is asked to leave does no step twice; after another end only those since the newest checkpoint are."""
    every = list(range(1, training.steps + 1))
    if case.is_asked_to_leave:
        assert training.steps_done == every
        return
    possible = []
    # Rank 0 may be one step behind the rank that dies, and it may die while it saves the last step it finished.
    for reached in (case.step - 1, case.step - 2):
        newest = reached // training.period * training.period
        possible += [
            [*every[:reached], *every[saved:]]
            for saved in {newest, max(0, (reached - 1) // training.period * training.period)}
        ]
    assert training.steps_done in possible


def _losses(training: Training) -> dict[int, float]:
    """The shown loss by iteration; of steps done twice the later record is the only one."""
    lines = (training.checkpoints / "metrics.json").read_text().splitlines()
    return {record["iteration"]: record["total_loss"] for record in map(json.loads, lines)}
