"""Every kind of hang, of each rank, with one launcher and with two. The seed is printed; PET_TEST_SEED replays it."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest
from harness.hangs import Hang, check, hangs
from harness.training import Training

REPETITIONS = 5
SEED = int(os.environ.get("PET_TEST_SEED", random.randrange(2**32)))


@pytest.mark.parametrize(("number", "hang"), list(enumerate(hangs(SEED, REPETITIONS))), ids=str)
def test_is_named_and_cured(
    number: int, hang: Hang, tmp_path: Path, fashion_mnist: Path, uninterrupted: dict[int, Training]
) -> None:
    print(f"case {number}: {hang}, PET_TEST_SEED={SEED}")
    check(hang, tmp_path / "training", fashion_mnist, uninterrupted[2])
