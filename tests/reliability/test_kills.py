"""Two hundred ranks killed at random, some in one run. The seed is printed; PET_TEST_SEED replays it."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest
from harness.kills import Kills, check, kills
from harness.training import Training

INJECTIONS = 200
SEED = int(os.environ.get("PET_TEST_SEED", random.randrange(2**32)))


@pytest.mark.parametrize(("number", "case"), list(enumerate(kills(SEED, INJECTIONS))), ids=str)
def test_every_one_is_named_and_got_over(
    number: int, case: Kills, tmp_path: Path, fashion_mnist: Path, uninterrupted: dict[int, Training]
) -> None:
    print(f"case {number}: {case}, PET_TEST_SEED={SEED}")
    assert check(case, tmp_path / "training", fashion_mnist, uninterrupted[2]) > 0
