"""Every row of the table of exit classes once; `tests/reliability` has each for each rank, on one node and on two."""

from __future__ import annotations

import pytest
from harness.exit_classes import ROWS, Row, check
from harness.launcher import Bench


@pytest.mark.parametrize(("number", "row"), list(enumerate(ROWS)), ids=str)
def test_starts_are_counted_and_the_rank_is_named(number: int, row: Row, bench: Bench) -> None:
    check(row, number % 2, 1 + number % 2, bench)
