"""A training that is interrupted goes on from its newest checkpoint and ends bit for bit where it would have ended.

A sample of the cases; `tests/reliability` has all of them.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from harness.interruptions import Case, check
from harness.training import Training

CASES = [
    Case(ranks=1, target="launcher", signal="SIGKILL", rank=0, step=13),
    Case(ranks=2, target="rank", signal="SIGKILL", rank=1, step=17),
    Case(ranks=2, target="launcher", signal="SIGTERM", rank=0, step=9),
    Case(ranks=2, target="launcher", signal="SIGINT", rank=1, step=2),
]


@pytest.fixture(scope="module")
def uninterrupted(fashion_mnist: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[int, Training]:
    """The same training without a fault, by number of ranks."""
    trainings = {}
    for ranks in (1, 2):
        training = Training(tmp_path_factory.mktemp(f"uninterrupted-{ranks}"), fashion_mnist, ranks=ranks)
        code, output = training.run()
        assert code == 0, output
        trainings[ranks] = training
    return trainings


@pytest.mark.parametrize("case", CASES, ids=str)
def test_goes_on_bit_for_bit(
    case: Case, tmp_path: Path, fashion_mnist: Path, uninterrupted: dict[int, Training]
) -> None:
    check(case, tmp_path / "training", fashion_mnist, uninterrupted[case.ranks])
