"""A cluster on which real trainings run, shared by all that befalls them there."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from harness.cluster import Jobs, Requests, api_server_of, jobs_of
from testbed.control_plane import ControlPlane
from testbed.operator import Operator, install
from testbed.process_node import NodeSpec, ProcessNodes, checkout_image
from testbed.processes import Server


@pytest.fixture(scope="session")
def nodes(fashion_mnist: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ProcessNodes]:
    """A cluster with two nodes."""
    folder = tmp_path_factory.mktemp("cluster")
    image = checkout_image(data=fashion_mnist, OMP_NUM_THREADS="1")
    with ControlPlane(folder) as plane:
        install(plane)
        specs = [NodeSpec(name="node-0"), NodeSpec(name="node-1")]
        with ProcessNodes(plane, specs, image=image) as running:
            yield running


@pytest.fixture(scope="session")
def operator(nodes: ProcessNodes) -> Iterator[Operator]:
    """Its operator."""
    with Operator(nodes.plane) as running:
        yield running


@pytest.fixture
def jobs(nodes: ProcessNodes, operator: Operator, request: pytest.FixtureRequest) -> Iterator[Jobs]:
    """A namespace of its own."""
    requests = Requests(nodes.plane)
    with jobs_of(nodes.plane) as jobs:
        yield jobs
    if "api_server" not in request.fixturenames:  # one that has just started refuses all until it has read the rights
        assert requests.refused() == []


@pytest.fixture
def api_server(nodes: ProcessNodes) -> Iterator[Server]:
    """The cluster's API server, to be killed or frozen; in the end it runs."""
    with api_server_of(nodes.plane) as server:
        yield server
