"""Starts and stops a process node beside a control plane."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from testbed.control_plane import ControlPlane
from testbed.process_node.faults import Fault, Faults
from testbed.process_node.launch import log_file
from testbed.process_node.node import HOST_ADDRESS, is_ready
from testbed.process_node.provisioner import CLASS
from testbed.process_node.settings import Image, NodeSpec, Settings
from testbed.process_node.status import timestamp
from testbed.processes import Server
from testbed.waiting import wait_for

# What the node lifecycle controller says of a node whose Lease was not renewed for 40 to 50 s.
_NOT_HEARD_OF = {"status": "Unknown", "reason": "NodeStatusUnknown", "message": "Kubelet stopped posting node status."}
_TESTS = Path(__file__).resolve().parents[2]
_CHECKOUT = _TESTS.parent


def checkout_image(checkout: Path = _CHECKOUT, *, data: Path | None = None, **environ: str) -> Image:
    """The trainer's image, as a checkout has it: `tools/`, `cfgs/` and Python; `data` is its /data."""
    tools = str(checkout / "trainer" / "tools")
    given = {"/data": str(data)} if data else {}
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
    return Image(
        working_dir=str(checkout),
        paths={"tools": tools, "/opt/pet/tools": tools, "/opt/pet": str(checkout), **given},
        environ={"PATH": path, **environ},
    )


class ProcessNodes:
    """Nodes that run pods as processes, in a process of their own. `start` and `stop` it, or use it in a `with`."""

    def __init__(
        self,
        plane: ControlPlane,
        nodes: Sequence[NodeSpec] = (NodeSpec(name="node-0"),),
        *,
        image: Image | None = None,
        folder: Path | None = None,
    ) -> None:
        """`folder` is its own, for pods and volumes; by default one of the control plane's."""
        self.nodes = tuple(nodes)
        self.folder = (folder or plane.folder / "process-node").absolute()
        self.plane = plane
        self.image = image or checkout_image()
        self._settings = self.folder / "settings.json"
        self._faults = Faults(self.folder / "faults")
        self.server = Server(
            "process-node",
            [sys.executable, "-m", "testbed.process_node", self._settings],
            self.folder / "process-node.log",
            {**os.environ, "PYTHONPATH": str(_TESTS)},
        )

    def __enter__(self) -> ProcessNodes:
        self.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.stop()

    def start(self) -> None:
        """Start it, or start it again; returns when pods can be scheduled to every node. Raises ServerFailed."""
        self.folder.mkdir(parents=True, exist_ok=True)
        certificate, key = self.plane.authority.serving("process-node", [HOST_ADDRESS])
        settings = Settings(
            server=self.plane.url,
            authority=str(self.plane.authority.certificate_file),
            token=self.plane.token("process-node"),
            serving_certificate=str(certificate),
            serving_key=str(key),
            folder=str(self.folder),
            nodes=self.nodes,
            image=self.image,
        )
        settings.save(self._settings)
        settings.ready_file.unlink(missing_ok=True)
        self.server.start()
        try:
            self.server.wait_until(lambda: settings.ready_file.exists() and self._ready())
        except BaseException:  # Ctrl-C too: nobody will call `stop`
            self.server.stop()
            raise

    def stop(self) -> None:
        """End it and the processes of its pods, and take its nodes out of the cluster.

        The pods' objects stay as they were: delete them before. `server.kill()` is a machine that loses its power.
        """
        self.server.stop()
        for node in self.nodes:
            with suppress(OSError):  # the control plane is not there any more, or the node never was
                self.plane.request("DELETE", f"/api/v1/nodes/{node.name}")

    def log(self, pod: Mapping[str, Any], container: str = "main") -> str:
        """What a container has said so far."""
        file = log_file(self.folder / "pods", pod["metadata"]["uid"], container)
        return file.read_text() if file.exists() else ""

    def cut_off(self, node: str) -> None:
        """The network of this node is gone: it renews nothing and hears nothing, and its pods' processes live on.

        Returns when that is so. The cluster notices at once, for nobody likes to wait for a minute.
        """
        self._faults.begin(Fault.CUT_OFF, node)
        wait_for(f"the cut of node {node}", lambda: self._faults.confirmed(Fault.CUT_OFF, node))
        self.doubt(node)

    def doubt(self, node: str) -> None:
        """The cluster takes the node for lost, as it does after an outage of the API server before it has heard of the
        node again. One that is not cut off says otherwise some seconds later."""
        path = f"/api/v1/nodes/{node}"
        status = self.plane.request("GET", path)["status"]
        ready = {"type": "Ready", **_NOT_HEARD_OF, "lastTransitionTime": timestamp()}
        status["conditions"] = [ready, *(entry for entry in status["conditions"] if entry["type"] != "Ready")]
        self.plane.request("PATCH", f"{path}/status", {"status": {"conditions": status["conditions"]}})

    def rejoin(self, node: str) -> None:
        """It is there again; returns when pods can be scheduled to it."""
        self._faults.end(Fault.CUT_OFF, node)
        self.wait_until_ready(node)

    def wait_until_ready(self, node: str) -> None:
        """Returns when pods can be scheduled to it."""
        path = f"/api/v1/nodes/{node}"
        wait_for(f"node {node}", lambda: _schedulable(self.plane.request("GET", path)))

    def run_out_of_memory(self, pod: Mapping[str, Any]) -> None:
        """The kernel ends a running pod's container, all of it."""
        self._faults.begin(Fault.OUT_OF_MEMORY, pod["metadata"]["uid"])

    def deafen(self, pod: Mapping[str, Any]) -> None:
        """The pod's container never gets SIGTERM: it goes on until its grace is over."""
        self._faults.begin(Fault.DEAF, pod["metadata"]["uid"])

    def _ready(self) -> bool:
        items = self.plane.request("GET", "/api/v1/nodes")["items"]
        nodes = {item["metadata"]["name"]: item for item in items}
        classes = self.plane.request("GET", "/apis/storage.k8s.io/v1/storageclasses")["items"]
        return any(item["metadata"]["name"] == CLASS for item in classes) and all(
            spec.name in nodes and _schedulable(nodes[spec.name]) for spec in self.nodes
        )


def _schedulable(node: dict[str, Any]) -> bool:
    return is_ready(node) and not node["spec"].get("taints")
