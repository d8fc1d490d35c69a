"""What of a job may change, and when: anything before its first attempt, then only how it is looked after."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import count
from typing import Any

import pytest
from harness.jobs import manifest
from harness.jobs_api import Cause, JobsApi, Refused

SPEC: dict[str, Any] = {
    "config": {"A": 1},
    "overrides": {"A": 1},
    "template": {"spec": {"nodeName": "a"}},
    "scriptArgs": ["a"],
    "gpusPerNode": 0,
    "data": {"claimName": "c"},
    "checkpoint": {"volume": {"claimName": "c"}},
}
# A merge patch of the spec, and the field that the refusal must name.
FIXED: list[tuple[dict[str, Any], str]] = [
    ({"cfg": "cfgs/tasks/cls/b.yaml"}, "spec.cfg"),
    ({"type": "tasks"}, "spec.type"),
    ({"config": {"A": 2}}, "spec.config"),
    ({"config": {"B": 1}}, "spec.config"),
    ({"config": {"A": None, "B": 1}}, "spec.config"),  # renamed: as many keys, none with another value
    ({"config": "A: 1"}, "spec.config"),
    ({"config": None}, "spec.config"),
    ({"overrides": {"A": 2}}, "spec.overrides"),
    ({"overrides": {"A": None, "B": 1}}, "spec.overrides"),
    ({"overrides": None}, "spec.overrides"),
    ({"scriptArgs": ["a", "b"]}, "spec.scriptArgs"),
    ({"image": "other"}, "spec.image"),
    ({"nodes": 2}, "spec.nodes"),
    ({"gpusPerNode": 1}, "spec.gpusPerNode"),
    ({"procsPerNode": 2}, "spec.procsPerNode"),
    ({"gpuResource": "amd.com/gpu"}, "spec.gpuResource"),
    ({"template": {"spec": {"nodeName": "b"}}}, "spec.template"),
    ({"template": {"spec": {"nodeName": None, "hostNetwork": True}}}, "spec.template"),
    ({"template": {"metadata": {"labels": {"a": "b"}}}}, "spec.template"),
    ({"sharedMemory": {"size": "1Gi"}}, "spec.sharedMemory"),
    ({"data": {"readOnly": False}}, "spec.data"),
    ({"data": None}, "spec.data"),
    ({"metrics": {"port": 9500}}, "spec.metrics"),
    ({"checkpoint": {"resume": "Never"}}, "spec.checkpoint.resume"),
    ({"checkpoint": {"gracePeriodSeconds": 60}}, "spec.checkpoint.gracePeriodSeconds"),
]
PLACE: list[tuple[dict[str, Any], str]] = [
    ({"checkpoint": {"path": "other"}}, "spec.checkpoint.path"),
    ({"checkpoint": {"volume": {"claimName": "d"}}}, "spec.checkpoint.volume"),
    ({"checkpoint": {"volume": None}}, "spec.checkpoint.volume"),
]
EDITABLE: list[dict[str, Any]] = [
    {"suspend": True},
    {"restart": {"maxRestarts": 9}},
    {"deadlines": {"activeSeconds": 9, "stallSeconds": 9}},
    {"ttlSecondsAfterFinished": 9},
    {"cleanPods": "All"},
    {"checkpoint": {"keep": 9}},
]
NUMBERS = count()


@pytest.fixture(scope="module")
def job(jobs: JobsApi) -> Iterator[Callable[..., str]]:
    """Makes a job with this status, once for each, and gives its name."""
    names: dict[str, str] = {}

    def make(**status: Any) -> str:
        if str(status) not in names:
            name = names[str(status)] = f"changing-{next(NUMBERS)}"
            jobs.create(manifest(name, **SPEC))
            jobs.set_status(name, **status)
        return names[str(status)]

    yield make
    for name in names.values():
        jobs.delete(name)


def refusal(jobs: JobsApi, name: str, spec: dict[str, Any]) -> list[Cause]:
    with pytest.raises(Refused) as caught:
        jobs.change(name, {"spec": spec}, dry_run=True)
    return list(caught.value.causes)


@pytest.mark.parametrize("phase", ["Running", "Restarting", "Succeeded"])
@pytest.mark.parametrize(("spec", "field"), FIXED)
def test_what_a_job_computes_is_fixed_once_it_has_begun(
    spec: dict[str, Any], field: str, phase: str, job: Callable[..., str], jobs: JobsApi
) -> None:
    name = job(phase=phase, attempt=1)
    [cause] = refusal(jobs, name, spec)
    assert cause.field == ("spec.checkpoint" if "checkpoint" in field else "spec")
    assert f'["{field}"] cannot change after the first attempt has begun' in cause.message
    assert "first suspend the job (spec.suspend: true), or delete it and apply it anew" in cause.message


def test_a_change_with_a_change_that_is_allowed_is_still_refused(job: Callable[..., str], jobs: JobsApi) -> None:
    name = job(phase="Running", attempt=1)
    [cause] = refusal(jobs, name, {"suspend": True, "config": {"A": 2}, "nodes": 2})
    assert '["spec.config", "spec.nodes"] cannot change' in cause.message


@pytest.mark.parametrize("spec", EDITABLE)
def test_how_a_job_is_looked_after_may_always_change(
    spec: dict[str, Any], job: Callable[..., str], jobs: JobsApi
) -> None:
    for phase in ("Running", "Suspended", "Failed"):
        jobs.change(job(phase=phase, attempt=1), {"spec": spec}, dry_run=True)


@pytest.mark.parametrize("phase", ["Suspended", "Failed"])
@pytest.mark.parametrize("spec", [spec for spec, _ in FIXED])
def test_while_a_job_is_stopped_all_may_change(
    spec: dict[str, Any], phase: str, job: Callable[..., str], jobs: JobsApi
) -> None:
    jobs.change(job(phase=phase, attempt=1), {"spec": spec}, dry_run=True)


@pytest.mark.parametrize("spec", [spec for spec, _ in FIXED + PLACE])
def test_before_the_first_attempt_all_may_change(spec: dict[str, Any], job: Callable[..., str], jobs: JobsApi) -> None:
    for status in ({}, {"phase": "Pending", "attempt": 0}, {"phase": "Failed", "reason": "InvalidConfig"}):
        jobs.change(job(**status), {"spec": spec}, dry_run=True)


@pytest.mark.parametrize("phase", ["Running", "Suspended", "Failed"])
@pytest.mark.parametrize(("spec", "field"), PLACE)
def test_checkpoints_stay_where_they_are(
    spec: dict[str, Any], field: str, phase: str, job: Callable[..., str], jobs: JobsApi
) -> None:
    [cause] = refusal(jobs, job(phase=phase, attempt=1), spec)
    assert cause.field == field
    assert "the job's checkpoints are there; keep it, or delete the job and apply it anew" in cause.message


@pytest.mark.parametrize("phase", ["Running", "Suspended", "Failed"])
def test_what_becomes_of_the_claim_is_said_before_it_is_made(
    phase: str, job: Callable[..., str], jobs: JobsApi
) -> None:
    name = job(phase=phase, attempt=1)
    [cause] = refusal(jobs, name, {"checkpoint": {"onDelete": "Delete"}})
    assert cause.field == "spec.checkpoint.onDelete"
    assert "to keep the claim of a job that is to be deleted, remove its metadata.ownerReferences" in cause.message
    jobs.change(job(), {"spec": {"checkpoint": {"onDelete": "Delete"}}}, dry_run=True)
    jobs.change(name, {"spec": {"checkpoint": {"onDelete": "Retain"}}}, dry_run=True)  # the default, written out


def test_to_write_out_the_default_is_no_change(job: Callable[..., str], jobs: JobsApi) -> None:
    name = job(phase="Running", attempt=1)
    jobs.change(name, {"spec": {"checkpoint": {"path": name, "resume": "Auto"}, "nodes": 1}}, dry_run=True)


def test_another_controller_is_named_at_the_start_or_never(job: Callable[..., str], jobs: JobsApi) -> None:
    [cause] = refusal(jobs, job(), {"managedBy": "example.com/other"})
    assert cause.field == "spec.managedBy"
    assert "delete it and apply it anew" in cause.message
    jobs.create(manifest("managed", managedBy="example.com/other"))
    for value in ("example.com/third", None):
        assert refusal(jobs, "managed", {"managedBy": value})[0].field == "spec.managedBy"
    jobs.delete("managed")
