"""A namespace for each test, and a user who works in it."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from harness.desk import Desk
from harness.jobs_api import JobsApi
from testbed.control_plane import ControlPlane
from testbed.namespace import Namespace


@pytest.fixture
def namespace(control_plane: ControlPlane) -> Iterator[Namespace]:
    """An empty one."""
    with Namespace(control_plane) as made:
        yield made


@pytest.fixture
def desk(
    control_plane: ControlPlane,
    applied: subprocess.CompletedProcess[str],
    namespace: Namespace,
    tmp_path: Path,
) -> Desk:
    """The cluster's administrator, in a namespace of the test's own."""
    assert applied.returncode == 0, applied.stderr
    return Desk(tmp_path, control_plane.kubeconfig(), namespace.name, JobsApi(control_plane, namespace.name))
