"""The objects that `pet plan` shows: what the operator would create, without a cluster."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from harness.commands import pet
from harness.crd import SAMPLES
from harness.jobs import cpu_manifest, manifest

from pet.config.job import read_job
from pet_operator.domain import manifests, names

CONFIG = {"MISC": {"DEVICE": "cpu"}, "TRAIN": {"DATASETS": ["fashion_mnist_train"], "BATCH_SIZE": 12}}


def planned(job: dict[str, Any], *options: str) -> list[dict[str, Any]]:
    """The objects of `-o json`."""
    answer = pet("plan", "-f", "-", "-o", "json", *options, stdin=yaml.safe_dump(job, sort_keys=False))
    objects: list[dict[str, Any]] = json.loads(answer.out)["objects"]
    return objects


def text(job: dict[str, Any], *options: str) -> str:
    return pet("plan", "-f", "-", *options, stdin=yaml.safe_dump(job, sort_keys=False)).out


def places(objects: list[dict[str, Any]]) -> list[tuple[str, str]]:
    return [(content["kind"], content["metadata"]["name"]) for content in objects]


def test_they_are_those_of_the_first_attempt_with_a_pod_for_each_node() -> None:
    objects = planned(cpu_manifest(config=CONFIG, nodes=3))
    assert [kind for kind, _ in places(objects)] == ["Service", "ConfigMap", "PersistentVolumeClaim", *["Pod"] * 3]
    assert places(objects)[-3:] == [("Pod", "job-1-0"), ("Pod", "job-1-1"), ("Pod", "job-1-2")]
    for index, pod in enumerate(objects[-3:]):
        environment = {entry["name"]: entry.get("value") for entry in pod["spec"]["containers"][0]["env"]}
        assert (environment["PETJOB_ATTEMPT"], environment["PETJOB_NODE_INDEX"]) == ("1", str(index))
        assert environment["PETJOB_RESTARTS_LEFT"] == "3"


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda path: path.stem)
def test_they_are_made_from_what_the_api_server_hands_back(sample: Path) -> None:
    """It sorts the keys, and the ConfigMap is called by the hash of its text."""
    for document in yaml.safe_load_all(sample.read_text(encoding="utf-8")):
        kept = read_job(json.loads(json.dumps(document, sort_keys=True)))
        expected = [create.manifest for create in manifests.shared(kept, "tools/tasks/cls/train_net.py")]
        assert [content for content in planned(document) if content["kind"] not in ("Service", "Pod")] == expected


def test_it_knows_no_order_of_overrides_and_no_float_that_is_whole() -> None:
    job = cpu_manifest(config=CONFIG, overrides={"TRAIN.BATCH_SIZE": 12, "SOLVER.OPTIMIZER.BASE_LR": 1.0})
    given = " ".join(planned(job)[-1]["spec"]["containers"][0]["args"])
    assert "SOLVER.OPTIMIZER.BASE_LR 1 TRAIN.BATCH_SIZE 12" in given


def test_a_configuration_that_is_a_text_stays_as_it_is() -> None:
    config = yaml.safe_dump({"TRAIN": CONFIG["TRAIN"], "MISC": CONFIG["MISC"]}, sort_keys=False)
    assert ("ConfigMap", names.config_map("job", config)) in places(planned(cpu_manifest(config=config)))


def test_what_only_the_cluster_knows_is_empty() -> None:
    objects = planned(cpu_manifest(config=CONFIG))
    assert {content["metadata"]["labels"]["pet.dev/job-uid"] for content in objects} == {""}
    owners = [owner["uid"] for content in objects for owner in content["metadata"].get("ownerReferences", ())]
    assert owners == ["", "", ""]  # the claim is to outlive the job


def test_they_are_in_the_namespace_that_the_file_names() -> None:
    job = cpu_manifest(config=CONFIG)
    job["metadata"]["namespace"] = "vision"
    assert {content["metadata"]["namespace"] for content in planned(job)} == {"vision"}


@pytest.mark.parametrize(
    ("spec", "options", "image"),
    [
        ({}, ("--trainer-image", "registry/pet:1"), "registry/pet:1"),
        ({"image": "mine:2"}, ("--trainer-image", "registry/pet:1"), "mine:2"),
    ],
)
def test_the_image_is_the_jobs_else_the_one_that_is_given(
    spec: dict[str, Any], options: tuple[str, ...], image: str
) -> None:
    job = cpu_manifest(config=CONFIG, **spec)
    assert planned(job, *options)[-1]["spec"]["containers"][0]["image"] == image
    assert f"Pod job-1-0, image {image}\n" in text(job, *options)


def test_pods_are_told_in_one_line_with_their_gpus() -> None:
    job = manifest(cfg="cfgs/tasks/cls/ImageNet/resnet50_1x.yaml", nodes=2, gpusPerNode=8)
    assert "                2 Pods job-1-0 … job-1-1, image x, each with 8 nvidia.com/gpu\n" in text(
        job, "--trainer-image", "x"
    )


def test_a_claim_says_what_becomes_of_it() -> None:
    volume = {"size": "2Gi", "accessModes": ["ReadWriteMany"]}
    job = cpu_manifest(config=CONFIG, checkpoint={"volume": volume, "onDelete": "Delete"})
    assert "PersistentVolumeClaim job-checkpoints, 2Gi ReadWriteMany, deleted with the job\n" in text(job)


def test_there_are_none_for_an_invalid_job_or_one_of_another_controller() -> None:
    assert planned(cpu_manifest(config=CONFIG, nodes=0)) == []
    foreign = cpu_manifest(config=CONFIG, managedBy="kueue.x-k8s.io/multikueue")
    assert planned(foreign) == []
    assert "  objects       none: spec.managedBy leaves the job to kueue.x-k8s.io/multikueue\n" in text(foreign)
