"""A long training to which something happens every half minute, and all that must hold of it.

It is checked by this module as a program of its own, in a mount namespace: its disk can be filled there, and every file
that is left in memory is its own.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

from harness.beside import run_beside
from harness.gang import gang
from harness.memory import SHARED
from harness.soak_events import KINDS, RANKS, STALL_SECONDS, Attempt, events
from harness.training import TIMEOUT, Training, differences
from harness.vitals import TRAINING, Vitals

STEPS_A_MINUTE = 150  # at most, so that it lasts on any machine; a busy one makes about as many
_LATE = 0.001  # of the samples
_KEPT = 3  # checkpoints
_DISK = "64m"
_LOOK_SECONDS = 0.2


def soaked(folder: Path, data: Path, minutes: float) -> Training:
    """A training of as many steps as take so long."""
    steps = round(STEPS_A_MINUTE * minutes)
    return Training(folder, data, ranks=RANKS, steps=steps, period=10, overrides=("SOLVER.SNAPSHOT_KEEP", str(_KEPT)))


def calm(folder: Path, data: Path, minutes: float) -> Training:
    """The same without anything, done."""
    training = soaked(folder, data, minutes)
    output, _ = (process := training.start()).communicate(timeout=_limit(minutes))
    assert process.returncode == 0, output
    return training


def check(what: str, seed: int, minutes: float, folder: Path, expected: Training) -> str:
    """`what` is faults, or pauses; what there is to tell of it. Raises AssertionError."""
    words = (what, str(seed), str(minutes), *map(str, (folder, expected.data, expected.folder)))
    return run_beside("mount", "harness.soak", *words, seconds=_limit(minutes))


def _limit(minutes: float) -> float:
    """Seconds that so long a training may take on a busy machine."""
    return TIMEOUT + 10 * 60 * minutes


def _soak(training: Training, what: str, seed: int, vitals: Vitals) -> list[str]:
    """Let happen what happens, until the training is over; what happened."""
    schedule, number, code, happened = events(seed, tuple(KINDS[what])), 0, -1, []
    event, since = next(schedule), time.monotonic()
    while code != 0:
        number += 1
        with gang(training, 1, attempt=number) as made:
            attempt = Attempt(made, training, number)
            while not made.over:
                status = vitals.look(made)
                if not event.early and (status is None or status["state"] not in TRAINING):
                    since = time.monotonic()
                due = time.monotonic() - since >= event.seconds and not attempt.ending
                if due and status is not None and KINDS[what][event.kind](attempt, event, status):
                    happened.append(f"attempt {number}, iteration {status['iteration']}: {event}")
                    print(happened[-1])
                    event, since = next(schedule), time.monotonic()
                time.sleep(_LOOK_SECONDS)
            code = attempt.check()
        if attempt.damage is not None:
            attempt.damage()
    return happened


def main(what: str, seed: str, minutes: str, folder: str, data: str, expected: str) -> None:
    """Check it. Raises AssertionError."""
    training = soaked(Path(folder), Path(data), float(minutes))
    training.checkpoints.mkdir(parents=True)
    for place, size in ((str(training.checkpoints), _DISK), (SHARED, "1g")):
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "none", place], check=True)
    training.environ = {"PETJOB_STALL_SECONDS": str(STALL_SECONDS), "PETJOB_RESTARTS_LEFT": "1000"}
    slow = {"seconds": 60 / STEPS_A_MINUTE}
    if what == "pauses":
        slow |= {"late": _LATE, "seed": int(seed)}
        training.overrides += ("EVAL.ENABLED", "True", "TEST.FREQUENCY_ITERS", str(STEPS_A_MINUTE))
    training.hooks = [{"type": "harness.soak_events:Slow", "args": slow}]
    vitals, began = Vitals(training.checkpoints), time.monotonic()
    happened = _soak(training, what, int(seed), vitals)
    print(f"{len(happened)} in {(time.monotonic() - began) / 60:.1f} min, over {training.steps} steps")
    assert happened, "it was over before anything happened, and has shown nothing: give it more PET_SOAK_MINUTES"
    print(vitals.check_flat(_KEPT), vitals.check_accounts(), sep="\n")
    reference = Training(Path(expected), Path(data), ranks=RANKS, steps=training.steps).final_state()
    found = training.final_state()
    if what == "pauses":  # which is the one that evaluates, and keeps what it found
        del reference["scheduler"]["info"], found["scheduler"]["info"]
    for part in ("model", "optimizer", "scheduler"):
        differing = differences(reference[part], found[part])
        assert differing == [], f"{part} differs in {differing}"
    assert not list(training.checkpoints.glob(".tmp-*")), "a temporary file was left"
    assert os.listdir(SHARED) == [], "files were left in memory"


if __name__ == "__main__":
    main(*sys.argv[1:])
