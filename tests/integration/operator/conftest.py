"""Two clusters with an operator: one whose pods train, one whose trainers only play their part."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from harness.cluster import Jobs, Requests, api_server_of, jobs_of
from harness.stage import Stage, playing
from testbed.control_plane import ControlPlane
from testbed.operator import Operator, install
from testbed.process_node import ProcessNodes
from testbed.processes import Server


@pytest.fixture(scope="module")
def operator(control_plane: ControlPlane, nodes: ProcessNodes) -> Iterator[Operator]:
    """The operator of the cluster whose pods train. It ends with each module: other tests on that control plane say
    themselves how jobs stand."""
    install(control_plane)
    with Operator(control_plane) as running:
        yield running


@pytest.fixture
def jobs(control_plane: ControlPlane, operator: Operator) -> Iterator[Jobs]:
    """A namespace for jobs that train."""
    requests = Requests(control_plane)
    with jobs_of(control_plane) as jobs:
        yield jobs
    assert requests.refused() == []


@pytest.fixture(scope="session")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """The cluster on which trainings are played."""
    with playing(tmp_path_factory.mktemp("stage")) as running:
        yield running


@pytest.fixture
def played(stage: Stage, request: pytest.FixtureRequest) -> Iterator[Jobs]:
    """A namespace for jobs whose trainers are stand-ins."""
    requests = Requests(stage.plane)
    with jobs_of(stage.plane) as jobs:
        yield jobs
    # One that has just started refuses everything until it has read who may do what.
    if "api_server" not in request.fixturenames:
        assert requests.refused() == []


@pytest.fixture
def api_server(stage: Stage) -> Iterator[Server]:
    """The API server of that cluster, to be killed and started; in the end it runs."""
    with api_server_of(stage.plane) as server:
        yield server
