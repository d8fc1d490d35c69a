"""The objects of a job: names, labels, owners, and what is in them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from harness.observing import SCRIPT, SITE, UID, job

from pet_operator.domain import manifests, names
from pet_operator.domain.decision import Create

LABELS = {
    "app.kubernetes.io/name": "pet-trainer",
    "app.kubernetes.io/instance": "job",
    "app.kubernetes.io/component": "trainer",
    "app.kubernetes.io/managed-by": "pet-operator",
    "pet.dev/job": "job",
    "pet.dev/job-uid": UID,
    "pet.dev/type": "tasks",
}
OWNER = {
    "apiVersion": "pet.dev/v1",
    "kind": "PetTrainingJob",
    "name": "job",
    "uid": UID,
    "controller": True,
    "blockOwnerDeletion": True,
}
CLAIM = {"checkpoint": {"volume": {"size": "1Gi"}}}
EMBEDDED = {"cfg": "cfgs/./tasks/cls/a.yaml", "config": "A: é"}


def pod(node_index: int = 0, attempt: int = 1, **spec: Any) -> Mapping[str, Any]:
    return manifests.pod(job(**spec), SITE, SCRIPT, attempt, node_index, 3).manifest


def shared(**spec: Any) -> list[Create]:
    return list(manifests.shared(job(**spec), SCRIPT))


def all_objects(**spec: Any) -> list[Mapping[str, Any]]:
    creates = [manifests.service(job(**spec), SCRIPT), *shared(**spec)]
    return [create.manifest for create in creates] + [pod(**spec)]


@pytest.mark.parametrize("index", range(4), ids=["Service", "ConfigMap", "claim", "pod"])
def test_every_object_carries_the_job_s_labels_and_is_json(index: int) -> None:
    manifest = all_objects(**EMBEDDED, **CLAIM)[index]
    assert json.loads(json.dumps(manifest)) == manifest
    assert manifest["metadata"]["namespace"] == "default"
    assert {name: manifest["metadata"]["labels"].get(name) for name in LABELS} == LABELS


@pytest.mark.parametrize("on_delete", ["Retain", "Delete"])
def test_everything_is_the_job_s_own_but_a_claim_that_is_to_stay(on_delete: str) -> None:
    spec = {**EMBEDDED, "checkpoint": {**CLAIM["checkpoint"], "onDelete": on_delete}}
    owners = {each["kind"]: each["metadata"].get("ownerReferences") for each in all_objects(**spec)}
    assert owners == {
        "Service": [OWNER],
        "ConfigMap": [OWNER],
        "PersistentVolumeClaim": [OWNER] if on_delete == "Delete" else None,
        "Pod": [OWNER],
    }


def test_the_service_gives_pods_names_before_they_are_ready() -> None:
    create = manifests.service(job(metrics={"port": 9401}), SCRIPT)
    assert (create.kind.plural, create.manifest["apiVersion"]) == ("services", "v1")
    assert create.manifest["metadata"]["name"] == "job"
    assert create.manifest["spec"] == {
        "clusterIP": "None",
        "publishNotReadyAddresses": True,
        "selector": {"pet.dev/job-uid": UID},
        "ports": [{"name": "rendezvous", "port": 29500}, {"name": "metrics", "port": 9401}],
    }


def test_an_embedded_configuration_is_kept_and_found_by_its_content() -> None:
    (create,) = shared(**EMBEDDED)
    assert create.manifest["metadata"]["name"] == names.config_map("job", "A: é")
    assert (create.manifest["immutable"], create.manifest["data"]) == (True, {"config.yaml": "A: é"})
    (other,) = shared(**{**EMBEDDED, "config": "A: e"})
    assert other.manifest["metadata"]["name"] != create.manifest["metadata"]["name"]


@pytest.mark.parametrize(
    ("nodes", "volume", "expected"),
    [
        (1, {}, {"accessModes": ["ReadWriteOnce"]}),
        (2, {}, {"accessModes": ["ReadWriteMany"]}),
        (1, {"accessModes": ["ReadWriteMany"]}, {"accessModes": ["ReadWriteMany"]}),
        (1, {"storageClassName": "nfs"}, {"accessModes": ["ReadWriteOnce"], "storageClassName": "nfs"}),
    ],
)
def test_a_claim_can_be_mounted_on_all_nodes_of_the_job(
    nodes: int, volume: dict[str, Any], expected: dict[str, Any]
) -> None:
    (create,) = shared(nodes=nodes, checkpoint={"volume": {"size": "1Gi", **volume}})
    assert create.manifest["metadata"]["name"] == "job-checkpoints"
    assert create.manifest["spec"] == {"resources": {"requests": {"storage": "1Gi"}}, **expected}


def test_nothing_is_made_of_a_claim_that_exists_or_a_config_of_the_image() -> None:
    assert shared(checkpoint={"volume": {"claimName": "mine"}}) == []


def test_a_pod_says_which_one_of_which_attempt_it_is() -> None:
    manifest = pod(3, attempt=2, nodes=4)
    assert manifest["metadata"]["name"] == "job-2-3"
    assert manifest["metadata"]["labels"]["pet.dev/attempt"] == "2"
    assert manifest["metadata"]["labels"]["pet.dev/node-index"] == "3"
    assert manifest["metadata"]["annotations"] == {"kubectl.kubernetes.io/default-container": "trainer"}


def test_the_user_s_labels_and_annotations_are_added_but_never_count_before_ours() -> None:
    metadata = {
        "labels": {"team": "vision", "pet.dev/attempt": "9", "pet.dev/job-uid": "another"},
        "annotations": {"karpenter.sh/do-not-disrupt": "true", "kubectl.kubernetes.io/default-container": "logs"},
        "name": "mine",
        "namespace": "kube-system",
        "ownerReferences": [],
        "finalizers": ["a/b"],
    }
    accepted = replace(job(), spec=replace(job().spec, template={"metadata": metadata}))
    manifest = manifests.pod(accepted, SITE, SCRIPT, 1, 0, 3).manifest
    labels = manifest["metadata"]["labels"]
    assert (labels["team"], labels["pet.dev/attempt"], labels["pet.dev/job-uid"]) == ("vision", "1", UID)
    assert manifest["metadata"]["annotations"] == metadata["annotations"]
    assert (manifest["metadata"]["name"], manifest["metadata"]["namespace"]) == ("job-1-0", "default")
    assert "finalizers" not in manifest["metadata"]
    assert manifest["metadata"]["ownerReferences"] == [OWNER]


@pytest.mark.parametrize(
    ("script", "kind"),
    [(SCRIPT, "tasks"), ("tools/vision/train_net.py", "vision"), ("mine.py", ""), ("", "")],
)
def test_the_label_for_the_type_is_the_script_s_folder(script: str, kind: str) -> None:
    assert manifests.service(job(), script).manifest["metadata"]["labels"]["pet.dev/type"] == kind


def test_the_longest_names_are_names_still() -> None:
    """50 characters of the job's name, 10,000 nodes, more attempts than any job will have; only a ConfigMap's may be
    longer than the 63 characters that DNS takes."""
    job_name, attempt, node = "j" * 50, 99_999, 9_999
    for name in (
        names.pod(job_name, attempt, node),
        names.host(job_name, node),
        names.service(job_name),
        names.claim(job_name),
    ):
        assert len(name) <= 63
    for manifest in all_objects(name=job_name, **EMBEDDED, **CLAIM):
        assert all(len(value) <= 63 for value in manifest["metadata"]["labels"].values())
