"""A namespace for each test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from testbed.control_plane import ControlPlane
from testbed.namespace import Namespace
from testbed.pods import Pods
from testbed.process_node import ProcessNodes


@pytest.fixture
def pods(control_plane: ControlPlane, nodes: ProcessNodes) -> Iterator[Pods]:
    """An empty namespace on running nodes."""
    with Namespace(control_plane) as namespace:
        yield Pods(namespace, nodes)
