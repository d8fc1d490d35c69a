"""The API server takes the CustomResourceDefinition as it is, and kubectl shows it as promised."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from harness.crd import FILE, SAMPLES, SPEC, defaulted
from harness.jobs import manifest
from harness.jobs_api import JobsApi
from testbed.kubectl import Kubectl

from pet.config.job import read_job


@pytest.fixture
def stored(jobs: JobsApi) -> Iterator[str]:
    """The name of a job that is there for the time of a test."""
    jobs.create(manifest("stored"))
    yield "stored"
    jobs.delete("stored")


def test_it_is_established_without_a_warning(applied: subprocess.CompletedProcess[str], kubectl: Kubectl) -> None:
    assert (applied.returncode, applied.stderr) == (0, "")
    definition = json.loads(kubectl("get", "-f", str(FILE), "-o", "json").stdout)
    conditions = {condition["type"]: condition["status"] for condition in definition["status"]["conditions"]}
    assert conditions == {"NamesAccepted": "True", "Established": "True"}  # NonStructuralSchema would be a third


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda path: path.name)
def test_a_sample_is_taken_and_completed_with_the_reader_s_defaults(sample: Path, jobs: JobsApi) -> None:
    for content in yaml.safe_load_all(sample.read_text(encoding="utf-8")):
        taken = jobs.create(content, dry_run=True)
        assert taken["spec"] == defaulted(SPEC, content["spec"])
        assert read_job(taken).spec.world_size == read_job(content).spec.world_size


@pytest.mark.parametrize("options", [[], ["--server-side"]], ids=["apply", "server-side"])
def test_applying_a_file_again_changes_nothing(options: list[str], kubectl: Kubectl, jobs: JobsApi) -> None:
    content = json.dumps(manifest("applied-twice", checkpoint={"volume": {"size": 2**30}}, config={"A": [1, 2.0]}))
    versions = []
    for _ in range(2):
        kubectl("apply", "-f", "-", *options, content=content)
        versions.append(jobs.get("applied-twice")["metadata"]["resourceVersion"])
    jobs.delete("applied-twice")
    assert versions[0] == versions[1]


@pytest.mark.parametrize("config", [{"MISC": {"SEED": 1}}, "MISC: {SEED: 1}\n"], ids=["mapping", "text"])
def test_an_embedded_configuration_may_be_a_mapping_or_text(config: Any, jobs: JobsApi) -> None:
    assert jobs.create(manifest(config=config), dry_run=True)["spec"]["config"] == config


def test_what_is_in_free_form_fields_is_kept_as_it_is(jobs: JobsApi) -> None:
    spec = {
        "config": {"SOLVER": {"OPTIMIZER": {"BASE_LR": 0.5, "NEW": None}}},
        "overrides": {"TRAIN.DATASETS": ["a", "b"], "MISC.CUDNN": True, "MODEL.X": {"y": 1}, "MISC.SEED": 3},
        "template": {
            "metadata": {"annotations": {"a": "b"}},
            "spec": {"nodeSelector": {"gpu": "h100"}, "containers": [{"name": "trainer", "any": {"thing": [1]}}]},
        },
    }
    assert {name: jobs.create(manifest(**spec), dry_run=True)["spec"][name] for name in spec} == spec


def test_kubectl_refuses_an_unknown_field(kubectl: Kubectl, jobs: JobsApi) -> None:
    result = kubectl("create", "-f", "-", "--dry-run=server", content=json.dumps(manifest(node=2)))
    assert result.returncode == 1
    assert 'unknown field "spec.node"' in result.stderr


def test_another_client_is_warned_of_an_unknown_field_which_is_dropped(kubectl: Kubectl, jobs: JobsApi) -> None:
    path = "/apis/pet.dev/v1/namespaces/default/pettrainingjobs?dryRun=All"
    result = kubectl("create", "--raw", path, "-f", "-", content=json.dumps(manifest(node=2)))
    assert 'Warning: unknown field "spec.node"' in result.stderr
    assert "node" not in json.loads(result.stdout)["spec"]


def test_the_table_shows_the_status(kubectl: Kubectl, jobs: JobsApi, stored: str) -> None:
    jobs.set_status(
        stored,
        phase="Running",
        message="iteration 1200 of 90000",
        script="tools/vision/train_net.py",
        worldSize=16,
        restarts=1,
        display={"step": "1200/90000", "eta": "14h12m", "loss": "0.83"},
        checkpoint={"savedAt": "2000-01-01T00:00:00Z"},
    )
    head, row = kubectl("get", "ptj", stored).stdout.splitlines()
    assert head.split() == ["NAME", "STATE", "STEP", "ETA", "LOSS", "CKPT", "RESTARTS", "AGE"]
    cells = row.split()
    assert cells[:5] == [stored, "Running", "1200/90000", "14h12m", "0.83"]
    assert cells[5].endswith("y")  # years ago: an age, not a date
    assert cells[6] == "1"
    head, row = kubectl("get", "pet", stored, "-o", "wide").stdout.splitlines()
    assert head.split()[-3:] == ["SCRIPT", "WORLD", "MESSAGE"]
    assert row.endswith("tools/vision/train_net.py   16      iteration 1200 of 90000")


def test_a_spec_is_not_changed_by_writing_the_status_nor_the_other_way_round(jobs: JobsApi, stored: str) -> None:
    jobs.set_status(stored, phase="Running", attempt=1)
    jobs.change(stored, {"status": {"phase": "Failed"}, "spec": {"suspend": True}})
    assert jobs.get(stored)["status"] == {"phase": "Running", "attempt": 1}
    jobs.set_status(stored, unknown=1)
    assert "unknown" not in jobs.get(stored)["status"]


@pytest.mark.parametrize(
    ("field", "text"),
    [
        ("", "One training of a computer vision model with Pet"),
        (".spec", "Everything may be changed until the first attempt has begun"),
        (".spec.config", "a mapping, or the same as YAML text"),
        (".spec.checkpoint", "How many of the newest checkpoints are kept: 0 for all, else at least 2"),
        (".spec.checkpoint.gracePeriodSeconds", "Default: 120. Example: 300"),
        (".spec.checkpoint.onDelete", "ENUM: Retain Delete"),
        (".status.failure", "The root cause of the last attempt that failed"),
    ],
)
def test_kubectl_explain_is_the_manual(field: str, text: str, kubectl: Kubectl, jobs: JobsApi) -> None:
    assert text in " ".join(kubectl("explain", f"ptj{field}").stdout.split())
