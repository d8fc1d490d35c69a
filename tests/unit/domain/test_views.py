"""What is taken over from the API server's objects, whatever users have made of them."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from harness.observing import UID, owner, pod_manifest, report

from pet_operator.domain.launcher import LauncherReport, SavedCheckpoint
from pet_operator.domain.views import PodView, ServiceView, pod_view, service_view


def terminated(message: str = "", **state: Any) -> dict[str, Any]:
    end = {"exitCode": 1, "reason": "Error", "finishedAt": "2026-01-31T12:00:00Z", "message": message, **state}
    return {"phase": "Failed", "containerStatuses": [{"name": "trainer", "state": {"terminated": end}}]}


def test_a_pod() -> None:
    assert pod_view(pod_manifest(2, attempt=3)) == PodView(
        name="job-3-2",
        uid="uid-of-job-3-2",
        job_uid=UID,
        attempt=3,
        node_index=2,
        phase="Running",
        node="node-2",
        ip="10.0.0.3",
    )


def test_a_pod_of_which_little_is_known() -> None:
    view = pod_view({"metadata": {"name": "a", "uid": "b"}})
    assert view == PodView(name="a", uid="b", job_uid="", attempt=-1, node_index=-1, phase="Pending", unwatched=True)
    assert (view.over, view.running, view.succeeded) == (False, False, False)


@pytest.mark.parametrize("labels", [None, {}, {"pet.dev/attempt": "one", "pet.dev/job-uid": "another"}])
def test_whose_a_pod_is_does_not_hang_on_labels(labels: dict[str, str] | None) -> None:
    view = pod_view(pod_manifest(2, attempt=3, labels=labels))
    assert replace(view, unwatched=False) == pod_view(pod_manifest(2, attempt=3))
    assert view.unwatched is not bool(labels), "the API server is asked for those that have one"


def test_labels_make_no_pod_ours() -> None:
    assert pod_view(pod_manifest(ownerReferences=[])).job_uid == ""


@pytest.mark.parametrize(
    ("kind", "status", "disrupted"),
    [
        ("DisruptionTarget", "True", True),
        ("TerminationTarget", "True", True),
        ("DisruptionTarget", "False", False),
        ("Ready", "True", False),
    ],
)
def test_a_pod_that_is_not_to_blame(kind: str, status: str, disrupted: bool) -> None:
    assert pod_view(pod_manifest(status={"conditions": [{"type": kind, "status": status}]})).disrupted is disrupted


def test_a_pod_that_is_going() -> None:
    assert pod_view(pod_manifest(deletionTimestamp="2026-01-31T12:00:00Z")).terminating


def test_the_launcher_s_last_words() -> None:
    saved = {"iteration": 5, "file": "a.pth", "bytes": 7, "savedAt": "2026-01-31T12:00:00Z", "verified": True}
    told = report(1, rank=3, restartsLeft=2, checkpoint=saved, metrics={"top1": 0.5, "ap": None})
    view = pod_view(pod_manifest(status=terminated(json.dumps(told))))
    assert view.exit is not None
    assert (view.exit.code, view.exit.reason) == (1, "Error")
    assert view.report == LauncherReport(
        class_="AppError",
        type="AppError",
        message="words",
        rank=3,
        restarts_left=2,
        metrics={"top1": 0.5},
        checkpoint=SavedCheckpoint(iteration=5, file="a.pth", bytes=7, saved_at=view.exit.finished_at, verified=True),
    )


@pytest.mark.parametrize(
    "message",
    ["", "Killed", "[1, 2]", '{"schema": 2}', '{"schema": ', "[" * 4096, '{"a":' * 700, "1" * 4096, "null"],
)
def test_other_last_words_are_no_report(message: str) -> None:
    view = pod_view(pod_manifest(status=terminated(message)))
    assert view.exit is not None
    assert view.report is None


def test_how_a_container_beside_the_trainer_ended_is_not_how_the_trainer_ended() -> None:
    status = terminated()
    status["containerStatuses"][0]["name"] = "logs"
    assert pod_view(pod_manifest(status=status)).exit is None


@pytest.mark.parametrize(
    ("status", "awaited"),
    [
        ({"conditions": [{"type": "PodScheduled", "status": "False"}]}, ("Unschedulable", "")),
        ({"conditions": [{"type": "PodScheduled", "status": "True"}]}, None),
        ({"containerStatuses": [{"name": "trainer"}]}, None),
        ({"containerStatuses": [{"name": "a", "state": {"waiting": {}}}]}, None),
        ({"containerStatuses": [{"name": "a", "state": {"waiting": {"reason": "X"}}}]}, ("X", "")),
        ({"phase": "Running", "containerStatuses": [{"name": "a", "state": {"waiting": {"reason": "X"}}}]}, None),
    ],
)
def test_what_keeps_a_pod_from_running(status: dict[str, Any], awaited: tuple[str, str] | None) -> None:
    assert pod_view(pod_manifest(status={"phase": "Pending", **status})).awaited == awaited


@pytest.mark.parametrize(
    ("owners", "uid"),
    [
        (None, ""),
        ([owner(uid="a")], "a"),
        ([{**owner(uid="a"), "controller": False}, owner(uid="b")], "b"),
        ([{**owner(uid="a"), "kind": "Job", "apiVersion": "batch/v1"}], ""),
    ],
)
def test_a_service_and_whose_it_is(owners: list[dict[str, Any]] | None, uid: str) -> None:
    manifest = {"metadata": {"name": "job", "uid": "c", "ownerReferences": owners}}
    assert service_view(manifest) == ServiceView(name="job", uid="c", owner_uid=uid)
