"""What a job says wrong about itself is refused by the API server, which names the field and the remedy."""

from __future__ import annotations

from typing import Any

import pytest
from harness.jobs import manifest
from harness.jobs_api import JobsApi, Refused

from pet.config.job import parse_job

NEW = {"size": "1Gi"}
OLD = {"claimName": "c"}

REFUSED: list[tuple[dict[str, Any], str, str]] = [
    ({"cfg": None}, "spec.cfg", "Required value"),
    ({"cfg": ""}, "spec.cfg", "should be at least 1 chars long"),
    ({"cfg": "  "}, "spec.cfg", "is blank or holds a control character; give plain text"),
    ({"cfg": "a\x01.yaml"}, "spec.cfg", "holds a control character; give plain text"),
    ({"cfg": 3}, "spec.cfg", "must be of type string"),
    ({"cfg": "/a.yaml", "config": {"A": 1}}, "spec.cfg", "give a relative path without '..', for example cfgs/tasks"),
    ({"cfg": "cfgs/../../a.yaml", "config": "A: 1"}, "spec.cfg", "give a relative path without '..', for example"),
    ({"type": "tasks/cls"}, "spec.type", 'supported values: "vision", "projects", "tasks"'),
    ({"overrides": ["A"]}, "spec.overrides", "must be of type object"),
    ({"overrides": {"MISC.CKPT": "x"}}, "spec.overrides", "say where checkpoints go with spec.checkpoint.path"),
    ({"scriptArgs": "a b"}, "spec.scriptArgs", "must be of type array"),
    ({"scriptArgs": [3]}, "spec.scriptArgs[0]", "must be of type string"),
    ({"scriptArgs": ["a\x07"]}, "spec.scriptArgs[0]", "holds a control character; leave it out"),
    ({"scriptArgs": ["--cfg=x.yaml"]}, "spec.scriptArgs", "are the launcher's; use spec.cfg, spec.type"),
    ({"scriptArgs": ["MISC.CKPT", "x"]}, "spec.scriptArgs", "use spec.checkpoint.path"),
    ({"scriptArgs": ["--help"]}, "spec.scriptArgs", "print a help text and train nothing; leave them out"),
    ({"image": ""}, "spec.image", "should be at least 1 chars long"),
    ({"nodes": 0}, "spec.nodes", "should be greater than or equal to 1"),
    ({"nodes": 10001}, "spec.nodes", "should be less than or equal to 10000"),
    ({"nodes": "two"}, "spec.nodes", "must be of type integer"),
    ({"nodes": 1.5}, "spec.nodes", "must be of type integer"),
    ({"gpusPerNode": -1}, "spec.gpusPerNode", "should be greater than or equal to 0"),
    ({"procsPerNode": 2}, "spec.procsPerNode", "it needs gpusPerNode: 0"),
    ({"gpusPerNode": 0, "procsPerNode": 0}, "spec.procsPerNode", "should be greater than or equal to 1"),
    ({"template": []}, "spec.template", "must be of type object"),
    ({"template": {"spec": []}}, "spec.template.spec", "must be of type object"),
    ({"sharedMemory": {"size": "big"}}, "spec.sharedMemory.size", "a number above 0 with a unit, for example 16Gi"),
    ({"sharedMemory": {"size": "0Gi"}}, "spec.sharedMemory.size", "give a number above 0"),
    ({"sharedMemory": {"size": -1}}, "spec.sharedMemory.size", "give a number above 0"),
    ({"sharedMemory": {"size": "1Gi", "disabled": True}}, "spec.sharedMemory.size", "exclude each other; give one"),
    ({"data": {}}, "spec.data.claimName", "Required value"),
    ({"data": {"claimName": "c", "path": "../x"}}, "spec.data.path", "holds '..'; give a path without it"),
    ({"data": {"claimName": "c", "path": "/x"}}, "spec.data.path", "give a path relative to the volume's root"),
    ({"checkpoint": {"volume": {}}}, "spec.checkpoint.volume", "needs one of claimName, an existing claim, and size"),
    ({"checkpoint": {"volume": OLD | NEW}}, "spec.checkpoint.volume", "needs one of claimName"),
    ({"checkpoint": {"volume": OLD | {"storageClassName": "nfs"}}}, "spec.checkpoint.volume.claimName",
     "storageClassName and accessModes are for a new one"),
    ({"checkpoint": {"volume": NEW | {"accessModes": ["ReadOnlyMany"]}}}, "spec.checkpoint.volume.accessModes[0]",
     'supported values: "ReadWriteOnce", "ReadWriteMany", "ReadWriteOncePod"'),
    ({"nodes": 2, "checkpoint": {"volume": NEW | {"accessModes": ["ReadWriteOnce"]}}},
     "spec.checkpoint.volume.accessModes", "cannot be mounted on several nodes; give ReadWriteMany"),
    ({"checkpoint": {"path": "/x"}}, "spec.checkpoint.path", "give a path relative to the volume's root"),
    ({"checkpoint": {"path": "a/../b"}}, "spec.checkpoint.path", "give a path without it"),
    ({"checkpoint": {"path": "./"}}, "spec.checkpoint.path", "give the folder's name, or leave the field out"),
    ({"checkpoint": {"keep": 1}}, "spec.checkpoint.keep", "give at least 2, or 0 to keep all"),
    ({"checkpoint": {"resume": "auto"}}, "spec.checkpoint.resume", "write Auto or Never"),
    ({"checkpoint": {"resume": "/x", "volume": OLD}}, "spec.checkpoint.resume", "give a path relative to the volume"),
    ({"checkpoint": {"resume": "other"}}, "spec.checkpoint.resume", "add spec.checkpoint.volume"),
    ({"checkpoint": {"resume": "job/model_iter1.pth", "volume": OLD}}, "spec.checkpoint.resume",
     "is in this job's own folder, spec.checkpoint.path; Auto resumes from there"),
    ({"checkpoint": {"path": "a/b", "resume": "a/b", "volume": OLD}}, "spec.checkpoint.resume", "own folder"),
    ({"checkpoint": {"gracePeriodSeconds": 0}}, "spec.checkpoint.gracePeriodSeconds", "greater than or equal to 1"),
    ({"checkpoint": {"onDelete": "retain"}}, "spec.checkpoint.onDelete", 'supported values: "Retain", "Delete"'),
    ({"suspend": "yes"}, "spec.suspend", "must be of type boolean"),
    ({"restart": {"maxRestarts": -1}}, "spec.restart.maxRestarts", "should be greater than or equal to 0"),
    ({"deadlines": {"activeSeconds": 0}}, "spec.deadlines.activeSeconds", "should be greater than or equal to 1"),
    ({"deadlines": {"stallSeconds": "never"}}, "spec.deadlines.stallSeconds", "give seconds, or auto"),
    ({"deadlines": {"stallSeconds": 0}}, "spec.deadlines.stallSeconds", "give seconds, or auto"),
    ({"ttlSecondsAfterFinished": 2**31}, "spec.ttlSecondsAfterFinished", "less than or equal to 2147483647"),
    ({"cleanPods": "Never"}, "spec.cleanPods", 'supported values: "None", "Running", "All"'),
    ({"managedBy": " "}, "spec.managedBy", "give plain text"),
    ({"metrics": {"port": 70000}}, "spec.metrics.port", "should be less than or equal to 65535"),
    ({"metrics": {"port": 29500}}, "spec.metrics.port", "is where launchers of several pods meet; give another one"),
]  # fmt: skip


