"""Long trainings with a fault every half minute, of every kind, and one with pauses that are none. PET_SOAK_MINUTES is
about how long each takes. The seed and what happened are printed with `pytest -rP`; PET_TEST_SEED replays it."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest
from harness.soak import calm, check
from harness.training import Training

MINUTES = float(os.environ.get("PET_SOAK_MINUTES", 60))
SEED = int(os.environ.get("PET_TEST_SEED", random.randrange(2**32)))

pytestmark = pytest.mark.timeout(0)  # each has a limit of its own, that goes with its minutes


@pytest.fixture(scope="module")
def undisturbed(fashion_mnist: Path, tmp_path_factory: pytest.TempPathFactory) -> Training:
    """The same training, and nothing happens."""
    return calm(tmp_path_factory.mktemp("calm"), fashion_mnist, MINUTES)


@pytest.mark.parametrize("number", range(3))
def test_faults_leave_no_trace(number: int, tmp_path: Path, undisturbed: Training) -> None:
    print(f"PET_TEST_SEED={SEED}, PET_SOAK_MINUTES={MINUTES:g}")
    print(check("faults", SEED + number, MINUTES, tmp_path / "training", undisturbed))


def test_pauses_are_no_hangs(tmp_path: Path, undisturbed: Training) -> None:
    print(f"PET_TEST_SEED={SEED}, PET_SOAK_MINUTES={MINUTES:g}")
    print(check("pauses", SEED, MINUTES, tmp_path / "training", undisturbed))
