"""`pet status` and `pet list` against a real API server."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from harness.commands import pet
from harness.desk import Desk
from testbed.control_plane import ControlPlane
from testbed.kubectl import Kubectl
from testbed.namespace import Namespace
from testbed.pods import pod

from pet_operator.domain.codec import write_time


def running() -> dict[str, Any]:
    """A status of a job that trains."""
    return {
        "phase": "Running", "reason": "Training", "message": "iteration 120 of 480", "attempt": 1, "restarts": 0,
        "progress": {"iteration": 120, "maxIterations": 480, "percent": 25, "loss": 0.43, "etaSeconds": 75},
        "display": {"step": "120/480", "eta": "1m", "loss": "0.43"},
        "checkpoint": {"iteration": 100, "savedAt": write_time(datetime.now(UTC) - timedelta(hours=3))},
    }  # fmt: skip


def labelled(job: dict[str, Any], name: str) -> dict[str, Any]:
    """A pod as the operator labels it, which no node will take."""
    content = pod(name, "true", nodeSelector={"kubernetes.io/os": "none"})
    labels = {"pet.dev/job-uid": job["metadata"]["uid"], "pet.dev/attempt": "1", "pet.dev/node-index": "0"}
    content["metadata"]["labels"] = labels
    return content


def test_a_job_is_told_with_its_pods(desk: Desk, namespace: Namespace) -> None:
    job = desk.job("job", **running())
    namespace.create("pods", labelled(job, "job-1-0"))
    namespace.create("pods", pod("stranger", "true"))
    namespace.wait_for("pods", "job-1-0", "judged", lambda found: found["status"].get("conditions"))
    answer = desk.pet("status", "job")
    assert (answer.code, answer.err) == (0, "")
    text = answer.out.splitlines()
    assert text[:2] == ["job: Running, Training", f"  namespace     {namespace.name}"]
    assert "  progress      [#######.......................] 25 %, iteration 120 of 480" in text
    assert "  checkpoint    iteration 100, 3h0m old" in text
    assert text[-1].startswith("  pods          job-1-0  Pending  Unschedulable: ")


def test_json_is_the_job_as_the_cluster_has_it(desk: Desk) -> None:
    desk.job("job", **running())
    assert json.loads(desk.pet("status", "job", "-o", "json").out) == desk.jobs.get("job")


def test_a_job_without_a_status_is_told(desk: Desk) -> None:
    desk.job("job")
    answer = desk.pet("status", "job")
    assert answer.code == 0
    assert answer.out.startswith("job: not looked at yet\n")


def test_the_list_shows_what_kubectl_shows(desk: Desk, kubectl: Kubectl) -> None:
    desk.job("one", **running())
    desk.job("two")
    answer = desk.pet("list")
    assert answer.code == 0
    ours = [line.split() for line in answer.out.splitlines()]
    theirs = [line.split() for line in kubectl("get", "ptj", "-n", desk.namespace).stdout.splitlines()]
    assert ours[0] == theirs[0]
    assert ours[1][:5] == theirs[1][:5] == ["one", "Running", "120/480", "1m", "0.43"]
    assert ours[1][5:7] == ["3h0m", "0"]
    assert [row[0] for row in ours[1:]] == ["one", "two"]


def test_the_list_of_all_namespaces_names_them(desk: Desk, control_plane: ControlPlane) -> None:
    desk.job("job", **running())
    answer = pet("list", "-A", "--kubeconfig", str(control_plane.kubeconfig()))
    assert answer.out.split()[:2] == ["NAMESPACE", "NAME"]
    assert [desk.namespace, "job"] in [line.split()[:2] for line in answer.out.splitlines()]


def test_the_list_as_json_is_a_list_of_kubernetes(desk: Desk) -> None:
    desk.job("one", **running())
    desk.job("two")
    result = json.loads(desk.pet("list", "-o", "json").out)
    assert (result["apiVersion"], result["kind"]) == ("pet.dev/v1", "PetTrainingJobList")
    assert result["items"] == [desk.jobs.get("one"), desk.jobs.get("two")]


def test_a_namespace_without_jobs_is_no_error(desk: Desk) -> None:
    answer = desk.pet("list")
    assert (answer.code, answer.out, answer.err) == (0, "", f"no jobs in namespace {desk.namespace}\n")
    assert json.loads(desk.pet("list", "-o", "json").out)["items"] == []


def test_a_job_that_there_is_not_is_answered_with_the_nearest(desk: Desk) -> None:
    desk.job("faster-rcnn")
    answer = desk.pet("status", "fastr-rcnn")
    assert (answer.code, answer.out) == (2, "")
    assert answer.err == f"error  fastr-rcnn: no such job in namespace {desk.namespace}, did you mean faster-rcnn?\n"


@pytest.mark.parametrize("command", [("status", "job"), ("list",), ("wait", "job")])
def test_whoever_has_no_right_is_told_which_one(
    command: tuple[str, ...], desk: Desk, control_plane: ControlPlane
) -> None:
    token = control_plane.service_account_token(desk.namespace, "default")
    kubeconfig = control_plane.kubeconfig("nobody", token=token)
    answer = pet(*command, "-n", desk.namespace, "--kubeconfig", str(kubeconfig))
    assert (answer.code, answer.out) == (2, "")
    assert answer.err.startswith(f"error  namespace {desk.namespace}: pettrainingjobs.pet.dev ")
    assert 'cannot get resource "pettrainingjobs"' in answer.err.replace("cannot list", "cannot get")
    assert answer.err.endswith("; whoever runs the cluster can give you the right\n")


def test_credentials_that_do_not_count_are_no_traceback(control_plane: ControlPlane) -> None:
    answer = pet("list", "--kubeconfig", str(control_plane.kubeconfig("nobody", token="nonsense")))
    assert (answer.code, answer.out) == (2, "")
    assert answer.err == (
        f"error  {control_plane.url}: does not take your credentials; log in again, or give another --context\n"
    )
