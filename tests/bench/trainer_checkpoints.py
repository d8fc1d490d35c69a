"""What a checkpoint costs a training, and its load, beside torch.save and torch's distributed checkpoints (DCP).

All write the same model with its AdamW state to the same disk. A save's stall is what the loop waits for; its cost is
how much longer the same steps take with a save before them, until the bytes are on the disk. A load ends with a filled
model and optimizer, from a warm page cache; only Pet's has then read every byte and compared its checksum.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache, partial
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
import torch.distributed.checkpoint as dcp
from bench_conditions import conditions
from harness.toy import toy_config
from torch import nn

from pet.config import JobEnvironment
from pet.engine.checkpointer import CheckPointer
from pet.engine.scheduler import LearningRateScheduler

GIGABYTES = (0.3, 1.5)
WIDTH = 2048  # of a layer: 4 WIDTH² bytes, and as much for each of AdamW's two averages
STEP_SECONDS = 0.05
COMPUTE_SECONDS = 6.0  # after each save: longer than the slowest of them writes


class Training:
    """A model with optimizer state of about so many bytes, and steps that only compute."""

    def __init__(self, size: float) -> None:
        self.model = nn.Sequential(*(nn.Linear(WIDTH, WIDTH) for _ in range(round(size / (12 * WIDTH**2)))))
        self.optimizer = torch.optim.AdamW(self.model.parameters())
        for parameter in self.model.parameters():
            parameter.grad = torch.ones_like(parameter)
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.scheduler = LearningRateScheduler(self.optimizer, toy_config().SOLVER)
        self._matrix = torch.randn(512, 512)
        self._products = 1
        self._products = max(1, round(STEP_SECONDS / self._timed_step()))

    @property
    def state(self) -> dict[str, Any]:
        """What others save."""
        return {"model": self.model.state_dict(), "optimizer": self.optimizer.state_dict()}

    def load(self, state: dict[str, Any]) -> None:
        """Fill model and optimizer."""
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])

    def compute(self, steps: int) -> None:
        """Train, as far as a save can tell."""
        for _ in range(steps * self._products):
            torch.mm(self._matrix, self._matrix)

    def _timed_step(self) -> float:
        begun = time.perf_counter()
        self.compute(20)
        return (time.perf_counter() - begun) / 20


@dataclass
class Writer:
    """A way to save and to load, each in a folder of its own; `save` may return a way to wait for the disk.

    `begin` is what a training does once, before its first save.
    """

    name: str
    save: Callable[[Training, Path], Any]
    load: Callable[[Training, Path], None]
    begin: Callable[[Path], Any] = lambda folder: None
    stalls: list[float] = field(default_factory=list)
    costs: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    loads: list[float] = field(default_factory=list)


@cache
def _opened(folder: Path) -> CheckPointer:
    return CheckPointer(str(folder), environment=JobEnvironment())


def _pet_save(training: Training, folder: Path, background: bool = False) -> Any:
    training.scheduler.step()
    pointer = _opened(folder)
    pointer.save(training.model, training.optimizer, training.scheduler, background=background)
    return partial(pointer.written, wait=True) if background else None


def _pet_load(training: Training, folder: Path) -> None:
    _opened.cache_clear()  # another process would: it reads, verifies and owns the folder from now on
    pointer = _opened(folder)
    pointer.load_model(training.model)
    pointer.load_optimizer(training.optimizer)
    assert pointer.resume


def _torch_save(training: Training, folder: Path) -> None:
    torch.save(training.state, folder / "model.pth")


def _torch_save_durably(training: Training, folder: Path) -> None:
    with (folder / "model.tmp").open("wb") as file:
        torch.save(training.state, file)
        file.flush()
        os.fsync(file.fileno())
    os.replace(folder / "model.tmp", folder / "model.pth")
    handle = os.open(folder, os.O_RDONLY)
    os.fsync(handle)
    os.close(handle)


def _torch_load(training: Training, folder: Path) -> None:
    training.load(torch.load(folder / "model.pth", weights_only=True))


def _dcp_save(training: Training, folder: Path) -> None:
    dcp.save(training.state, checkpoint_id=_emptied(folder))


def _dcp_async_save(training: Training, folder: Path) -> Any:
    return dcp.async_save(training.state, checkpoint_id=_emptied(folder)).result


def _dcp_load(training: Training, folder: Path) -> None:
    state = training.state
    dcp.load(state, checkpoint_id=folder)
    training.load(state)


def _emptied(folder: Path) -> Path:
    shutil.rmtree(folder)
    folder.mkdir()
    return folder


def writers() -> list[Writer]:
    """All that are compared; figures are beside the first."""
    return [
        Writer("torch.save(path), not durable", _torch_save, _torch_load),
        Writer("torch.save, fsync, rename", _torch_save_durably, _torch_load),
        Writer("DCP save", _dcp_save, _dcp_load),
        Writer("DCP async_save", _dcp_async_save, _dcp_load),
        Writer("Pet", _pet_save, _pet_load, _opened),
        Writer("Pet, in the background", partial(_pet_save, background=True), _pet_load, _opened),
    ]


def measure(writer: Writer, training: Training, folder: Path) -> None:
    """One save with steps after it, and one load."""
    folder.mkdir(parents=True, exist_ok=True)
    writer.begin(folder)
    steps = round(COMPUTE_SECONDS / STEP_SECONDS)
    begun = _now()
    training.compute(steps)
    alone = _since(begun)
    os.sync()  # what others wrote is not to be waited for here
    begun = _now()
    wait = writer.save(training, folder)
    writer.stalls.append(_since(begun)[0])
    training.compute(steps)
    if wait is not None:
        wait()
    seconds, cpu = _since(begun)
    writer.costs.append(seconds - alone[0])
    writer.cpu.append(cpu - alone[1])
    begun = _now()
    writer.load(training, folder)
    writer.loads.append(_since(begun)[0])


def _now() -> tuple[float, float]:
    """The time, and what this process has computed, in seconds."""
    return time.perf_counter(), time.process_time()


def _since(then: tuple[float, float]) -> tuple[float, float]:
    seconds, cpu = _now()
    return seconds - then[0], cpu - then[1]


def compare(gigabytes: float, rounds: int, folder: Path) -> None:
    """All in turns, and a table of medians."""
    training, contenders, dice = Training(gigabytes * 1e9), writers(), random.Random(0)
    for _ in range(rounds):
        for writer in dice.sample(contenders, len(contenders)):
            measure(writer, training, folder / writer.name.replace(" ", "-"))
    print(f"\n{gigabytes} GB, {rounds} rounds, medians in seconds (ratio to the first)")
    print(f"{'':32}{'stall':>16}{'cost':>16}{'CPU of a save':>16}{'load':>16}")
    first = contenders[0]
    for writer in contenders:
        pairs = ((writer.stalls, first.stalls), (writer.costs, first.costs), (writer.cpu, first.cpu),
                 (writer.loads, first.loads))  # fmt: skip
        print(f"{writer.name:32}" + "".join(map(_beside, *zip(*pairs, strict=True))))


def _beside(mine: list[float], others: list[float]) -> str:
    median, other = statistics.median(mine), statistics.median(others)
    return f"{median:8.2f} ({median / other:4.2f})"


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--folder", type=Path, help="on the disk to measure; default: that of temporary files")
    args = parser.parse_args()
    torch.set_num_threads(1)
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)  # DCP asks for one
    with tempfile.TemporaryDirectory(dir=args.folder) as name:
        print(f"Checkpoints of one process on the CPU, in {Path(name).parent}\n{conditions()}")
        for gigabytes in GIGABYTES:
            compare(gigabytes, args.rounds, Path(name) / f"{gigabytes}")
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
