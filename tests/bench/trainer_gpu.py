"""The trainer on a GPU: ResNet-50 beside a plain loop on the same card, waits for the device, a save, exact resume.

Speed is wall time between two moments at which the card has nothing left to do. The plain loop is written after
torchvision's reference for classification, which reads the loss in each step. Without CUDA nothing is measured, and
said so; `--device cpu` runs the same lines small, to see that they work.
"""

from __future__ import annotations

import argparse
import random
import statistics
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
import torchvision
from bench_conditions import conditions
from harness.counting import give
from harness.exact import CUDA, Case, References, Setting, differing_parts
from harness.memory import memory_folder
from harness.toy import Toy
from peer_loops import PERIOD
from torch import nn

from pet.config import load_config
from pet.tasks.cls.model import GeneralizedCNN

CFG = "cfgs/tasks/cls/ImageNet/resnet50_1x.yaml"
CLASSES, RATE = 1000, 1e-3
BATCHES = 8  # different ones, in turns
WARM_UP = 20  # steps
STOPS = (1, 17)  # of the check of a resume


@dataclass(frozen=True)
class Bench:
    """What is measured where."""

    device: torch.device
    batch: int
    size: int  # pixels along a side
    steps: int
    precision: str = "fp32"  # or bf16, which goes with channels_last

    @property
    def is_mixed(self) -> bool:
        return self.precision == "bf16"


