"""What is seen of the cluster, cut down to what decisions look at: from the API server's dicts to frozen values."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pet_operator.domain.codec import decode, read_time
from pet_operator.domain.constants import CONTAINER, LABEL_ATTEMPT, LABEL_JOB_UID, LABEL_NODE_INDEX
from pet_operator.domain.launcher import LauncherReport, LauncherStatus

Manifest = Mapping[str, Any]

# The kubelet's words for what passes by itself while a container is made.
_ORDINARY_WAITING = ("", "ContainerCreating", "PodInitializing")
# The scheduler, an eviction, a taint or a node's shutdown, and a queue say by these that the pod is not to blame.
_DISRUPTIONS = ("DisruptionTarget", "TerminationTarget")


@dataclass(frozen=True, slots=True, kw_only=True)
class PodExit:
    """How the trainer's container ended. `report` is the launcher's termination message, None if it left none."""

    code: int
    reason: str
    finished_at: datetime | None
    report: LauncherReport | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PodView:
    """One pod of a job. `awaited` says what keeps it from running: a reason and the words of whoever is at it."""

    name: str
    uid: str
    job_uid: str
    attempt: int
    node_index: int
    phase: str
    terminating: bool = False
    disrupted: bool = False
    ready: bool = False
    node: str = ""
    ip: str = ""
    awaited: tuple[str, str] | None = None
    message: str = ""
    exit: PodExit | None = None

    @property
    def over(self) -> bool:
        """Whether its processes are gone for certain."""
        return self.phase in ("Succeeded", "Failed")

    @property
    def succeeded(self) -> bool:
        """Whether its ranks all finished; a container beside them may have failed."""
        return self.phase == "Succeeded" or (self.over and self.exit is not None and self.exit.code == 0)

    @property
    def report(self) -> LauncherReport | None:
        """What its launcher told at its end."""
        return self.exit.report if self.exit is not None else None

    @property
    def running(self) -> bool:
        """Whether a launcher may answer in it."""
        return self.phase == "Running" and bool(self.ip)


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceView:
    """A Service of the operator's making that has a job's name."""

    name: str
    uid: str
    owner_uid: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainerView:
    """The newest answer of one launcher, and how old it is in seconds: None and since it is asked before the first."""

    status: LauncherStatus | None
    age: float


def pod_view(pod: Manifest) -> PodView:
    """A pod that carries a job's labels."""
    metadata, status = pod["metadata"], pod.get("status") or {}
    labels = metadata.get("labels") or {}
    conditions = {condition["type"]: condition for condition in status.get("conditions") or ()}
    return PodView(
        name=metadata["name"],
        uid=metadata["uid"],
        job_uid=labels.get(LABEL_JOB_UID, ""),
        attempt=_number(labels.get(LABEL_ATTEMPT)),
        node_index=_number(labels.get(LABEL_NODE_INDEX)),
        phase=status.get("phase") or "Pending",
        terminating="deletionTimestamp" in metadata,
        disrupted=any(_true(conditions.get(kind)) for kind in _DISRUPTIONS),
        ready=_true(conditions.get("Ready")),
        node=(pod.get("spec") or {}).get("nodeName") or "",
        ip=status.get("podIP") or "",
        awaited=_awaited(status, conditions),
        message=status.get("message") or "",
        exit=_exit(status),
    )


def service_view(service: Manifest) -> ServiceView:
    """A Service."""
    metadata = service["metadata"]
    owners = (owner for owner in metadata.get("ownerReferences") or () if owner.get("controller"))
    owner: Manifest = next(owners, {})
    return ServiceView(
        name=metadata["name"],
        uid=metadata["uid"],
        owner_uid=owner.get("uid", ""),
    )


def _awaited(status: Manifest, conditions: Mapping[str, Manifest]) -> tuple[str, str] | None:
    if status.get("phase", "Pending") != "Pending":
        return None  # a sidecar that has trouble beside running ranks keeps nobody from running
    scheduled = conditions.get("PodScheduled")
    if scheduled is not None and scheduled.get("status") == "False":
        return scheduled.get("reason") or "Unschedulable", scheduled.get("message") or ""
    for container in _containers(status):
        waiting = (container.get("state") or {}).get("waiting") or {}
        if waiting.get("reason", "") not in _ORDINARY_WAITING:
            return waiting["reason"], waiting.get("message") or ""
    return None


def _exit(status: Manifest) -> PodExit | None:
    for container in status.get("containerStatuses") or ():
        ended = (container.get("state") or {}).get("terminated")
        if container.get("name") == CONTAINER and ended:
            return PodExit(
                code=int(ended.get("exitCode", 0)),
                reason=ended.get("reason") or "",
                finished_at=read_time(ended.get("finishedAt")),
                report=_report(ended.get("message") or ""),
            )
    return None


def _report(text: str) -> LauncherReport | None:
    """The launcher's message. Anything else there (a log's tail, another program's words) is no report."""
    try:
        report = json.loads(text)
    except (ValueError, RecursionError):  # the latter by thousands of opening brackets
        return None
    return decode(LauncherReport, report) if isinstance(report, dict) and report.get("schema") == 1 else None


def _containers(status: Manifest) -> Iterator[Manifest]:
    yield from status.get("initContainerStatuses") or ()
    yield from status.get("containerStatuses") or ()


def _true(condition: Manifest | None) -> bool:
    return condition is not None and condition.get("status") == "True"


def _number(text: object) -> int:
    """A number in a label; a user who overwrote it gets -1, which no attempt has."""
    try:
        return int(str(text))
    except ValueError:
        return -1
