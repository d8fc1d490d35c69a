"""An API server that is away for two minutes, from a random step on. The seed is printed; PET_TEST_SEED replays it."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest
from harness.cluster import Jobs
from harness.outages import Outage, check, outages
from harness.training import Training
from testbed.operator import Operator
from testbed.process_node import ProcessNodes
from testbed.processes import Server

NUMBER = 10
SEED = int(os.environ.get("PET_TEST_SEED", random.randrange(2**32)))


@pytest.mark.timeout(1800)
@pytest.mark.parametrize(("number", "outage"), list(enumerate(outages(SEED, NUMBER))), ids=str)
def test_costs_no_step_and_no_pod(
    number: int,
    outage: Outage,
    tmp_path: Path,
    fashion_mnist: Path,
    jobs: Jobs,
    nodes: ProcessNodes,
    operator: Operator,
    api_server: Server,
    uninterrupted: dict[int, Training],
) -> None:
    print(f"case {number}: {outage}, PET_TEST_SEED={SEED}")
    check(outage, tmp_path / "training", fashion_mnist, jobs, nodes, operator, api_server, uninterrupted[2])
