"""A thousand damaged folders. The seed is printed; PET_TEST_SEED replays it."""

from __future__ import annotations

import os
import random
from collections import Counter
from pathlib import Path

import pytest
from harness.damaged_folders import check

NUMBER, AT_ONCE = 1000, 50
SEED = int(os.environ.get("PET_TEST_SEED", random.randrange(2**32)))


@pytest.mark.parametrize("first", range(0, NUMBER, AT_ONCE))
def test_gives_the_newest_that_is_whole_or_stops_the_run(first: int, memory_path: Path) -> None:
    endings: Counter[str] = Counter()
    for number in range(first, first + AT_ONCE):
        print(f"case {number}, PET_TEST_SEED={SEED}")
        endings[check(SEED + number, memory_path / str(number))] += 1
    print(dict(endings))
