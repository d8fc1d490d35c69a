"""What a kubelet would say of a pod: pure, from what is known of its containers."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from testbed.process_node.api import Manifest
from testbed.process_node.node import HOST_ADDRESS
from testbed.process_node.shim import START_ERROR

_CREATING = "ContainerCreating"
_NEVER = "1970-01-01T00:00:00Z"
_LOST = 137


def timestamp(moment: datetime | None = None) -> str:
    """As Kubernetes writes times: whole seconds of UTC."""
    return (moment or datetime.now(UTC)).strftime("%Y-%m-%dT%H:%M:%SZ")


class ContainerStatus:
    """One container: waiting, running or terminated."""

    def __init__(self, container: Manifest, earlier: Manifest | None, waits_for: str) -> None:
        """`earlier` is what the API server holds of it, `waits_for` its reason to wait if that is nothing."""
        self.name = container["name"]
        self._image = container.get("image", "")
        self._identity = (earlier or {}).get("containerID")
        self._kind: str
        self._details: Manifest
        state = (earlier or {}).get("state") or {"waiting": {"reason": waits_for}}
        self._kind, self._details = next(iter(state.items()))

    @property
    def exit_code(self) -> int | None:
        """None until it is terminated."""
        return self._details["exitCode"] if self._kind == "terminated" else None

    @property
    def running(self) -> bool:
        """Whether it was started and has not ended."""
        return self._kind == "running"

    def wait(self, reason: str, message: str | None = None) -> None:
        """It is not started yet."""
        self._set("waiting", reason=reason, message=message)

    def run(self, pid: int, started: datetime) -> None:
        """It runs."""
        self._identity = f"process://{pid}"
        self._set("running", startedAt=timestamp(started))

    def end(self, code: int, message: str, finished: datetime, *, out_of_memory: bool = False) -> None:
        """It ended by itself or was ended."""
        reason = "OOMKilled" if out_of_memory else "Error" if code else "Completed"
        self._terminate(code, reason, message, timestamp(finished))

    def fail_to_start(self, message: str) -> None:
        """Its program could not be run."""
        self._terminate(START_ERROR, "StartError", message, timestamp())

    def lose(self) -> None:
        """It ran when an earlier process node ended; nobody knows how it went."""
        message = "The container could not be located when the pod was terminated"
        self._terminate(_LOST, "ContainerStatusUnknown", message, timestamp())

    def manifest(self) -> Manifest:
        """The entry of `containerStatuses`; what it is not any more is None, to be removed by a merge."""
        return {
            "name": self.name,
            "image": self._image,
            "imageID": self._image,
            "restartCount": 0,
            "ready": self.running,
            "started": self.running,
            "containerID": self._identity,
            "state": {"waiting": None, "running": None, "terminated": None, self._kind: self._details},
        }

    def _terminate(self, code: int, reason: str, message: str, finished: str) -> None:
        self._set(
            "terminated",
            exitCode=code,
            reason=reason,
            message=message or None,
            startedAt=self._details.get("startedAt", _NEVER),
            finishedAt=finished,
            containerID=self._identity,
        )

    def _set(self, kind: str, **details: Any) -> None:
        self._kind = kind
        self._details = {name: value for name, value in details.items() if value is not None}


class PodStatus:
    """One pod. Conditions that are others' are not touched: the server merges by type."""

    def __init__(self, pod: Manifest) -> None:
        earlier = pod.get("status") or {}
        spec = pod["spec"]
        entries = [*(earlier.get("initContainerStatuses") or ()), *(earlier.get("containerStatuses") or ())]
        known = {entry["name"]: entry for entry in entries}
        init, main = spec.get("initContainers") or (), spec["containers"][0]
        self.init = [ContainerStatus(item, known.get(item["name"]), _CREATING) for item in init]
        self.main = ContainerStatus(main, known.get(main["name"]), "PodInitializing" if init else _CREATING)
        self.address = earlier.get("podIP")
        self._over = earlier.get("phase") == "Failed"
        self._reason, self._message = earlier.get("reason"), earlier.get("message")
        self._start_time = earlier.get("startTime") or timestamp()
        self._since = {
            entry["type"]: (entry["status"], entry.get("lastTransitionTime"))
            for entry in earlier.get("conditions") or ()
        }

    @property
    def containers(self) -> list[ContainerStatus]:
        """In the order in which they run."""
        return [*self.init, self.main]

    @property
    def phase(self) -> str:
        """Pending, Running, Succeeded or Failed."""
        if self._over or any(container.exit_code for container in self.containers):
            return "Failed"
        if self.main.exit_code == 0:
            return "Succeeded"
        return "Running" if self.main.running else "Pending"

    def fail(self, reason: str | None = None, message: str | None = None) -> None:
        """The pod is over, whatever its containers say."""
        self._reason, self._message = reason, message
        self._over = True

    @property
    def ran(self) -> bool:
        """Whether a container of it was started."""
        return any(container.exit_code is not None or container.running for container in self.containers)

    def lose(self) -> None:
        """It ran when an earlier process node ended."""
        for container in self.containers:
            if container.running:
                container.lose()
        self.fail()

    def manifest(self) -> Manifest:
        """The body of a strategic merge patch of the status."""
        address = {"podIP": self.address, "podIPs": [{"ip": self.address}]} if self.address else {}
        return {
            "phase": self.phase,
            "reason": self._reason,
            "message": self._message,
            "hostIP": HOST_ADDRESS,
            "hostIPs": [{"ip": HOST_ADDRESS}],
            "startTime": self._start_time,
            "conditions": self._conditions(),
            "initContainerStatuses": [container.manifest() for container in self.init],
            "containerStatuses": [self.main.manifest()],
            **address,
        }

    def _conditions(self) -> list[Manifest]:
        initialized = all(container.exit_code == 0 for container in self.init)
        if self.phase in ("Succeeded", "Failed"):
            reason, message = ("PodCompleted" if self.phase == "Succeeded" else "PodFailed"), None
        else:
            reason, message = "ContainersNotReady", f"containers with unready status: [{self.main.name}]"
        ready = self.main.running
        return [
            self._condition("PodReadyToStartContainers", self.address is not None),
            self._condition("Initialized", initialized, "ContainersNotInitialized"),
            self._condition("ContainersReady", ready, reason, message),
            self._condition("Ready", ready, reason, message),
        ]

    def _condition(self, kind: str, holds: bool, reason: str | None = None, message: str | None = None) -> Manifest:
        status = "True" if holds else "False"
        before, since = self._since.get(kind, (None, None))
        if before != status or since is None:
            since = timestamp()
            self._since[kind] = (status, since)
        why = {"reason": None, "message": None} if holds else {"reason": reason, "message": message}
        return {"type": kind, "status": status, "lastTransitionTime": since, **why}
