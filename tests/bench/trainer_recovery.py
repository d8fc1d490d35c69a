"""How long a training stands still: from the death of a rank to the next new step, from SIGTERM to a durable state.

Real trainings of two ranks under the launcher, on Fashion-MNIST, that save every few steps. One clock for all processes
of the machine. Importing torch is most of a restart: it is measured beside.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bench_conditions import conditions
from harness.training import ROOT, Training

from pet.data.fetch import fetch
from pet.engine.distributed import get_rank

STEPS, PERIOD = 40, 5
STEP_SECONDS = 0.05
LOGGED = "times.log"


class Clock:
    """A hook of all ranks: writes down when rank 0 finished a step, and kills one rank once in the middle of one."""

    def __init__(self, folder: str, step: int = 0, rank: int = 0) -> None:
        self.folder, self.step, self.rank = Path(folder), step, rank

    def before_step(self, storage: Any) -> None:
        time.sleep(STEP_SECONDS)
        mark = self.folder / "killed"
        if storage.iter == self.step and get_rank() == self.rank and not mark.exists():
            mark.write_text(repr(time.monotonic()))
            os.kill(os.getpid(), signal.SIGKILL)

    def after_step(self, storage: Any) -> None:
        if get_rank() == 0:
            with (self.folder / LOGGED).open("a") as file:
                file.write(f"{storage.iter} {time.monotonic()!r}\n")


def training(folder: Path, data: Path, **clock: Any) -> Training:
    """Two ranks with the clock."""
    path = os.pathsep.join(str(ROOT / place) for place in ("tests", "tests/bench", "trainer"))
    hook = {"type": "trainer_recovery:Clock", "args": {"folder": str(folder), **clock}}
    made = Training(folder, data, ranks=2, steps=STEPS, period=PERIOD, hooks=[hook], environ={"PYTHONPATH": path})
    made.folder.mkdir(parents=True)
    return made


def steps_of(folder: Path) -> list[tuple[int, float]]:
    """The steps that rank 0 has finished, and when."""
    path = folder / LOGGED
    lines = path.read_text().splitlines() if path.exists() else []
    return [(int(step), float(at)) for step, at in (line.split() for line in lines if " " in line)]


def after_a_death(folder: Path, data: Path, step: int, rank: int) -> float:
    """Seconds from SIGKILL to the end of the first step that had not been done before."""
    code, output = training(folder, data, step=step, rank=rank).run()
    if code:
        raise SystemExit(output)
    killed = float((folder / "killed").read_text())
    done = {number for number, at in steps_of(folder) if at < killed}
    return next(at for number, at in steps_of(folder) if at > killed and number not in done) - killed


def after_a_stop(folder: Path, data: Path, step: int) -> float:
    """Seconds from SIGTERM at the launcher to the last checkpoint's manifest, with which it counts."""
    made = training(folder, data)
    process = made.start()
    try:
        while not any(number >= step for number, _ in steps_of(folder)):
            if process.poll() is not None:
                raise SystemExit(process.communicate()[0])
            time.sleep(0.005)
        stopped = time.time()
        process.terminate()
        output, _ = process.communicate(timeout=60)
    finally:
        process.kill()
    if process.returncode != 143:
        raise SystemExit(output)
    return max(path.stat().st_mtime for path in made.checkpoints.glob("*.manifest.json")) - stopped


def import_seconds() -> float:
    """What a rank needs until torch is there."""
    begun = time.monotonic()
    subprocess.run([sys.executable, "-c", "import torch"], check=True)
    return time.monotonic() - begun


def show(title: str, seconds: list[float]) -> None:
    """One line of a distribution."""
    ordered = sorted(seconds)
    at = {share: ordered[min(len(ordered) - 1, int(share * len(ordered)))] for share in (0.1, 0.5, 0.9)}
    print(f"{title:48}{len(ordered):6}{ordered[0]:8.2f}{at[0.1]:8.2f}{at[0.5]:8.2f}{at[0.9]:8.2f}{ordered[-1]:8.2f}")


@contextmanager
def new_folder() -> Iterator[Path]:
    """One that is there for one training."""
    with tempfile.TemporaryDirectory() as name:
        yield Path(name) / "training"


def main() -> None:
    """Print the distributions."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=int, default=5, help="trainings of each kind")
    parser.add_argument("--seed", type=int, default=0, help="of the steps and ranks that are hit")
    args = parser.parse_args()
    data, dice = Path.home() / ".cache" / "pet" / "data", random.Random(args.seed)
    fetch("fashion-mnist", data)
    deaths, stops, imports = [], [], []
    for _ in range(args.times):
        step, rank = dice.randrange(PERIOD + 1, STEPS - PERIOD), dice.randrange(2)
        with new_folder() as folder:
            deaths.append(after_a_death(folder, data, step, rank))
        with new_folder() as folder:
            stops.append(after_a_stop(folder, data, step))
        imports.append(import_seconds())
    print(f"Restarts: two ranks, a checkpoint every {PERIOD} steps of {STEP_SECONDS} s or more, seed {args.seed}")
    print(f"{conditions()}\n{'seconds':48}{'times':>6}{'lowest':>8}{'10 %':>8}{'median':>8}{'90 %':>8}{'highest':>8}")
    show("SIGKILL of a rank to the first new step", deaths)
    show("SIGTERM to the durable checkpoint", stops)
    show("import torch, alone", imports)
    print(f"a restart is {statistics.median(deaths) / statistics.median(imports):.1f} imports of torch")


if __name__ == "__main__":
    main()
