"""Three hundred ranks that die at random, two hundred of them beside another launcher; some in one training.

The seed is printed; PET_TEST_SEED replays it.
"""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest
from harness.kills import Kills, check, kills
from harness.training import Training

ALONE, BESIDE_ANOTHER = 100, 200
SEED = int(os.environ.get("PET_TEST_SEED", random.randrange(2**32)))


@pytest.mark.parametrize("case", [*kills(SEED, 1, ALONE), *kills(SEED, 2, BESIDE_ANOTHER)], ids=str)
def test_every_one_is_named_and_got_over(
    case: Kills, tmp_path: Path, fashion_mnist: Path, uninterrupted: dict[int, Training]
) -> None:
    print(f"PET_TEST_SEED={SEED}")
    assert check(case, tmp_path / "training", fashion_mnist, uninterrupted[case.ranks]) == len(case.kills)
