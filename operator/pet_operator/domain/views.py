"""What is seen of the cluster, cut down to what decisions look at: from the API server's dicts to frozen values."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pet_operator.domain.codec import decode, read_time
from pet_operator.domain.constants import CONTAINER, JOB, LABEL_JOB_UID
from pet_operator.domain.launcher import LauncherReport, LauncherStatus

Manifest = Mapping[str, Any]

STALE_SECONDS = 30.0  # without an answer what a launcher told before is not live any more
UNHEARD_SECONDS = 15.0  # without a first one it is said

_LONGEST_WORDS = 1024  # of a container that is not ours; the end tells the most
_PLACE = re.compile(r"-(\d+)-(\d+)$")  # attempt and node index, as `names.pod` writes them
# The kubelet's words for what passes by itself while a container is made.
_ORDINARY_WAITING = ("", "ContainerCreating", "PodInitializing")
# The scheduler, an eviction, a taint or a node's shutdown, and a queue say by these that the pod is not to blame.
_DISRUPTIONS = ("DisruptionTarget", "TerminationTarget")


@dataclass(frozen=True, slots=True, kw_only=True)
class PodExit:
    """How the trainer's container ended. `report` is the launcher's termination message, None if it left none;
    `memory_limit` what held for the container, whoever has set it, empty without one."""

    code: int
    reason: str
    finished_at: datetime | None
    report: LauncherReport | None
    memory_limit: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class PodView:
    """One pod of a job. `awaited` says what keeps it from running: a reason and the words of whoever is at it.
    `grace_seconds`: what it has for its end, once it is terminating; `prepared`: its volumes and its network are there,
    so that containers can be made; `gone`: there is no such object any more, this is how it was last; `failed_init`:
    what an init container said that kept the trainer's from running, and the code that it ended with; `unwatched`:
    somebody has removed the label by which pods are watched."""

    name: str
    uid: str
    job_uid: str
    attempt: int
    node_index: int
    phase: str
    gone: bool = False
    unwatched: bool = False
    terminating: bool = False
    grace_seconds: int = 0
    disrupted: bool = False
    ready: bool = False
    prepared: bool = False
    node: str = ""
    scheduled_at: datetime | None = None
    ip: str = ""
    awaited: tuple[str, str] | None = None
    message: str = ""
    exit: PodExit | None = None
    failed_init: tuple[str, int] | None = None

    @property
    def over(self) -> bool:
        """Whether all its processes are gone for certain, or never were: a pod that is to go is given no node any more,
        whoever holds the object."""
        return self.phase in ("Succeeded", "Failed") or (self.terminating and not self.node)

    @property
    def ended(self) -> bool:
        """Whether its ranks are gone for certain; a container beside them may run on."""
        return self.over or self.exit is not None

    @property
    def succeeded(self) -> bool:
        """Whether its ranks all finished; a container beside them may have failed, or run on."""
        return self.phase == "Succeeded" or (self.exit is not None and self.exit.code == 0)

    @property
    def report(self) -> LauncherReport | None:
        """What its launcher told at its end."""
        return self.exit.report if self.exit is not None else None

    @property
    def running(self) -> bool:
        """Whether a launcher may answer in it."""
        return self.phase == "Running" and self.exit is None and bool(self.ip)


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

    @property
    def silent(self) -> bool:
        """Whether it should have answered by now. A launcher takes a few seconds to load what it needs."""
        return self.age > (UNHEARD_SECONDS if self.status is None else STALE_SECONDS)


@dataclass(frozen=True, slots=True, kw_only=True)
class UnreadyNode:
    """A node that is not ready: what is said of it, and for how many seconds it has been seen so without a gap."""

    message: str
    seconds: float


def owner_of(manifest: Manifest) -> Manifest:
    """The reference to the job that an object belongs to, empty if to none. Labels can be written and removed by hand;
    by this reference the cluster itself goes."""
    owners: Iterable[Manifest] = manifest["metadata"].get("ownerReferences") or ()
    kind = (JOB.api_version, JOB.kind)
    ours = (owner for owner in owners if owner.get("controller") and (owner["apiVersion"], owner["kind"]) == kind)
    return next(ours, {})


def pod_view(pod: Manifest) -> PodView:
    """A pod of a job, which its name places in it."""
    metadata, status = pod["metadata"], pod.get("status") or {}
    place = _PLACE.search(metadata["name"])
    conditions = {condition["type"]: condition for condition in status.get("conditions") or ()}
    return PodView(
        name=metadata["name"],
        uid=metadata["uid"],
        job_uid=owner_of(pod).get("uid", ""),
        attempt=int(place[1]) if place else -1,
        node_index=int(place[2]) if place else -1,
        phase=status.get("phase") or "Pending",
        unwatched=LABEL_JOB_UID not in (metadata.get("labels") or {}),
        terminating="deletionTimestamp" in metadata,
        grace_seconds=metadata.get("deletionGracePeriodSeconds") or 0,
        disrupted=any(_true(conditions.get(kind)) for kind in _DISRUPTIONS),
        ready=_true(conditions.get("Ready")),
        prepared=_true(conditions.get("PodReadyToStartContainers")),
        node=(pod.get("spec") or {}).get("nodeName") or "",
        scheduled_at=_since(conditions.get("PodScheduled")),
        ip=status.get("podIP") or "",
        awaited=_awaited(status, conditions),
        message=status.get("message") or "",
        exit=_exit(status, pod.get("spec") or {}),
        failed_init=_failed_init(status),
    )


def service_view(service: Manifest) -> ServiceView:
    """A Service."""
    metadata = service["metadata"]
    return ServiceView(
        name=metadata["name"],
        uid=metadata["uid"],
        owner_uid=owner_of(service).get("uid", ""),
    )


def unready(node: Manifest) -> str | None:
    """What is said of a node that is not ready, None of one that is."""
    conditions = (node.get("status") or {}).get("conditions") or ()
    ready: Manifest = next((condition for condition in conditions if condition["type"] == "Ready"), {})
    return None if _true(ready) else ready.get("message") or ""


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


def _exit(status: Manifest, spec: Manifest) -> PodExit | None:
    for container in status.get("containerStatuses") or ():
        ended = (container.get("state") or {}).get("terminated")
        if container.get("name") == CONTAINER and ended:
            return PodExit(
                code=int(ended.get("exitCode", 0)),
                reason=ended.get("reason") or "",
                finished_at=read_time(ended.get("finishedAt")),
                report=_report(ended.get("message") or ""),
                memory_limit=_memory_limit(spec),
            )
    return None


def _memory_limit(spec: Manifest) -> str:
    """The trainer's own, which may be the namespace's default, else that of the pod as a whole."""
    trainers = (each for each in spec.get("containers") or () if each.get("name") == CONTAINER)
    limits = ((each.get("resources") or {}).get("limits") or {} for each in (*trainers, spec))
    return next((limit["memory"] for limit in limits if "memory" in limit), "")


def _failed_init(status: Manifest) -> tuple[str, int] | None:
    """Of a pod that is over: the first init container that failed; one that is tried again is not at its end."""
    for container in status.get("initContainerStatuses") or ():
        ended = (container.get("state") or {}).get("terminated") or {}
        if status.get("phase") == "Failed" and (code := int(ended.get("exitCode", 0))):
            reason, said = ended.get("reason") or "", (ended.get("message") or "").strip()
            words = f"the init container {container.get('name')} ended with {code}{f' ({reason})' if reason else ''}"
            return (f"{words}: {said[-_LONGEST_WORDS:]}" if said else words), code
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


def _since(condition: Manifest | None) -> datetime | None:
    """Since when the condition is true."""
    return read_time(condition.get("lastTransitionTime")) if condition is not None and _true(condition) else None


def _true(condition: Manifest | None) -> bool:
    return condition is not None and condition.get("status") == "True"
