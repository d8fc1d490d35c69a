"""Pods of real trainings that are lost at random. The seed is printed; PET_TEST_SEED replays it."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest
from harness.cluster import Jobs
from harness.pod_losses import Loss, check, losses
from harness.training import Training
from testbed.process_node import ProcessNodes

NUMBER = 10
SEED = int(os.environ.get("PET_TEST_SEED", random.randrange(2**32)))


@pytest.mark.parametrize(("number", "loss"), list(enumerate(losses(SEED, NUMBER))), ids=str)
def test_goes_on_bit_for_bit(
    number: int,
    loss: Loss,
    tmp_path: Path,
    fashion_mnist: Path,
    jobs: Jobs,
    nodes: ProcessNodes,
    uninterrupted: dict[int, Training],
) -> None:
    print(f"case {number}: {loss}, PET_TEST_SEED={SEED}")
    check(loss, tmp_path / "training", fashion_mnist, jobs, nodes, uninterrupted[loss.pods])
