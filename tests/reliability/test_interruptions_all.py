"""Every kind of interruption, sixteen times each, at random steps, with one to four ranks. The seed is printed;
PET_TEST_SEED replays it."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest
from harness.interruptions import Case, cases, check
from harness.training import Training

REPETITIONS = 16
SEED = int(os.environ.get("PET_TEST_SEED", random.randrange(2**32)))


@pytest.mark.parametrize(("number", "case"), list(enumerate(cases(SEED, REPETITIONS))), ids=str)
def test_goes_on_bit_for_bit(
    number: int, case: Case, tmp_path: Path, fashion_mnist: Path, uninterrupted: dict[int, Training]
) -> None:
    print(f"case {number}: {case}, PET_TEST_SEED={SEED}")
    check(case, tmp_path / "training", fashion_mnist, uninterrupted[case.ranks])
