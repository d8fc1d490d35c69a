"""Two launchers that are cut off from each other, twenty times, for a moment and for ever, in a step and while they
start again. The seed is printed; PET_TEST_SEED replays it."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest
from harness.partitions import RANKS, Partition, check, partitions
from harness.training import Training

NUMBER = 20
SEED = int(os.environ.get("PET_TEST_SEED", random.randrange(2**32)))


@pytest.mark.parametrize(("number", "case"), list(enumerate(partitions(SEED, NUMBER))), ids=str)
def test_is_got_over_by_one_gang(
    number: int, case: Partition, tmp_path: Path, fashion_mnist: Path, uninterrupted: dict[int, Training]
) -> None:
    print(f"case {number}: {case}, PET_TEST_SEED={SEED}")
    check(case, tmp_path / "training", fashion_mnist, uninterrupted[RANKS])
