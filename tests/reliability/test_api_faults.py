"""All faults of the API server, one by one and in storms. The seed is printed; PET_TEST_SEED replays it."""

from __future__ import annotations

import asyncio
import os
import random
from pathlib import Path

import pytest
from harness.api_cases import CASES, Case, check, storm

STORMS = 10
SEED = int(os.environ.get("PET_TEST_SEED", random.randrange(2**32)))


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_fault_changes_nothing(case: Case, tmp_path: Path) -> None:
    print(asyncio.run(check(case, tmp_path)))


@pytest.mark.parametrize("number", range(STORMS))
def test_nor_do_all_at_once(number: int, tmp_path: Path) -> None:
    print(f"storm {number}, PET_TEST_SEED={SEED}")
    print(asyncio.run(storm(SEED + number, tmp_path)))
