"""What all tests against a real API server share: one control plane, its nodes, kubectl."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from harness.crd import FILE
from testbed.control_plane import ControlPlane
from testbed.kubectl import Kubectl
from testbed.process_node import NodeSpec, ProcessNodes, checkout_image


def pytest_runtest_setup() -> None:
    """Elsewhere there is neither a control plane nor a node for it: what cannot be tested is not passed over."""
    if sys.platform != "linux":
        pytest.fail("the test bed runs on Linux only: run make test-unit and make test-component here", pytrace=False)


@pytest.fixture(scope="session")
def control_plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    """etcd, API server, controllers and scheduler, started once."""
    with ControlPlane(tmp_path_factory.mktemp("control-plane")) as plane:
        yield plane


@pytest.fixture(scope="session")
def kubectl(control_plane: ControlPlane) -> Kubectl:
    """kubectl as the cluster's administrator."""
    return Kubectl(control_plane)


@pytest.fixture(scope="session")
def applied(kubectl: Kubectl) -> subprocess.CompletedProcess[str]:
    """What `kubectl apply` of the definition said, once the API server serves the kind."""
    result = kubectl("apply", "-f", str(FILE))
    kubectl("wait", "--for=condition=Established", "--timeout=30s", "-f", str(FILE))
    return result


@pytest.fixture(scope="session")
def nodes(
    control_plane: ControlPlane, fashion_mnist: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ProcessNodes]:
    """Two nodes with eight GPUs each and one without; their /data is the fetched data sets."""
    specs = [NodeSpec(name="gpu-0", gpus=8), NodeSpec(name="gpu-1", gpus=8), NodeSpec(name="cpu-0")]
    image = checkout_image(data=fashion_mnist, OMP_NUM_THREADS="1")
    with ProcessNodes(control_plane, specs, image=image, folder=tmp_path_factory.mktemp("nodes")) as running:
        yield running
