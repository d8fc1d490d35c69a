"""Jobs that cannot run: who says so, in which words, and that nothing is made of them or forced."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from harness.cluster import Jobs, job
from harness.stage import Stage
from harness.training import CFG, ROOT
from testbed.namespace import Manifest
from testbed.operator import Operator
from testbed.waiting import wait_for

from pet_operator.domain import names

CONFIG = (ROOT / CFG).read_text()
NOTHING: dict[str, list[str]] = {"pods": [], "services": [], "configmaps": [], "persistentvolumeclaims": []}


@pytest.fixture(scope="module", autouse=True)
def operator(stage: Stage) -> Iterator[Operator]:
    """One for all of these."""
    with Operator(stage.plane) as running:
        yield running


@pytest.mark.parametrize(
    ("spec", "field"),
    [
        ({"nodez": 2}, "spec.nodez"),
        ({"nodes": 0}, "spec.nodes"),
        ({"gpusPerNode": 1, "procsPerNode": 2}, "procsPerNode"),
    ],
    ids=str,
)
def test_kubectl_says_what_the_api_server_refuses(spec: dict[str, Any], field: str, played: Jobs) -> None:
    with pytest.raises(AssertionError, match=field):
        played.apply(job(**spec))
    assert played.kubectl("get", "ptj", "-o", "name") == ""


@pytest.mark.parametrize(
    ("spec", "field", "remedy"),
    [
        ({"overrides": {"SOLVER.OPTIMIZR.BASE_LR": 1}}, "SOLVER.OPTIMIZR", "did you mean SOLVER.OPTIMIZER"),
        ({"overrides": {"TRAIN.BATCH_SIZE": 7}, "nodes": 2}, "TRAIN.BATCH_SIZE", "divisible|multiple|divide"),
        ({"cfg": "cfgs/tasks/cls/none.yaml"}, "spec.cfg", "none.yaml"),
        ({"overrides": {"🙂": 1}}, "🙂", "no such key"),  # a character that YAML has no pair of escapes for
    ],
    ids=["key", "batch", "cfg", "character"],
)
def test_an_invalid_job_says_which_field_and_is_judged_again_when_mended(
    spec: dict[str, Any], field: str, remedy: str, stage: Stage, played: Jobs
) -> None:
    played.apply(job(**spec))
    status = played.reaches("job", "Failed")
    assert status["reason"] == "InvalidConfig"
    assert field in status["message"]
    accepted = played.condition("job", "Accepted")
    assert (accepted["status"], accepted["reason"], accepted["message"]) == (
        "False",
        "InvalidConfig",
        status["message"],
    )
    assert played.condition("job", "Finished")["status"] == "True"
    assert played.objects() == NOTHING
    wait_for("the event", lambda: ("InvalidConfig", status["message"]) in played.events("job"))

    played.apply(job())
    played.reaches("job", "Running")
    assert played.condition("job", "Accepted")["status"] == "True"
    stage.end(played, "job")
    assert played.reaches("job", "Succeeded")["attempt"] == 1


@pytest.mark.parametrize(("field", "words"), [("template", "mend spec.template"), ("overrides", "spec.overrides")])
def test_no_job_is_nested_too_deeply_for_the_operator_that_has_to_read_it(field: str, words: str, played: Jobs) -> None:
    """The API server takes up to 10,000 levels; whoever cannot read them reads no other job either."""
    path = f"/apis/pet.dev/v1/namespaces/{played.namespace.name}/pettrainingjobs"
    deep = json.dumps(job("deep", **{field: {"spec": "DEEP"}})).replace('"DEEP"', '{"a":' * 3000 + "1" + "}" * 3000)
    played.kubectl("create", "--raw", path, "-f", "-", content=deep)
    message = ("get", "ptj", "deep", "-o", "jsonpath={.status.message}")
    wait_for("what is said of it", lambda: words in played.kubectl(*message))
    played.apply(job("other"))
    assert played.reaches("other", "Running")["attempt"] == 1


SERVICE_SPEC = {"ports": [{"port": 1}]}
CLAIM_SPEC = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
CONTAINERS = {"containers": [{"name": "main", "image": "any"}], "schedulerName": "nobody"}
FOREIGN: dict[str, tuple[str, Manifest]] = {
    "services": ("Service job", {"metadata": {"name": "job"}, "spec": SERVICE_SPEC}),
    "configmaps": ("ConfigMap", {"metadata": {"name": names.config_map("job", CONFIG)}}),
    "persistentvolumeclaims": ("PersistentVolumeClaim", {"metadata": {"name": "job-checkpoints"}, "spec": CLAIM_SPEC}),
    "pods": ("Pod job-1-0", {"metadata": {"name": "job-1-0"}, "spec": CONTAINERS}),
}


@pytest.mark.parametrize("plural", FOREIGN)
def test_what_is_somebody_elses_is_said_and_left_alone(plural: str, played: Jobs) -> None:
    what, manifest = FOREIGN[plural]
    name = manifest["metadata"]["name"]
    uid = played.namespace.create(plural, manifest)["metadata"]["uid"]

    played.apply(job(config=CONFIG, checkpoint={"volume": {"size": "1Gi"}}))
    reason = f"{'Claim' if plural == 'persistentvolumeclaims' else what.split()[0]}NameTaken"
    status = played.wait("job", "refused", lambda status: status.get("reason") == reason)
    accepted = played.condition("job", "Accepted")
    assert (accepted["status"], accepted["reason"]) == ("False", reason)
    assert what in status["message"]
    assert "belongs to somebody else; delete it or rename the job" in status["message"]
    found = played.namespace.get(plural, name)
    assert found is not None
    assert found["metadata"]["uid"] == uid
    assert "ownerReferences" not in found["metadata"]
    assert played.objects()["pods"] == []

    played.namespace.delete(plural, name, grace=0)
    assert played.reaches("job", "Running")["attempt"] == 1


def test_a_config_map_that_goes_before_the_pods_have_it_is_made_again(played: Jobs) -> None:
    gated = {"spec": {"schedulingGates": [{"name": "example.com/later"}]}}
    played.apply(job(config=CONFIG, template=gated))
    wait_for("the pod", lambda: played.pods("job"))
    played.namespace.delete("configmaps", names.config_map("job", CONFIG))
    path = f"/api/v1/namespaces/{played.namespace.name}/pods/job-1-0"
    played.plane.request("PATCH", path, {"spec": {"schedulingGates": None}})
    assert played.reaches("job", "Running")["attempt"] == 1


def test_a_field_of_the_template_that_no_pod_has_is_named_and_not_left_out_in_silence(played: Jobs) -> None:
    trainer = {"name": "trainer", "resourcs": {"limits": {"memory": "1Gi"}}}
    played.apply(job(template={"spec": {"containers": [trainer]}}))
    status = played.wait("job", "refused", lambda status: status.get("reason") == "CreateRefused")
    assert 'unknown field "spec.containers[0].resourcs"' in status["message"]
    assert status["message"].endswith("; mend spec.template: delete the job and apply the mended file")
    assert played.objects()["pods"] == []

    played.delete("job")
    played.apply(job())
    assert played.reaches("job", "Running")["attempt"] == 1


def test_pods_that_a_namespace_does_not_allow_are_refused_with_the_remedy_and_pass_with_it(played: Jobs) -> None:
    """Of the strictest level all that can be known without the image is kept by default."""
    labels = {"metadata": {"labels": {"pod-security.kubernetes.io/enforce": "restricted"}}}
    played.plane.request("PATCH", f"/api/v1/namespaces/{played.namespace.name}", labels)
    fields = {"config": CONFIG, "checkpoint": {"volume": {"size": "1Gi"}}}
    played.apply(job(**fields))
    status = played.wait("job", "refused", lambda status: status.get("reason") == "PodSecurityRefused")
    asked, _, remedy = status["message"].partition("; mend spec.template: ")
    violated = 'violates PodSecurity "restricted:latest": runAsNonRoot != true '
    words = '(pod or container "trainer" must set securityContext.runAsNonRoot=true)'
    assert asked.endswith(violated + words), "and nothing else"
    assert "spec.template.spec.securityContext: {runAsNonRoot: true, runAsUser: " in remedy
    assert played.condition("job", "Accepted")["reason"] == "PodSecurityRefused"
    assert played.objects()["pods"] == []

    played.delete("job")
    played.apply(job(**fields, template={"spec": {"securityContext": {"runAsNonRoot": True, "runAsUser": 1000}}}))
    assert played.reaches("job", "Running")["attempt"] == 1


def test_a_quota_that_some_of_the_pods_do_not_fit_into_is_named_and_tried_again(played: Jobs) -> None:
    quota = {"metadata": {"name": "few"}, "spec": {"hard": {"count/pods": "1"}}}
    path = f"/api/v1/namespaces/{played.namespace.name}/resourcequotas"
    played.plane.request("POST", path, quota)
    counted = {"count/pods": "1"}
    wait_for("the quota", lambda: played.plane.request("GET", f"{path}/few").get("status", {}).get("hard") == counted)
    played.apply(job(nodes=2))
    status = played.wait("job", "refused", lambda status: status.get("reason") == "CreateRefused")
    assert "exceeded quota: few" in status["message"]
    assert len(played.objects()["pods"]) == 1
    wait_for("the event", lambda: ("CreateRefused", status["message"]) in played.events("job"))
    played.plane.request("DELETE", f"{path}/few")
    assert played.reaches("job", "Running")["attempt"] == 1


def test_what_the_scheduler_says_of_a_pod_is_said_of_the_job(played: Jobs) -> None:
    played.apply(job(gpusPerNode=1, overrides={"MISC.DEVICE": "cuda"}))
    status = played.wait("job", "unschedulable", lambda status: status.get("reason") == "Unschedulable")
    assert status["phase"] == "Starting"
    assert status["message"].startswith("job-1-0: 0/2 nodes are available: 2 Insufficient nvidia.com/gpu")


def test_a_configuration_error_that_only_the_trainer_sees_is_not_tried_again(stage: Stage, played: Jobs) -> None:
    played.apply(job(nodes=2))
    played.reaches("job", "Running")
    stage.end(played, "job-1-1", 78)
    status = played.reaches("job", "Failed")
    assert (status["reason"], status["attempt"], status["restarts"]) == ("InvalidConfig", 1, 0)
    failure = status["failure"]
    assert (failure["pod"], failure["rank"], failure["exitCode"]) == ("job-1-1", 1, 78)
    assert "told to end with 78" in status["message"]
    names = {pod["metadata"]["name"] for pod in played.pods("job")}
    assert names <= {"job-1-0", "job-1-1"}


def test_a_job_that_fails_again_and_again_says_when_its_restarts_are_used_up(stage: Stage, played: Jobs) -> None:
    stage.end(played, "job", 1)  # at once, in every attempt
    played.apply(job(restart={"maxRestarts": 1}))
    status = played.reaches("job", "Failed")
    assert (status["reason"], status["attempt"], status["restarts"]) == ("RestartsExhausted", 2, 1)
    assert status["message"].startswith("no restart is left (1 without a new checkpoint); rank 0 on node stage-")
    assert [attempt["reason"] for attempt in status["attempts"]] == ["AppError", "AppError"]
