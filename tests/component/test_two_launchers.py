"""A real training over two launchers: asked to stop while it saves, twice, ranks that die, and the two cut off
from each other.

A sample; `tests/reliability` has many of each.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from harness import kills, partitions, stops
from harness.training import Training

STOPS = [
    stops.Stop("save", (1,), twice=True, step=10, seconds=0.0, ranks=4),
    stops.Stop("evaluation", (0, 1), twice=False, step=10, seconds=0.0, workers=2),
]


@pytest.mark.parametrize("stop", STOPS, ids=str)
def test_all_leave_with_their_work_saved(
    stop: stops.Stop, tmp_path: Path, fashion_mnist: Path, uninterrupted: dict[int, Training]
) -> None:
    stops.check(stop, tmp_path / "training", fashion_mnist, uninterrupted[stop.ranks])


DEATHS = [
    # Of two ranks to a launcher, in the middle of the training; and in one that has no restart left.
    kills.Kills("steps", 2, 4, 0, (kills.Kill(3, 0.02, step=13), kills.Kill(1, 0.0, 22, "after_backward"))),
    kills.Kills("attempts", 2, 2, 2, (kills.Kill(1, 0.0, 17, "before_step"),)),
]


@pytest.mark.parametrize("case", DEATHS, ids=str)
def test_a_rank_that_dies_is_named_and_got_over(
    case: kills.Kills, tmp_path: Path, fashion_mnist: Path, uninterrupted: dict[int, Training]
) -> None:
    assert kills.check(case, tmp_path / "training", fashion_mnist, uninterrupted[case.ranks]) == len(case.kills)


@pytest.mark.parametrize(
    "case", [partitions.Partition("long", ((0, 1), (1, 0)), step=30, rank=0, seconds=0.0)], ids=str
)
def test_neither_half_trains_on_alone(
    case: partitions.Partition, tmp_path: Path, fashion_mnist: Path, uninterrupted: dict[int, Training]
) -> None:
    partitions.check(case, tmp_path / "training", fashion_mnist, uninterrupted[2])
