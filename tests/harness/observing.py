"""What the operator sees of a job, made by hand: pods, launchers' answers, ends, and the statuses that follow."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from harness.jobs import manifest
from harness.timeless import NOON
from pet.config.job import PetTrainingJob, read_job
from pet.runfiles.exits import classify
from pet_operator.domain.codec import decode, encode, write_time
from pet_operator.domain.constants import CONTAINER, LABEL_ATTEMPT, LABEL_JOB, LABEL_JOB_UID, LABEL_NODE_INDEX
from pet_operator.domain.decide import decide
from pet_operator.domain.decision import Decision, Observed, Site, Validation
from pet_operator.domain.launcher import LauncherStatus
from pet_operator.domain.status import Condition, JobStatus
from pet_operator.domain.views import PodView, ServiceView, TrainerView, pod_view
from pet_operator.domain.volumes import ClaimView

UID = "uid-of-job"
SCRIPT = "tools/tasks/cls/train_net.py"
SITE = Site(cluster="uid-of-kube-system", trainer_image="trainer:stock")
SERVICE = ServiceView(name="job", uid="uid-of-service", owner_uid=UID)


def later(seconds: float) -> datetime:
    """So many seconds after noon."""
    return NOON + timedelta(seconds=seconds)


def job(name: str = "job", uid: str = UID, **spec: Any) -> PetTrainingJob:
    """A valid job: one node with one GPU, unless `spec` says otherwise."""
    content = manifest(name, **spec)
    return read_job({**content, "metadata": {"name": name, "namespace": "default", "uid": uid}})


def observed(*, generation: int = 1, problems: tuple[str, ...] = (), **what: Any) -> Observed:
    """A job that was just made; `spec` and the fields of Observed change that."""
    spec = what.pop("spec", {})
    warnings = what.pop("warnings", ())
    fields = {
        "job": job(**spec),
        "resource_version": "1",
        "status": JobStatus(),
        "validation": Validation(problems=problems, warnings=warnings, script=SCRIPT),
        "site": SITE,
    }
    return Observed(generation=generation, **(fields | what))


def seen(before: Observed, decision: Decision, **changes: Any) -> Observed:
    """The next view of the job, once the API server has kept the decided status."""
    return replace(before, status=decode(JobStatus, json.loads(json.dumps(encode(decision.status)))), **changes)


def begun(**what: Any) -> Observed:
    """A job whose first attempt is written, and nothing made of it yet."""
    first = observed(**what)
    return seen(first, decide(first, NOON))


def owner(name: str = "job", uid: str = UID) -> dict[str, Any]:
    """The reference to a job that its objects carry."""
    kind = {"apiVersion": "pet.dev/v1", "kind": "PetTrainingJob"}
    return {**kind, "name": name, "uid": uid, "controller": True, "blockOwnerDeletion": True}


def pod_manifest(
    node_index: int = 0,
    *,
    attempt: int = 1,
    name: str = "job",
    uid: str = UID,
    status: Mapping[str, Any] | None = None,
    **metadata: Any,
) -> dict[str, Any]:
    """A pod as the API server has it."""
    labels = {
        LABEL_JOB: name,
        LABEL_JOB_UID: uid,
        LABEL_ATTEMPT: str(attempt),
        LABEL_NODE_INDEX: str(node_index),
    }
    return {
        "metadata": {
            "name": f"{name}-{attempt}-{node_index}",
            "namespace": "default",
            "uid": f"uid-of-{name}-{attempt}-{node_index}",
            "resourceVersion": "1",
            "labels": labels,
            "ownerReferences": [owner(name, uid)],
            **metadata,
        },
        "spec": {"nodeName": f"node-{node_index}"},
        "status": {"phase": "Running", "podIP": f"10.0.0.{node_index + 1}", **(status or {})},
    }


def pod(node_index: int = 0, phase: str = "Running", *, attempt: int = 1, **changes: Any) -> PodView:
    """A pod of the job, on node `node-<index>`; `changes` are fields of PodView."""
    ready = phase == "Running"
    return replace(pod_view(pod_manifest(node_index, attempt=attempt)), **({"phase": phase, "ready": ready} | changes))


def pods(count: int, phase: str = "Running", **changes: Any) -> tuple[PodView, ...]:
    """All pods of an attempt, alike."""
    return tuple(pod(index, phase, **changes) for index in range(count))


def claims(name: str = "mine", modes: str = "ReadWriteMany", **changes: Any) -> dict[str, ClaimView]:
    """One claim, as a job sees it."""
    return {name: ClaimView(name=name, access_modes=tuple(modes.split()), **changes)}


def report(code: int = 1, **fields: Any) -> dict[str, Any]:
    """A launcher's termination message."""
    kind = classify(code).exit_class
    plain = {"schema": 1, "class": kind, "exitCode": code, "attempt": 1, "restart": 0, "type": kind, "message": "words"}
    return plain | fields


