"""The trainer on a GPU: ResNet-50 beside a plain loop on the same card, what saves cost it, waits for the device.

Speed is wall time between two moments at which the card has nothing left to do. The plain loop is written after
torchvision's reference for classification, which reads the loss in each step. Without CUDA nothing is measured, and
said so; `--device cpu` runs the same lines small, to see that they work. What must hold is in `make test-gpu`.
"""

from __future__ import annotations

import argparse
import os
import random
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import torch
import torchvision
from bench_conditions import conditions
from harness.card import NeverWaits
from harness.counting import give
from harness.memory import memory_folder
from harness.toy import Toy
from peer_loops import PERIOD
from torch import nn
from trainer_input import CLASSES, make_images, reference_loader

from pet.config import load_config
from pet.engine.loop import TrainLoop
from pet.tasks.cls.batch import make_collate
from pet.tasks.cls.dataset import build_dataset
from pet.tasks.cls.model import GeneralizedCNN

CFG = "cfgs/tasks/cls/ImageNet/resnet50_1x.yaml"
RATE = 1e-3
BATCHES = 8  # different ones of noise, in turns
IMAGES = 512  # files
WARM_UP = 20  # steps
SAVES = 5  # of each kind


@dataclass(frozen=True)
class Bench:
    """What is measured where."""

    device: torch.device
    batch: int
    size: int  # pixels along a side of noise
    steps: int
    workers: int  # of a loader of files
    files: Path  # below which they lie
    precision: str = "fp32"  # or bf16, which goes with channels_last
    from_files: bool = False  # or noise that is on the host already

    @property
    def is_mixed(self) -> bool:
        return self.precision == "bf16"

    @property
    def noise(self) -> list[Any]:
        """As many batches as steps, a few of them in turns, page-locked for CUDA."""
        locked = self.device.type == "cuda"
        some = [
            tuple(part.pin_memory() if locked else part for part in (
                torch.randint(256, (self.batch, 3, self.size, self.size), dtype=torch.uint8),
                torch.randint(CLASSES, (self.batch,)), torch.arange(self.batch)))
            for _ in range(BATCHES)
        ]  # fmt: skip
        return [some[step % BATCHES] for step in range(self.steps)]


class Clock:
    """The wall time of all steps but the first and the last; also a hook."""

    name = "Clock"
    priority = 0

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.marks: list[float] = []

    def before_step(self, storage: Any) -> None:
        self.tick(storage.iter - 1)

    def tick(self, step: int) -> None:
        """Step `step`, from 0, begins."""
        if step in (WARM_UP, self.bench.steps - 1):
            _wait(self.bench.device)
            self.marks.append(time.perf_counter())

    @property
    def images_per_second(self) -> float:
        begun, ended = self.marks
        return (self.bench.steps - 1 - WARM_UP) * self.bench.batch / (ended - begun)


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _build(bench: Bench, folder: Path, *, save: bool = False, hooks: Sequence[Any] = ()) -> TrainLoop:
    """The classification training that the configuration says, on what the bench gives it."""
    keys = {
        "MISC.DEVICE": bench.device.type, "TRAIN.BATCH_SIZE": bench.batch, "EVAL.ENABLED": False,
        "MISC.CHANNELS_LAST": bench.is_mixed, "SOLVER.AMP.ENABLED": bench.is_mixed, "MISC.DISPLAY_ITER": PERIOD,
        "DATA.LOADER_THREADS": bench.workers, "TRAIN.DATASETS": ("Noise_train",), "MODEL.NUM_CLASSES": CLASSES,
        "SOLVER.SCHEDULER.TOTAL_EPOCHS": None, "SOLVER.SCHEDULER.TOTAL_ITERS": bench.steps,
        "SOLVER.SCHEDULER.POLICY": "COSINE", "SOLVER.OPTIMIZER.BASE_LR": RATE, "SOLVER.SNAPSHOT_EPOCHS": None,
        "TEST.FREQUENCY_EPOCHS": -1,
    }  # fmt: skip
    cfg = load_config("cls", cfg_file=CFG, overrides=[str(word) for pair in keys.items() for word in pair])
    loop = Toy(folder, cfg, save=save, model=lambda: GeneralizedCNN(cfg), data=build_dataset(cfg, is_train=True),
               collate=make_collate(cfg), hooks=hooks).build()  # fmt: skip
    if not bench.from_files:
        give(loop, bench.noise)
    return loop


def pet(bench: Bench, clock: Clock, folder: Path) -> None:
    """Our loop with its default hooks."""
    _build(bench, folder, hooks=[clock]).run()


