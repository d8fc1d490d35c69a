"""Real trainings that are asked to stop, at every kind of moment, and all that must hold of how they leave."""

from __future__ import annotations

import os
import random
import signal
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from harness.gang import gang, left_behind
from harness.interruptions import check_end
from harness.training import Training
from pet.engine.ddp import unwrap
from pet.engine.distributed import get_rank
from pet.engine.hooks.base import TrainHook
from pet.engine.signals import stop_requested

NODES = 2
PREEMPTED = 143
WITHIN = 60.0  # seconds; a signal is passed on long before
SLOW_SECONDS = 10.0


@dataclass(frozen=True)
class Stop:
    """`moment`: import, init, step, save, evaluation, slow (rank 0 takes long to write), peer (a rank dies as well).

    `targets` are the nodes whose launchers get SIGTERM, once or twice.
    """

    moment: str
    targets: tuple[int, ...]
    twice: bool
    step: int
    seconds: float  # after the launchers' start, for import and init
    ranks: int = NODES  # of all nodes
    workers: int = 0  # of each rank's loader

    def __str__(self) -> str:
        nodes, times = "-".join(map(str, self.targets)), "twice" if self.twice else "once"
        size = f"{self.ranks}-ranks-{self.workers}-workers"
        return f"{self.moment}-of-nodes-{nodes}-{times}-at-{self.step}-{self.seconds:.2f}-{size}"


MOMENTS = ("import", "init", "step", "save", "evaluation", "slow", "peer")
_BEFORE_STEPS = {"import": (0.0, 2.0), "init": (2.0, 8.0)}
_TARGETS = ((0,), (1,), (0, 1))


def stops(seed: int, number: int) -> list[Stop]:
    """Every moment by turns; some with two ranks to a node, some with loader workers."""
    dice = random.Random(seed)
    return [
        Stop(
            moment=MOMENTS[index % len(MOMENTS)],
            targets=dice.choice(_TARGETS),
            twice=dice.random() < 0.5,
            # A save or an evaluation at the end of a period.
            step=5 * dice.randint(1, 5),
            seconds=dice.uniform(*_BEFORE_STEPS.get(MOMENTS[index % len(MOMENTS)], (0.0, 0.0))),
            ranks=2 * NODES if index % 4 == 3 else NODES,
            workers=2 if index % 5 == 4 else 0,
        )
        for index in range(number)
    ]


class Stopping(TrainHook):
    """The hook on rank 0 that has the launchers signalled once; the next attempt finds its mark."""

    def __init__(self, moment: str, targets: list[int], twice: bool, step: int, folder: str) -> None:
        self.moment = moment
        self.targets = targets
        self.twice = twice
        self.step = step
        self.folder = Path(folder)
        self.iteration = 0

    def before_train(self) -> None:
        """In an evaluation: with its first batch."""

        def fire(model: torch.nn.Module, inputs: Any) -> None:
            if self.moment == "evaluation" and self.iteration == self.step and not model.training:
                self._fire()

        unwrap(self.trainer.model).register_forward_pre_hook(fire)

    def before_step(self, storage: Any) -> None:
        """In a step."""
        self.iteration = storage.iter
        if storage.iter == self.step and self.moment in ("step", "slow", "peer"):
            self._fire()

    def on_checkpoint(self, state: Any) -> None:
        """In a save, the periodic one or the one of the stop."""
        if self.moment == "save" and self.iteration == self.step:
            self._fire()
        if self.moment == "slow" and get_rank() == 0 and stop_requested():
            time.sleep(SLOW_SECONDS)

    def _fire(self) -> None:
        mark = self.folder / "stop-fired"
        if get_rank() != 0 or mark.exists():
            return
        mark.touch()
        pids = [int((self.folder / f"launcher{node}.pid").read_text()) for node in self.targets]
        for pid in pids * (2 if self.twice else 1):
            os.kill(pid, signal.SIGTERM)
        if self.moment == "peer":
            os.kill(os.getpid(), signal.SIGKILL)
        deadline = time.monotonic() + WITHIN
        while 0 in self.targets and stop_requested() is None and time.monotonic() < deadline:
            time.sleep(0.005)


def check(stop: Stop, folder: Path, data: Path, expected: Training) -> None:
    """All launchers leave with what was done so far saved, and the next attempt ends as if there had been one."""
    args = {"moment": stop.moment, "targets": list(stop.targets), "twice": stop.twice, "step": stop.step,
            "folder": str(folder)}  # fmt: skip
    training = Training(folder, data, ranks=stop.ranks, workers=stop.workers, steps=expected.steps,
                        period=expected.period)  # fmt: skip
    training.hooks = [{"type": "harness.stops:Stopping", "args": args}]
    training.environ = {"PETJOB_GRACE_SECONDS": "60"}
    if stop.moment in _BEFORE_STEPS:
        # A launcher whose peer never comes waits so long: in a cluster the operator ends it sooner.
        training.environ["PETJOB_STARTUP_SECONDS"] = "60"
    if stop.moment == "evaluation":
        training.overrides = ("EVAL.ENABLED", "True", "TEST.FREQUENCY_ITERS", str(stop.step))
    with gang(training, NODES) as made:
        if stop.moment in _BEFORE_STEPS:
            time.sleep(stop.seconds)
            made.signal(signal.SIGTERM, *stop.targets)
        codes = made.wait()
        print(made.output)
        assert left_behind(*made.messages) == []
    if stop.moment == "peer":
        # The rank that died is the cause on its node; the others could not save without it.
        assert codes[0] == 139
        assert made.nodes[0].termination["rank"] == 0
        assert codes[1] in (75, PREEMPTED)
    elif stop.moment in _BEFORE_STEPS:
        # Launchers that never met end by themselves, those asked to stop as such: by the signal itself where Python had
        # not begun to listen, which a container reports by the same number.
        codes = [PREEMPTED if code == -signal.SIGTERM and stop.moment == "import" else code for code in codes]
        assert all(codes[node] == PREEMPTED for node in stop.targets)
        assert all(code in (75, PREEMPTED) for code in codes)
    else:
        assert codes == [PREEMPTED] * NODES
        saved = {node.termination["savedIteration"] for node in made.nodes} - {None}
        assert saved == {training.steps_done[-1]}, "all ranks leave at one step, and it is saved"
        if stop.moment == "evaluation" and 0 in stop.targets:
            assert training.steps_done[-1] == stop.step, "no step comes after an evaluation that was left"
            assert f"The evaluation at iteration {stop.step} is left to the next start" in made.output
    training.environ.clear()
    with gang(training, NODES, attempt=2) as again:
        assert again.wait() == [0] * NODES, again.output
    if stop.moment not in ("peer",):
        assert training.steps_done == list(range(1, expected.steps + 1)), "no step is lost or made twice"
    check_end(training, expected, evaluated=stop.moment == "evaluation")
