"""What all tests against a real API server share: one control plane."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from testbed.control_plane import ControlPlane


@pytest.fixture(scope="session")
def control_plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    """etcd, API server, controllers and scheduler, started once."""
    with ControlPlane(tmp_path_factory.mktemp("control-plane")) as plane:
        yield plane
