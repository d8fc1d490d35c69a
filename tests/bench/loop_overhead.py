"""What the training loop costs over the least that trains, side by side in one run.

Blocks of steps take turns, in a new order each round, on the same model, optimizer, batches and clock: CPU time of the
process, stamped where a batch is fetched, so that no set-up counts. One thread. It is time of the host: a GPU that is
busy hides it. The counts are exact, the times are not: look at the ratio of medians and at the spread.
"""

from __future__ import annotations

import io
import random
import statistics
from collections.abc import Callable
from contextlib import redirect_stdout
from dataclasses import dataclass, replace
from typing import Any

import torch
from bench_clock import Stamps
from harness.counting import StepCounter, StepMarks, bare_loop, fetch_in_advance, give
from harness.memory import memory_folder
from harness.toy import Toy, toy_config
from peer_loops import PERIOD, OldRun

from pet.config import load_config
from pet.tasks.cls.model import GeneralizedCNN

SLIM_RESNET = "cfgs/tasks/cls/FashionMNIST/slim_resnet_1x.yaml"
OLD_RUN = 270_000  # steps


class Images(torch.utils.data.Dataset[Any]):
    """Noise of the shape of Fashion-MNIST."""

    def __init__(self, size: int) -> None:
        self.images = torch.randint(256, (size, 1, 28, 28), dtype=torch.uint8)

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int, int]:
        return self.images[index], index % 10, index


class Idle:
    """A hook of Pet's four points that does nothing."""

    def __init__(self, number: int) -> None:
        self.name = f"Idle{number}"

    def before_train(self) -> None: ...
    def before_step(self, storage: Any) -> None: ...
    def after_step(self, storage: Any, **epochs: int) -> None: ...
    def after_train(self, storage: Any) -> None: ...


@dataclass(frozen=True)
class Contender:
    """A way to run the steps; without hooks it is the bare loop."""

    name: str
    hooks: Callable[[], list[Any]] | None

    def time(self, toy: Toy) -> float:
        """CPU microseconds per step of one block."""
        loop = replace(toy, hooks=self.hooks() if self.hooks else ()).build()
        stamps = Stamps(fetch_in_advance(loop))
        if self.hooks is None:
            bare_loop(loop.model, loop.optimizer, stamps, begin=lambda: None)
        else:
            give(loop, stamps)
            loop.run()
        return stamps.microseconds_per_step()

    def count(self, toy: Toy) -> tuple[int, int]:
        """Operations and reads of the last step that does not log."""
        counter = StepCounter()
        hooks = [StepMarks(counter.mark), *(self.hooks() if self.hooks else ())]
        loop = replace(toy, hooks=hooks).build()
        batches = fetch_in_advance(loop)
        with counter.watching():
            if self.hooks is None:
                bare_loop(loop.model, loop.optimizer, batches, counter.mark)
            else:
                loop.run()
        return counter.operations[-2], len(counter.reads[-2])


CONTENDERS = (
    Contender("bare loop", None),
    Contender("TrainLoop, default hooks", list),
    Contender(f"  the same after {OLD_RUN:,} steps", lambda: [OldRun(OLD_RUN)]),
    Contender("  and eight idle hooks", lambda: [Idle(number) for number in range(8)]),
)


def compare(title: str, toy: Toy, rounds: int) -> None:
    """Time and count all contenders, and print a table."""
    times: dict[str, list[float]] = {contender.name: [] for contender in CONTENDERS}
    dice = random.Random(0)
    with redirect_stdout(io.StringIO()):
        for _ in range(rounds):
            for contender in dice.sample(CONTENDERS, len(CONTENDERS)):
                times[contender.name].append(contender.time(toy))
        counts = {contender.name: contender.count(toy) for contender in CONTENDERS}
    steps = toy.cfg.SOLVER.SCHEDULER.TOTAL_ITERS
    bare = statistics.median(times[CONTENDERS[0].name])
    print(f"\n{title}: {rounds} rounds of {steps} steps, a log line every {PERIOD}")
    print(f"{'':32}{'median':>10}{'lowest':>10}{'highest':>10}{'ratio':>8}{'over bare':>11}{'ops':>6}{'reads':>7}")
    for name, values in times.items():
        median = statistics.median(values)
        operations, reads = counts[name]
        print(f"{name:32}{median:10.0f}{min(values):10.0f}{max(values):10.0f}{median / bare:8.3f}"
              f"{median - bare:+11.0f}{operations:6}{reads:7}")  # fmt: skip


def main() -> None:
    """Print both tables."""
    torch.set_num_threads(1)
    print("CPU time in microseconds per step; ops and reads of tensors in a step that does not log")
    with memory_folder() as folder:
        steps = ("MISC.DISPLAY_ITER", PERIOD, "SOLVER.SCHEDULER.TOTAL_ITERS")
        tiny = Toy(folder, toy_config(*steps, 300), save=False)
        compare("Linear 8-8-4 with four losses, batch 8", tiny, rounds=9)
        overrides = [*steps, 30, "SOLVER.SCHEDULER.TOTAL_EPOCHS", None, "TRAIN.BATCH_SIZE", 8, "EVAL.ENABLED", False]
        cfg = load_config("cls", cfg_file=SLIM_RESNET, overrides=list(map(str, overrides)))
        slim = Toy(folder, cfg, save=False, model=lambda: GeneralizedCNN(cfg), data=Images(64))
        compare("Slim ResNet of the Fashion-MNIST sample, batch 8", slim, rounds=7)


if __name__ == "__main__":
    main()
