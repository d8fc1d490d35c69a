"""A cluster on which trainings are played: the operator, the API server and the pods are real, the trainers are not."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from testbed.control_plane import ControlPlane
from testbed.operator import install
from testbed.process_node import Image, NodeSpec, ProcessNodes, checkout_image

from harness.cluster import Jobs

_STAND_IN = Path(__file__).parent / "stand_in"


@dataclass(frozen=True)
class Stage:
    """It has no operator but the ones that a test starts."""

    plane: ControlPlane
    nodes: ProcessNodes
    orders: Path

    def end(self, jobs: Jobs, name: str, code: int = 0) -> None:
        """Let all trainers of a job, or the one in a pod of this name, end with this code."""
        order = self._order(jobs, name)
        written = order.with_name(f"{order.name}.new")
        written.write_text(str(code))
        written.rename(order)

    def forget(self, jobs: Jobs, name: str) -> None:
        """Let trainers that start from now on go on."""
        self._order(jobs, name).unlink()

    def _order(self, jobs: Jobs, name: str) -> Path:
        return self.orders / f"{jobs.namespace.name}.{name}"


@contextmanager
def playing(folder: Path) -> Iterator[Stage]:
    """A control plane with two nodes on which all trainers are stand-ins."""
    orders = folder / "orders"
    orders.mkdir()
    environ = {**checkout_image().environ, "STAND_IN": str(orders)}
    image = Image(working_dir=str(orders), paths={"tools": str(_STAND_IN)}, environ=environ)
    with ControlPlane(folder / "plane") as plane:
        install(plane)
        with ProcessNodes(plane, [NodeSpec(name="stage-0"), NodeSpec(name="stage-1")], image=image) as nodes:
            yield Stage(plane, nodes, orders)
