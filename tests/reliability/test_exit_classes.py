"""Every row of the table of exit classes, for each of two ranks, on one node and on two, several times."""

from __future__ import annotations

import pytest
from harness.exit_classes import ROWS, Row, check
from harness.launcher import Bench

REPETITIONS = 5


@pytest.mark.parametrize("repetition", range(REPETITIONS))
@pytest.mark.parametrize("nodes", [1, 2])
@pytest.mark.parametrize("rank", [0, 1])
@pytest.mark.parametrize("row", ROWS, ids=str)
def test_starts_are_counted_and_the_rank_is_named(
    row: Row, rank: int, nodes: int, repetition: int, bench: Bench
) -> None:
    check(row, rank, nodes, bench)
