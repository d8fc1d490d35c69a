"""What trainers cost over the least that trains, side by side in one run.

CPU time of fresh processes in a shuffled order, one thread, the lowest block of 100 steps; all trainers train the same
model on the same batches, and one clock, stamped where a batch is fetched, leaves out what comes before and after. It
is time of the host, which a GPU that is busy hides. Differences below some 20 microseconds mean nothing.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from bench_clock import Stamps
from bench_conditions import conditions
from harness.toy import ToyData
from peer_loops import LOOPS, PERIOD

PEERS = ("lightning", "accelerate", "pytorch-ignite", "mmengine-lite")
HISTORIES = (0, 90_000, 270_000)  # steps
WARM_UP, BLOCK, BLOCKS = 100, 100, 5
STEPS = WARM_UP + BLOCK * BLOCKS + 1


def batches() -> list[Any]:
    """STEPS of them, eight different ones in turns."""
    data, places = ToyData(), torch.arange(64).split(8)
    some = [(data.inputs[place], data.targets[place], place) for place in places]
    return [some[step % len(some)] for step in range(STEPS)]


def measure(name: str, history: int) -> float:
    """CPU microseconds per step, in a fresh process."""
    with tempfile.NamedTemporaryFile() as file:
        command = [sys.executable, __file__, "--one", name, "--history", str(history), "--out", file.name]
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
        if done.returncode:
            raise SystemExit(f"{name} at {history:,} failed:\n{done.stdout[-4000:]}")
        microseconds: float = json.loads(Path(file.name).read_text())
        return microseconds


def one(name: str, history: int, out: str) -> None:
    """Train in this process, and leave the figure in a file."""
    torch.set_num_threads(1)
    stamps = Stamps(batches())
    LOOPS[name][0](stamps, STEPS, history)
    Path(out).write_text(json.dumps(stamps.fastest_block(WARM_UP, BLOCK)))


def compare(rounds: int) -> None:
    """Measure all in turns, and print a table."""
    runs = [(name, history) for name, (_, matters) in LOOPS.items() for history in (HISTORIES if matters else (0,))]
    figures: dict[tuple[str, int], list[float]] = {run: [] for run in runs}
    dice = random.Random(0)
    for number in range(1, rounds + 1):
        for run in dice.sample(runs, len(runs)):
            figures[run].append(measure(*run))
            name, history = run
            print(f"round {number} of {rounds}: {name} after {history:,}: {figures[run][-1]:.0f}", flush=True)
    bare = min(figures["bare loop", 0])
    print(f"{'':32}{'after':>9}{'lowest':>9}{'median':>9}{'highest':>9}{'over bare':>11}{'ratio':>8}")
    for (name, history), values in figures.items():
        lowest = min(values)
        print(f"{name:32}{history:9,}{lowest:9.0f}{statistics.median(values):9.0f}{max(values):9.0f}"
              f"{lowest - bare:+11.0f}{lowest / bare:8.2f}")  # fmt: skip


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5, help="processes of each")
    for internal in ("--one", "--history", "--out"):
        parser.add_argument(internal, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        one(args.one, int(args.history), args.out)
        return
    peers = ", ".join(f"{name} {version(name)}" for name in PEERS)
    print(f"Loops: CPU microseconds per step; Linear 8-8-4 with four losses, batch 8, looked at every {PERIOD} steps")
    print(f"{conditions()}; {peers}")
    compare(args.rounds)


if __name__ == "__main__":
    main()
