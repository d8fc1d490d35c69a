"""Long trainings with a fault every half minute, of every kind, and one with pauses that are none. PET_SOAK_MINUTES is
how long each takes at least. The seed and what happened are printed with `pytest -rP`; PET_TEST_SEED replays it."""

from __future__ import annotations

import fcntl
import os
import random
from pathlib import Path

import pytest
from harness.soak import calm, check, soaked
from harness.training import Training

MINUTES = float(os.environ.get("PET_SOAK_MINUTES", 60))

pytestmark = pytest.mark.timeout(0)  # each has a limit of its own, that goes with its minutes


@pytest.fixture(scope="module")
def seed(testrun_uid: str) -> int:
    """The same one in every worker of a run."""
    return int(os.environ.get("PET_TEST_SEED", random.Random(testrun_uid).randrange(2**32)))


@pytest.fixture(scope="module")
def undisturbed(fashion_mnist: Path, tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Training:
    """The same training, and nothing happens. One worker runs it for all."""
    own = tmp_path_factory.getbasetemp()
    folder = (own if worker_id == "master" else own.parent) / "calm"
    with open(folder.with_suffix(".lock"), "a+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        lock.seek(0)
        if lock.read() == "done":  # and not only begun by a worker in which it failed
            return soaked(folder, fashion_mnist, MINUTES)
        training = calm(folder, fashion_mnist, MINUTES)
        lock.write("done")
        return training


@pytest.mark.parametrize("number", range(3))
def test_faults_leave_no_trace(number: int, seed: int, tmp_path: Path, undisturbed: Training) -> None:
    print(f"PET_TEST_SEED={seed}, PET_SOAK_MINUTES={MINUTES:g}")
    print(check("faults", seed + number, MINUTES, tmp_path / "training", undisturbed))


def test_pauses_are_no_hangs(seed: int, tmp_path: Path, undisturbed: Training) -> None:
    print(f"PET_TEST_SEED={seed}, PET_SOAK_MINUTES={MINUTES:g}")
    print(check("pauses", seed, MINUTES, tmp_path / "training", undisturbed))
