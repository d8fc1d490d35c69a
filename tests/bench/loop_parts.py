"""What the parts of a step cost: each added alone to the least that trains, all of them together, and the real loop.

Blocks of steps take turns, in a new order each round, in one process and on one thread; CPU time. A part costs several
times what it does in a tight loop of its own, since between two steps a model fills the caches: so each is measured
where it runs. What the real loop costs over the sum of its parts is its structure: hooks that users can add to,
accumulation, precision, ranks.
"""

from __future__ import annotations

import argparse
import io
import random
import time
from collections.abc import Callable
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import torch
from bench_clock import Stamps
from bench_conditions import conditions
from harness.memory import memory_folder
from peer_loops import PERIOD, RATE, parts_of_a_training, pet_as_others, total_of
from trainer_loops import BLOCK, STEPS, WARM_UP, batches

from pet.engine.events import EventStorage, Pending
from pet.engine.metrics import flush_metrics, write_host_metrics, write_metrics
from pet.runfiles.heartbeat import HeartbeatWriter, Section

CPU = torch.device("cpu")
PARTS = {
    "inputs and targets to the device": {"move"},
    "three signs of life": {"signs"},
    "a rate that moves": {"rate"},
    "losses of each step kept": {"keep"},
    "  and read at a window's end": {"keep", "read"},
}


class Steps:
    """The bare loop, with parts."""

    def __init__(self, folder: Path, parts: set[str]) -> None:
        self.parts = parts
        self.model, self.optimizer = parts_of_a_training()
        self.heartbeat = HeartbeatWriter(folder / str(id(self)), attempt=0, restart=0, rank=0, local_rank=0)
        self.storage = EventStorage(1, PERIOD)

    def __call__(self, stamps: Stamps) -> None:
        """Train on all batches."""
        move, signs, rate, keep, read = (name in self.parts for name in ("move", "signs", "rate", "keep", "read"))
        storage, heartbeat, optimizer = self.storage, self.heartbeat, self.optimizer
        for inputs, targets, _ in stamps:
            if signs:
                heartbeat.enter(Section.DATA)
                heartbeat.enter(Section.STEP)
            if move:
                inputs, targets = inputs.to(CPU, non_blocking=True), targets.to(CPU, non_blocking=True)
            optimizer.zero_grad()
            losses = self.model(inputs, targets)["losses"]
            loss = total_of(losses)
            loss.backward()
            if keep:
                write_metrics({**losses, "total_loss": loss}, storage)
                write_host_metrics({"data_time": 0.0}, storage)
            optimizer.step()
            if signs:
                heartbeat.step(storage.iter, 0.0, 0.0)
            if rate:
                storage.put_scalar("lr", optimizer.param_groups[0]["lr"], smoothing_hint=False)
                optimizer.param_groups[0]["lr"] = RATE / storage.iter
            if storage.closes_window and read:
                flush_metrics(storage)
            elif storage.closes_window:
                storage.pending = Pending()
            storage.step()


def compare(rounds: int) -> None:
    """Measure all in turns, and print a table."""
    data: list[Any] = batches()
    with memory_folder() as folder, redirect_stdout(io.StringIO()):
        rows: dict[str, Callable[[Stamps], None]] = {"bare loop": Steps(folder, set())}
        rows |= {name: Steps(folder, parts) for name, parts in PARTS.items()}
        rows["all of these"] = Steps(folder, set().union(*PARTS.values()))
        rows["Pet, what the others do"] = lambda stamps: pet_as_others(stamps, STEPS, 0)
        figures: dict[str, list[float]] = {name: [] for name in rows}
        dice = random.Random(0)
        for _ in range(rounds):
            for name in dice.sample(list(rows), len(rows)):
                stamps = Stamps(data)
                rows[name](stamps)
                figures[name] += stamps.blocks(WARM_UP, BLOCK)
    print(f"{'':36}{'quartile':>10}{'lowest':>10}{'over bare':>11}")
    bare = _quartile(figures["bare loop"])
    for name, values in figures.items():
        print(f"{name:36}{_quartile(values):10.1f}{min(values):10.1f}{_quartile(values) - bare:+11.1f}")


def _quartile(values: list[float]) -> float:
    """The lower one: what disturbs a block only makes it slower."""
    return sorted(values)[len(values) // 4]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=30, help="of each row")
    rounds = parser.parse_args().rounds
    torch.set_num_threads(1)
    print(f"CPU microseconds per step, in blocks of {BLOCK}\n{conditions()}", flush=True)
    began = time.monotonic()
    compare(rounds)
    print(f"{rounds} rounds in {time.monotonic() - began:.0f} s")


if __name__ == "__main__":
    main()