class Synthetic:
    """Batches of noise that are on the host already, page-locked for CUDA; knows how long it took to use them."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.marks: list[float] = []
        locked = bench.device.type == "cuda"
        self.batches = [
            tuple(part.pin_memory() if locked else part for part in (
                torch.randint(256, (bench.batch, 3, bench.size, bench.size), dtype=torch.uint8),
                torch.randint(CLASSES, (bench.batch,)), torch.arange(bench.batch)))
            for _ in range(BATCHES)
        ]  # fmt: skip

    def __iter__(self) -> Iterator[Any]:
        for step in range(self.bench.steps):
            if step in (WARM_UP, self.bench.steps - 1):
                _wait(self.bench.device)
                self.marks.append(time.perf_counter())
            yield self.batches[step % BATCHES]

    @property
    def images_per_second(self) -> float:
        """Of all but the first steps."""
        begun, ended = self.marks
        return (self.bench.steps - 1 - WARM_UP) * self.bench.batch / (ended - begun)


class Waits:
    """A hook that counts the operations of each step that wait for the device."""

    name = "Waits"
    priority = 0

    def __init__(self) -> None:
        self.by_step: list[int] = []
        self._seen: list[warnings.WarningMessage] = []
        self._catch = warnings.catch_warnings(record=True)

    def before_train(self) -> None:
        self._seen = self._catch.__enter__() or []
        warnings.simplefilter("always")
        torch.cuda.set_sync_debug_mode("warn")

    def before_step(self, storage: Any) -> None:
        self.by_step.append(len(self._seen))

    def after_train(self, storage: Any) -> None:
        torch.cuda.set_sync_debug_mode("default")
        self.by_step.append(len(self._seen))
        self._catch.__exit__(None, None, None)

    @property
    def in_steps_without_a_log(self) -> int:
        """All of them, the first steps left out: what is tuned and allocated there may wait."""
        counts = [after - before for before, after in pairwise(self.by_step)]
        return sum(count for step, count in enumerate(counts, start=1) if step > WARM_UP and step % PERIOD)


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _toy(bench: Bench, folder: Path, *, save: bool = False) -> Toy:
    keys = {
        "MISC.DEVICE": bench.device.type, "TRAIN.BATCH_SIZE": bench.batch, "EVAL.ENABLED": False,
        "MISC.CHANNELS_LAST": bench.is_mixed, "SOLVER.AMP.ENABLED": bench.is_mixed, "MISC.DISPLAY_ITER": PERIOD,
        "DATA.LOADER_THREADS": 0, "SOLVER.SCHEDULER.TOTAL_EPOCHS": 1, "SOLVER.SCHEDULER.POLICY": "COSINE",
        "SOLVER.OPTIMIZER.BASE_LR": RATE,
    }  # fmt: skip
    cfg = load_config("cls", cfg_file=CFG, overrides=[str(word) for pair in keys.items() for word in pair])
    return Toy(folder, cfg, save=save, model=lambda: GeneralizedCNN(cfg), data=range(bench.steps * bench.batch))  # type: ignore[arg-type]


def pet(bench: Bench, batches: Synthetic, folder: Path) -> None:
    """Our loop with its default hooks."""
    loop = _toy(bench, folder).build()
    give(loop, batches)
    loop.run()


def plain(bench: Bench, batches: Synthetic, folder: Path) -> None:
    """Loss, accuracy and rate are taken in each step, as the reference's logger does."""
    layout = torch.channels_last if bench.is_mixed else torch.contiguous_format
    model = torchvision.models.resnet50().to(bench.device, memory_format=layout)
    optimizer = torch.optim.SGD(model.parameters(), lr=RATE, momentum=0.9, weight_decay=1e-4)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, bench.steps)
    criterion = nn.CrossEntropyLoss()
    taken: list[float] = []
    for images, labels, _ in batches:
        # The reference's loader gives floats: it has normalised on the host. Here that is not its cost.
        images = images.to(bench.device, non_blocking=True).float().div_(255).to(memory_format=layout)
        labels = labels.to(bench.device, non_blocking=True)
        with torch.autocast(bench.device.type, torch.bfloat16, enabled=bench.is_mixed):
            outputs = model(images)
            loss = criterion(outputs, labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        scheduler.step()
        taken += [loss.item(), (outputs.argmax(1) == labels).float().mean().item()]


CONTENDERS: dict[str, Callable[[Bench, Synthetic, Path], None]] = {"plain loop": plain, "Pet, default hooks": pet}


def compare(bench: Bench, rounds: int, folder: Path) -> None:
    """Images per second of both, in turns."""
    speeds: dict[str, list[float]] = {name: [] for name in CONTENDERS}
    dice = random.Random(0)
    for _ in range(rounds):
        for name in dice.sample(list(CONTENDERS), len(CONTENDERS)):
            batches = Synthetic(bench)
            CONTENDERS[name](bench, batches, folder)
            speeds[name].append(batches.images_per_second)
    first = statistics.median(speeds["plain loop"])
    for name, values in speeds.items():
        median = statistics.median(values)
        print(f"{name:24}{bench.precision:>8}{median:12.1f}{min(values):10.1f}{max(values):10.1f}{median / first:8.3f}")


def count_waits(bench: Bench, folder: Path) -> int:
    """How often a step that does not log waits for the device."""
    waits = Waits()
    loop = replace(_toy(bench, folder), hooks=[waits]).build()
    give(loop, Synthetic(bench))
    loop.run()
    return waits.in_steps_without_a_log


def time_save(bench: Bench, folder: Path) -> float:
    """Seconds that the loop waits for a save of the model with its momentum."""
    loop = _toy(bench, folder, save=True).build()
    give(loop, Synthetic(bench))
    loop.run()
    _wait(bench.device)
    loop.scheduler.step()
    loop.iteration += 1
    begun = time.perf_counter()
    loop.save()
    return time.perf_counter() - begun


def resumed_exactly(folder: Path, device: str) -> bool:
    """Whether a training of one rank goes on bit for bit on this device."""
    references = References(folder, seed=0)
    setting = Setting(ranks=1, workers=0, feature=CUDA if device == "cuda" else "")
    return all(differing_parts(Case(setting, stop), references, folder / str(stop)) == [] for stop in STOPS)


def main() -> None:
    """Print speeds and counts; fail where a count is wrong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--steps", type=int, default=121)
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    if args.device == "cuda" and not torch.cuda.is_available():
        print("GPU: left out, torch sees no CUDA device here")
        return
    device = torch.device(args.device)
    card = torch.cuda.get_device_name() if args.device == "cuda" else "the CPU"
    print(f"GPU: ResNet-50 on {card}, {args.batch} images of {args.size} pixels a step, synthetic\n{conditions()}")
    print(f"{'':32}{'images/s':>12}{'lowest':>10}{'highest':>10}{'ratio':>8}")
    with memory_folder() as folder:
        bench = Bench(device, args.batch, args.size, args.steps)
        for precision in ("fp32", "bf16"):
            compare(replace(bench, precision=precision), args.rounds, folder / precision)
        print(f"stall of a save: {time_save(bench, folder / 'saved'):.3f} s")
        exact = resumed_exactly(folder / "exact", args.device)
        waits = count_waits(bench, folder / "waits") if args.device == "cuda" else 0
    print(
        f"waits for the device in {args.steps - WARM_UP} steps, where they do not log: {waits}; exact resume: {exact}"
    )
    if waits or not exact:
        raise SystemExit("a count is wrong")


if __name__ == "__main__":
    main()
