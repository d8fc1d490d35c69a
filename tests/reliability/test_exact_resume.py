"""Every step to stop at, in every way to train. The seed is printed; PET_TEST_SEED and the name of a case replay it."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from harness.exact import (
    CASES,
    CHANGES,
    FEATURED,
    FEATURED_CASES,
    SETTINGS,
    Case,
    Change,
    References,
    Setting,
    check,
    check_change,
    check_whole,
)
from harness.memory import memory_folder

SEED = int(os.environ.get("PET_TEST_SEED", random.randrange(2**32)))


@pytest.fixture(scope="module")
def references() -> Iterator[References]:
    """Uninterrupted trainings."""
    with memory_folder() as folder:
        yield References(folder, SEED)


@pytest.mark.parametrize("case", CASES + FEATURED_CASES, ids=str)
def test_goes_on_bit_for_bit(case: Case, memory_path: Path, references: References) -> None:
    print(f"case {case}, PET_TEST_SEED={SEED}")
    check(case, references, memory_path)


@pytest.mark.parametrize("setting", SETTINGS + FEATURED, ids=str)
def test_takes_every_sample_once_and_neither_saves_nor_workers_leave_a_trace(
    setting: Setting, references: References
) -> None:
    print(f"PET_TEST_SEED={SEED}")
    check_whole(setting, references)


@pytest.mark.parametrize("change", CHANGES, ids=str)
def test_another_number_of_ranks_takes_the_same_samples_and_says_that_bits_differ(
    change: Change, memory_path: Path, references: References
) -> None:
    print(f"PET_TEST_SEED={SEED}")
    check_change(change, references, memory_path)
