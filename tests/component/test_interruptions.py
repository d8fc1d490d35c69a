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


@pytest.mark.parametrize("case", CASES, ids=str)
def test_goes_on_bit_for_bit(
    case: Case, tmp_path: Path, fashion_mnist: Path, uninterrupted: dict[int, Training]
) -> None:
    check(case, tmp_path / "training", fashion_mnist, uninterrupted[case.ranks])
