"""A hundred requests to stop, of one launcher or both, at every kind of moment. PET_TEST_SEED replays the seed."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest
from harness.stops import Stop, check, stops
from harness.training import Training

NUMBER = 100
SEED = int(os.environ.get("PET_TEST_SEED", random.randrange(2**32)))


@pytest.mark.parametrize(("number", "stop"), list(enumerate(stops(SEED, NUMBER))), ids=str)
def test_all_leave_with_their_work_saved(
    number: int, stop: Stop, tmp_path: Path, fashion_mnist: Path, uninterrupted: dict[int, Training]
) -> None:
    print(f"case {number}: {stop}, PET_TEST_SEED={SEED}")
    check(stop, tmp_path / "training", fashion_mnist, uninterrupted[stop.ranks])
