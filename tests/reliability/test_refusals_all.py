"""Forty trainings whose disk refuses for a while. The seed is printed; PET_TEST_SEED replays it."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest
from harness.refusals import Case, cases, check

NUMBER = 40
SEED = int(os.environ.get("PET_TEST_SEED", random.randrange(2**32)))


@pytest.mark.parametrize(("number", "case"), list(enumerate(cases(SEED, NUMBER))), ids=str)
def test_loses_nothing_that_was_acknowledged_and_goes_on(number: int, case: Case, tmp_path: Path) -> None:
    print(f"case {number}: {case}, PET_TEST_SEED={SEED}: {check(case, tmp_path)}")
