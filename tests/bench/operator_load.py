"""What the benches of the operator share: jobs to work on, and how its work is measured from outside."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from harness.jobs import cpu_manifest
from testbed.control_plane import ControlPlane
from testbed.namespace import Namespace
from testbed.waiting import wait_for

from pet.config.check import stock_cfg
from pet_operator.domain.constants import JOB

NODES = 8
POLL_SECONDS = 5.0  # as in a cluster; tests are in a hurry
CFG = "cfgs/tasks/cls/FashionMNIST/slim_resnet_1x.yaml"
_TICKS = os.sysconf("SC_CLK_TCK")


def submit(
    plane: ControlPlane, namespace: str, number: int, *, nodes: int, name: str = "job", **fields: Any
) -> list[dict[str, Any]]:
    """Make jobs, called `name` or with numbers behind it, with these fields in their specs; returns them as the API
    server has them."""
    path = f"/apis/{JOB.api_version}/namespaces/{namespace}/{JOB.plural}"
    batch = {"TRAIN.BATCH_SIZE": 2 * nodes}
    spec = {"cfg": CFG, "config": stock_cfg(CFG), "nodes": nodes, "checkpoint": {}, "overrides": batch, **fields}
    names = [name] if number == 1 else [f"{name}-{index}" for index in range(number)]
    return [plane.request("POST", path, cpu_manifest(each, **spec)) for each in names]


def pods_made(namespace: Namespace, number: int) -> None:
    """Wait until a namespace has so many pods, at a price that nobody else feels: each look is a connection of its
    own."""
    wait_for(f"{number} pods", lambda: namespace.count("pods") == number, 1200.0, every=0.5)


def written(plane: ControlPlane, user: str, namespace: str, work: Callable[[], None]) -> list[dict[str, Any]]:
    """The writes of a user in a namespace while `work` is done, as audit events; Events and Leases do not count."""
    before = sum(1 for _ in plane.audit())
    work()
    events = list(plane.audit())[before:]
    kept = {event["auditID"]: event for event in events if _counts(event, user, namespace)}
    return list(kept.values())


def cpu_seconds(pid: int) -> float:
    """What a process has used since it began."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def resident(pid: int) -> float:
    """Megabytes of memory that a process holds."""
    (line,) = (row for row in Path(f"/proc/{pid}/status").read_text().splitlines() if row.startswith("VmRSS"))
    return int(line.split()[1]) / 1024


def _counts(event: dict[str, Any], user: str, namespace: str) -> bool:
    place = event["objectRef"]
    theirs = event["user"]["username"] == user and place.get("namespace") == namespace
    return theirs and event["verb"] not in ("get", "list", "watch") and place["resource"] not in ("events", "leases")