def causes_of(jobs: JobsApi, content: object) -> list[tuple[str, str]]:
    with pytest.raises(Refused) as caught:
        jobs.create(content, dry_run=True)
    return [(cause.field, cause.message) for cause in caught.value.causes]


@pytest.mark.parametrize(("spec", "field", "message"), REFUSED)
def test_a_wrong_field_is_named_with_what_would_be_right(
    spec: dict[str, Any], field: str, message: str, jobs: JobsApi
) -> None:
    content = manifest(**spec)
    content["spec"] = {name: value for name, value in content["spec"].items() if value is not None}
    assert [cause for cause in causes_of(jobs, content) if cause[0] == field and message in cause[1]]
    found = [problem.field for problem in parse_job(content)[1]]
    assert found or field == "spec.type"  # which the second line of defence looks at
    assert all(name.startswith(field) or field.startswith(name) for name in found)


@pytest.mark.parametrize(
    ("metadata", "field", "message"),
    [
        ({"name": "a" * 51}, "metadata.name", "at most 50 characters are allowed"),
        ({"name": "1a"}, "metadata.name", "use a-z, 0-9 and -, a letter first"),
        ({"name": "a.b"}, "metadata.name", "use a-z, 0-9 and -, a letter first"),
        ({"generateName": "a-"}, "metadata.generateName", "give metadata.name"),
    ],
)
def test_a_wrong_name_is_refused_never_cut(metadata: dict[str, Any], field: str, message: str, jobs: JobsApi) -> None:
    content = manifest() | {"metadata": metadata}
    assert [cause for cause in causes_of(jobs, content) if cause[0] == field and message in cause[1]]
    assert field in [problem.field for problem in parse_job(content)[1]]


def test_a_job_without_a_spec_is_refused(jobs: JobsApi) -> None:
    content = manifest()
    del content["spec"]
    assert ("spec", "Required value") in causes_of(jobs, content)


def test_everything_that_is_wrong_is_said_at_once(jobs: JobsApi) -> None:
    content = manifest("a.b", procsPerNode=2, checkpoint={"keep": 1, "path": "/x", "resume": "other"})
    assert {field for field, _ in causes_of(jobs, content)} == {
        "metadata.name",
        "spec.procsPerNode",
        "spec.checkpoint.keep",
        "spec.checkpoint.path",
        "spec.checkpoint.resume",
    }
