"""The CustomResourceDefinition on the control plane, and two clients of it: kubectl and plain requests."""

from __future__ import annotations

import subprocess

import pytest
from harness.crd import FILE
from harness.jobs_api import JobsApi
from testbed.control_plane import ControlPlane
from testbed.kubectl import Kubectl


@pytest.fixture(scope="session")
def applied(kubectl: Kubectl) -> subprocess.CompletedProcess[str]:
    """What `kubectl apply` of the definition said, once the API server serves the kind."""
    result = kubectl("apply", "-f", str(FILE))
    kubectl("wait", "--for=condition=Established", "--timeout=30s", "-f", str(FILE))
    return result


@pytest.fixture(scope="session")
def jobs(control_plane: ControlPlane, applied: subprocess.CompletedProcess[str]) -> JobsApi:
    """The kind, served."""
    assert applied.returncode == 0, applied.stderr
    return JobsApi(control_plane)