def ended(
    node_index: int = 0,
    code: int = 1,
    told: Mapping[str, Any] | None = None,
    *,
    reason: str = "Error",
    at: datetime | None = NOON,
    attempt: int = 1,
    **changes: Any,
) -> PodView:
    """A pod whose container has ended; `told` is its launcher's report."""
    state = {
        "exitCode": code,
        "reason": "Completed" if code == 0 else reason,
        **({"finishedAt": write_time(at)} if at is not None else {}),
        **({"message": json.dumps(told)} if told is not None else {}),
    }
    status = {
        "phase": "Succeeded" if code == 0 else "Failed",
        "containerStatuses": [{"name": CONTAINER, "state": {"terminated": state}}],
    }
    return replace(pod_view(pod_manifest(node_index, attempt=attempt, status=status)), **changes)


def answer(
    age: float = 0.0, *, ranks: int = 1, stepped: bool = True, idle: float = 0.1, section: str = "step", **fields: Any
) -> TrainerView:
    """What a launcher tells that does not hold rank 0; `leading` makes one that does. `idle`: since its ranks' last
    step, in seconds."""
    last = {"section": section, "lastStepAgeSeconds": idle if stepped else None}
    each = [{"rank": rank, **last} for rank in range(ranks)]
    plain = {"schema": 1, "uid": UID, "attempt": 1, "restarts": 0, "state": "training", "iteration": None}
    return TrainerView(status=decode(LauncherStatus, plain | {"ranks": each} | fields), age=age)


def leading(iteration: int = 10, age: float = 0.0, **fields: Any) -> TrainerView:
    """What the launcher tells that holds rank 0."""
    numbers = {
        "iteration": iteration,
        "maxIterations": 200,
        "losses": {"total": 0.834567},
        "learningRate": 0.02,
        "samplesPerSecond": 151.0,
        "etaSeconds": 3725.4,
        "resumedFrom": None,
    }
    return answer(age, **(numbers | fields))


def told(views: Iterable[TrainerView], *, attempt: int = 1) -> dict[str, TrainerView]:
    """The answers of the launchers of an attempt, by their pods' uids."""
    return {pod(index, attempt=attempt).uid: view for index, view in enumerate(views)}


def running(nodes: int = 1, **what: Any) -> Observed:
    """A job whose ranks have all made a step, with that written."""
    spec = {"nodes": nodes, **what.pop("spec", {})}
    view = begun(spec=spec, pods=pods(nodes), service=SERVICE, **what)
    view = replace(view, trainers=told([leading(), *[answer()] * (nodes - 1)]))
    return seen(view, decide(view, NOON))


def condition(status: JobStatus, kind: str) -> Condition:
    """The condition of this type. Raises StopIteration if there is none."""
    return next(condition for condition in status.conditions if condition.type == kind)


def said(status: JobStatus, kind: str) -> tuple[str, str, str]:
    """Status, reason and message of a condition."""
    found = condition(status, kind)
    return found.status, found.reason, found.message


def stands(status: JobStatus) -> tuple[str, str, str]:
    """Phase, reason and message of a job."""
    return status.phase, status.reason, status.message
