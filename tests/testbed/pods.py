"""Small pods for trying the bed, and what one reads of them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from testbed.namespace import Manifest, Namespace
from testbed.process_node import ProcessNodes
from testbed.waiting import wait_for


def pod(name: str, script: str, *, container: Manifest | None = None, **spec: Any) -> Manifest:
    """A pod whose container `main` runs a shell script, with further fields of the container and of the spec."""
    main = {"name": "main", "image": "any", "command": ["sh", "-c", script], **(container or {})}
    return {"metadata": {"name": name}, "spec": {"restartPolicy": "Never", "containers": [main], **spec}}


def state(found: Manifest) -> Manifest:
    """The state of the container: waiting, running or terminated, with its details."""
    entry: Manifest = found["status"]["containerStatuses"][0]["state"]
    return entry


def pid(found: Manifest) -> int:
    """The process that the container started with."""
    return int(found["status"]["containerStatuses"][0]["containerID"].removeprefix("process://"))


def is_over(found: Manifest) -> bool:
    """Whether it is in a final phase."""
    return found["status"]["phase"] in ("Succeeded", "Failed")


def is_running(found: Manifest) -> bool:
    """Whether its container runs."""
    return bool(found["status"]["phase"] == "Running")


def alive(process: int) -> bool:
    """Whether a process runs. A zombie does not: whoever adopts it may be slow."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@dataclass(frozen=True)
class Pods:
    """The pods of a namespace, and the nodes that they run on."""

    namespace: Namespace
    nodes: ProcessNodes

    def run(self, manifest: Manifest) -> Manifest:
        """The pod when it is over."""
        self.namespace.create("pods", manifest)
        return self.over(manifest["metadata"]["name"])

    def start(self, manifest: Manifest, *, says: str = "") -> Manifest:
        """The pod when it runs and has said so."""
        self.namespace.create("pods", manifest)
        running = self.namespace.wait_for("pods", manifest["metadata"]["name"], "running", is_running)
        wait_for(f"{says!r} in the log", lambda: says in self.nodes.log(running))
        return running

    def over(self, name: str) -> Manifest:
        """The pod when it is over."""
        return self.namespace.wait_for("pods", name, "over", is_over)

    def delete(self, name: str, *, grace: int | None = None) -> None:
        """Ask for a pod's deletion."""
        self.namespace.delete("pods", name, grace=grace)

    def gone(self, name: str) -> None:
        """Wait until a pod is no more."""
        self.namespace.wait_until_gone("pods", name)

    def folder(self, manifest: Manifest) -> Path:
        """Where a pod's own files are."""
        return self.nodes.folder / "pods" / str(manifest["metadata"]["uid"])

    def output(self, manifest: Manifest) -> str:
        """What a pod has said that succeeds."""
        over = self.run(manifest)
        assert over["status"]["phase"] == "Succeeded", (over["status"], self.nodes.log(over))
        return self.nodes.log(over)