def plain(bench: Bench, clock: Clock, folder: Path) -> None:
    """Loss and accuracy are read in each step, as the reference's logger does."""
    torch.backends.cudnn.benchmark = True
    layout = torch.channels_last if bench.is_mixed else torch.contiguous_format
    model = torchvision.models.resnet50(num_classes=CLASSES).to(bench.device, memory_format=layout)
    optimizer = torch.optim.SGD(model.parameters(), lr=RATE, momentum=0.9, weight_decay=1e-4)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, bench.steps)
    criterion = nn.CrossEntropyLoss()
    taken: list[float] = []
    loader = reference_loader(bench.files, bench.workers, bench.batch, bench.steps * bench.batch)
    batches = iter(loader if bench.from_files else bench.noise)
    for step in range(bench.steps):
        clock.tick(step)
        images, labels, *_ = next(batches)
        images, labels = images.to(bench.device, non_blocking=True), labels.to(bench.device, non_blocking=True)
        if not images.is_floating_point():
            images = images.float().div_(255)
        with torch.autocast(bench.device.type, torch.bfloat16, enabled=bench.is_mixed):
            outputs = model(images.to(memory_format=layout))
            loss = criterion(outputs, labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        scheduler.step()
        taken += [loss.item(), (outputs.argmax(1) == labels).float().mean().item()]


CONTENDERS: dict[str, Callable[[Bench, Clock, Path], None]] = {"plain loop": plain, "Pet, default hooks": pet}


def compare(bench: Bench, rounds: int, folder: Path) -> None:
    """Images per second of both, in turns."""
    speeds: dict[str, list[float]] = {name: [] for name in CONTENDERS}
    dice = random.Random(0)
    for _ in range(rounds):
        for name in dice.sample(list(CONTENDERS), len(CONTENDERS)):
            clock = Clock(bench)
            CONTENDERS[name](bench, clock, folder)
            speeds[name].append(clock.images_per_second)
    first = statistics.median(speeds["plain loop"])
    for name, values in speeds.items():
        median = statistics.median(values)
        source = "files" if bench.from_files else "noise"
        print(f"{name:20}{source:>8}{bench.precision:>8}{median:12.1f}{min(values):10.1f}{max(values):10.1f}"
              f"{median / first:8.3f}", flush=True)  # fmt: skip


def steps_without_a_wait(bench: Bench, folder: Path) -> int:
    """How many steps that do not log go by with every wait for the device forbidden. Raises RuntimeError at one."""
    never = NeverWaits(WARM_UP, PERIOD, bench.steps)
    _build(bench, folder, hooks=[never]).run()
    return never.watched


def time_saves(bench: Bench, folder: Path) -> None:
    """What the loop waits for a save of the model with its momentum: until the host goes on, and until the card is
    free for the next step. The first save in the background makes its buffers."""
    loop = _build(bench, folder, save=True)
    loop.run()
    state = {"model": loop.model.state_dict(), "optimizer": loop.optimizer.state_dict()}
    ways: dict[str, Callable[[], Any]] = {
        "torch.save(path), not durable": partial(torch.save, state, folder / "model.pth"),
        "Pet": loop.save,
        "Pet, in the background": partial(loop.save, background=True),
    }
    print(f"{'':36}{'host waits, s':>16}{'first':>10}{'card waits, s':>16}{'first':>10}", flush=True)
    for name, save in ways.items():
        hosts, cards = zip(*(_timed(save, loop) for _ in range(SAVES)), strict=True)
        print(f"{name:36}{statistics.median(hosts):16.4f}{hosts[0]:10.4f}{statistics.median(cards):16.4f}"
              f"{cards[0]:10.4f}", flush=True)  # fmt: skip


def _timed(save: Callable[[], Any], loop: TrainLoop) -> tuple[float, float]:
    loop.scheduler.step()
    loop.iteration += 1
    _wait(loop.device)
    begun = time.perf_counter()
    save()
    host = time.perf_counter() - begun
    _wait(loop.device)
    card = time.perf_counter() - begun
    loop.checkpointer.written(wait=True)
    return host, card


def main() -> None:
    """Print speeds and counts; fail where a count is wrong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--workers", type=int, default=os.cpu_count(), help="of a loader of files")
    parser.add_argument("--steps", type=int, default=121)
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    if args.device == "cuda" and not torch.cuda.is_available():
        print("GPU: left out, torch sees no CUDA device here")
        return
    device = torch.device(args.device)
    card = torch.cuda.get_device_name() if args.device == "cuda" else "the CPU"
    print(f"GPU: ResNet-50 on {card}, {args.batch} images of {args.size} pixels a step\n{conditions()}", flush=True)
    with memory_folder() as folder, tempfile.TemporaryDirectory() as disk:
        files = folder / "data"
        make_images(files, max(IMAGES, args.batch) if args.device == "cuda" else args.batch)
        os.environ["PETJOB_DATA_DIR"] = str(files)
        bench = Bench(device, args.batch, args.size, args.steps, args.workers, files)
        time_saves(replace(bench, steps=2), Path(disk))
        print(f"{'':36}{'images/s':>12}{'lowest':>10}{'highest':>10}{'ratio':>8}", flush=True)
        for from_files, precision in product((False, True), ("fp32", "bf16")):
            compare(replace(bench, precision=precision, from_files=from_files), args.rounds, folder / "compared")
        if args.device == "cuda":
            steps = steps_without_a_wait(replace(bench, precision="bf16"), folder / "waits")
            print(f"steps that do not log and in which nothing waits for the device: {steps} of {steps}")


if __name__ == "__main__":
    main()
