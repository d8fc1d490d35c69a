"""A client of the CustomResourceDefinition by plain requests."""

from __future__ import annotations

import subprocess

import pytest
from harness.jobs_api import JobsApi
from testbed.control_plane import ControlPlane


@pytest.fixture(scope="session")
def jobs(control_plane: ControlPlane, applied: subprocess.CompletedProcess[str]) -> JobsApi:
    """The kind, served."""
    assert applied.returncode == 0, applied.stderr
    return JobsApi(control_plane)
