"""Pods of real trainings that are lost at random. The seed is printed; PET_TEST_SEED replays it."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from harness.cluster import Jobs, Requests, jobs_of
from harness.pod_losses import Loss, check, losses
from harness.training import Training
from testbed.control_plane import ControlPlane
from testbed.operator import Operator, install
from testbed.process_node import NodeSpec, ProcessNodes, checkout_image

NUMBER = 10
SEED = int(os.environ.get("PET_TEST_SEED", random.randrange(2**32)))


@pytest.fixture(scope="module")
def nodes(fashion_mnist: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ProcessNodes]:
    """A cluster with an operator."""
    folder = tmp_path_factory.mktemp("cluster")
    image = checkout_image(data=fashion_mnist, OMP_NUM_THREADS="1")
    with ControlPlane(folder) as plane:
        install(plane)
        specs = [NodeSpec(name="node-0"), NodeSpec(name="node-1")]
        with ProcessNodes(plane, specs, image=image) as running, Operator(plane):
            yield running


@pytest.fixture
def jobs(nodes: ProcessNodes) -> Iterator[Jobs]:
    """A namespace of its own."""
    requests = Requests(nodes.plane)
    with jobs_of(nodes.plane) as jobs:
        yield jobs
    assert requests.refused() == []


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
