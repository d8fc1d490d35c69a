"""Every kind of interruption, twenty times each, at random steps. The seed is printed; PET_TEST_SEED replays it."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest
from harness.interruptions import Case, cases, check
from harness.training import Training

REPETITIONS = 20
SEED = int(os.environ.get("PET_TEST_SEED", random.randrange(2**32)))


@pytest.fixture(scope="module")
def uninterrupted(fashion_mnist: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[int, Training]:
    print(f"\nPET_TEST_SEED={SEED}")
    trainings = {}
    for ranks in (1, 2):
        training = Training(tmp_path_factory.mktemp(f"uninterrupted-{ranks}"), fashion_mnist, ranks=ranks)
        code, output = training.run()
        assert code == 0, output
        trainings[ranks] = training
    return trainings


@pytest.mark.parametrize(("number", "case"), enumerate(cases(SEED, REPETITIONS)), ids=str)
def test_goes_on_bit_for_bit(
    number: int, case: Case, tmp_path: Path, fashion_mnist: Path, uninterrupted: dict[int, Training]
) -> None:
    print(f"case {number}: {case}, PET_TEST_SEED={SEED}")
    check(case, tmp_path / "training", fashion_mnist, uninterrupted[case.ranks])
