"""One hang of a real training: how it is brought about, and all that must hold of how it is found and named."""

from __future__ import annotations

import ctypes
import os
import random
import signal
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.gang import gang, left_behind
from harness.interruptions import check_end
from harness.training import Training
from pet.engine.distributed import get_rank, get_world_size, synchronize
from pet.engine.hooks.base import TrainHook

STALL_SECONDS = 5  # the job's own limit


@dataclass(frozen=True)
class Hang:
    """Rank `rank` hangs once, in step `step`."""

    kind: str
    rank: int
    nodes: int
    step: int

    def __str__(self) -> str:
        return f"{self.kind}-of-rank-{self.rank}-on-{self.nodes}-nodes-at-{self.step}"


class Hanging(TrainHook):
    """The hook that does it; the mark keeps the restarted run from doing it again."""

    def __init__(self, kind: str, rank: int, step: int, folder: str) -> None:
        self.kind = kind
        self.rank = rank
        self.step = step
        self.mark = Path(folder) / "hung"

    def before_train(self) -> None:
        """A loader can only be made to sleep before it begins."""
        if self.kind == "loader" and get_rank() == self.rank and not self.mark.exists():
            samples: Any = self.trainer._loop.loader._dataset  # type: ignore[attr-defined]
            samples.dataset = Sleepy(samples.dataset, (self.step - 1) * Training.batch // get_world_size(), self.mark)

    def before_step(self, storage: Any) -> None:
        """Hang here?"""
        if storage.iter != self.step or self.mark.exists() or self.kind == "loader":
            return
        if self.kind == "skip" and get_rank() != self.rank:
            self.mark.touch()
            synchronize()
        elif self.kind != "skip" and get_rank() == self.rank:
            self.mark.touch()
            getattr(self, self.kind)()

    def stop(self) -> None:
        """The whole process."""
        os.kill(os.getpid(), signal.SIGSTOP)

    def loop(self) -> None:
        """In Python."""
        while True:
            pass

    def lock(self) -> None:
        """In C, with the interpreter's lock held: no other thread runs."""
        mutex = ctypes.create_string_buffer(64)
        for _ in range(2):
            ctypes.PyDLL(None).pthread_mutex_lock(mutex)


class Sleepy:
    """A data set that never gives one of its samples."""

    def __init__(self, dataset: Any, after: int, mark: Path) -> None:
        self.dataset = dataset
        self.left = after
        self.mark = mark

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> Any:
        if self.left == 0:
            self.mark.touch()
            time.sleep(3600)
        self.left -= 1
        return self.dataset[index]


# In which section it shows, and a line of the stacks that says why.
KINDS = {
    "stop": ("step", "in stop"),
    "loop": ("step", "in loop"),
    "lock": ("step", "in lock"),
    "skip": ("step", "in backward"),
    "loader": ("data", "in __getitem__"),
}


def hangs(seed: int, repetitions: int) -> list[Hang]:
    """`repetitions` of each kind on each of two ranks, with one launcher and with two by turns."""
    dice = random.Random(seed)
    return [
        Hang(kind, rank, 1 + repetition % 2, dice.randrange(3, Training.steps - 5))
        for kind in KINDS
        for rank in (0, 1)
        for repetition in range(repetitions)
    ]


def check(hang: Hang, folder: Path, data: Path, expected: Training) -> None:
    """It is named with section and stacks, cured in place once, and the training ends as if it had not been."""
    args = {"kind": hang.kind, "rank": hang.rank, "step": hang.step, "folder": str(folder)}
    training = Training(folder, data, ranks=2, steps=expected.steps, period=expected.period)
    training.hooks = [{"type": "harness.hangs:Hanging", "args": args}]
    training.environ = {"PETJOB_STALL_SECONDS": str(STALL_SECONDS)}
    with gang(training, hang.nodes) as made:
        codes = made.wait()
        print(made.output)
        assert codes == [0] * hang.nodes
        assert left_behind(*made.messages) == []
    section, frame = KINDS[hang.kind]
    named = {failure["rank"]: failure for failure in made.hear() if failure["class"] == "Hang"}
    # Of a collective that one of two ranks skips nobody can tell whose mistake it is: both are named.
    assert set(named) == ({0, 1} if hang.kind == "skip" else {hang.rank})
    failure = named[hang.rank]
    assert f"in {section} after iteration {hang.step - 1}" in failure["message"]
    assert failure["iteration"] == hang.step - 1, failure
    assert frame in failure["traceback"].rpartition("Main thread")[2]
    assert any(f"rank {rank}: Hang: silent for {STALL_SECONDS} s" in made.output for rank in named)
    check_end(training, expected)
