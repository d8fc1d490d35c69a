"""What one object says about itself is judged alike by the API server and by `pet.config.job`."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator
from itertools import product
from typing import Any

import pytest
from harness.crd import SPEC, fields
from harness.jobs import manifest
from harness.jobs_api import JobsApi, Refused

from pet.config.errors import Problem
from pet.config.job import parse_job

# Problems that are left to the operator: field, message, and why the API server cannot see them.
LEFT_TO_THE_OPERATOR = [
    (r"spec\.config", "is not a configuration", "a field that takes a mapping or text has no type at all"),
    (r"spec\.overrides\..*", "control character", "rules cannot look into values of any type"),
    (r"spec\.template\.spec\..*", "is reserved|has no name|is not a (list|mapping)", "a PodSpec is kept as it is"),
    (r"spec\.checkpoint\.resume", "is in this job's own folder", "paths are compared as they are written"),
]

# Fields of which the API server takes less than the reader, and why.
STRICTER = {
    "type": "the operator compares it to the scripts that there are",
    "sharedMemory.size": "a fraction is to be written as text",
    "checkpoint.volume.size": "a fraction is to be written as text",
    "checkpoint.volume.accessModes": "an empty list of modes says nothing",
}

ANYTHING = [3, -1, 0, 1, 0.5, True, "a", "", " ", "a\x07", "a\nb", "\u0085", [], ["a"], [3], {}, {"a": 1}]
PATHS = ["a/b", "/a", "../a", "a/..", ".", "./", "a//b", "job", "./job", "auto", "Never"]
NUMBERS = [2, 1024, 1025, 10_000, 10_001, 65_535, 65_536, 2**31 - 1, 2**31, "1", "auto"]
SIZES = ["1Gi", "0", "0Gi", "1.5Gi", ".5M", "-1Gi", "1e3", "Gi", "1 Gi", "1GiB", 2**31]
LISTS = [["--cfg"], ["--type=x"], ["--cfgs"], ["-h"], ["--help=1"], ["MISC.CKPT"], ["a\x07"], ["a\nb"],
         ["ReadWriteMany"], ["ReadOnlyMany"], ["ReadWriteOnce", "Some"]]  # fmt: skip
MAPPINGS = [{"MISC.CKPT": 1}, {"MISC.SEED": 1}, {"A": "a\x07"}, {"containers": {}},
            {"containers": [{"env": [{"name": "RANK"}]}]}]  # fmt: skip
WORDS = ["vision", "Retain", "retain", "Delete", "None", "Running", "all"]
VALUES = [*ANYTHING, *PATHS, *NUMBERS, *SIZES, *LISTS, *MAPPINGS, *WORDS]

# What else a manifest must say for a field to make sense.
COMPANIONS: dict[str, dict[str, Any]] = {
    "procsPerNode": {"gpusPerNode": 0},
    "data.path": {"data": {"claimName": "c"}},
    "data.readOnly": {"data": {"claimName": "c"}},
    "checkpoint.resume": {"checkpoint": {"volume": {"claimName": "c"}}},
    "checkpoint.volume.storageClassName": {"checkpoint": {"volume": {"size": "1Gi"}}},
    "checkpoint.volume.accessModes": {"checkpoint": {"volume": {"size": "1Gi"}}},
}

# Fields that say something about each other, each with values that are right alone; None: absent.
RELATED: list[dict[str, list[Any]]] = [
    {"gpusPerNode": [None, 0, 1], "procsPerNode": [None, 2]},
    {"cfg": ["a.yaml", "/a.yaml", "../a.yaml"], "config": [None, "A: 1", {"A": 1}]},
    {"sharedMemory.size": [None, "1Gi", 7], "sharedMemory.disabled": [None, False, True]},
    {
        "nodes": [None, 2],
        "checkpoint.volume.claimName": [None, "c"],
        "checkpoint.volume.size": [None, "1Gi"],
        "checkpoint.volume.storageClassName": [None, "nfs"],
        "checkpoint.volume.accessModes": [None, ["ReadWriteOnce"], ["ReadWriteOnce", "ReadWriteMany"]],
    },
    {
        "checkpoint.volume.claimName": [None, "c"],
        "checkpoint.path": [None, "other", "job/inner"],
        "checkpoint.resume": [None, "Never", "job", "job/a.pth", "jobs", "other", "other/a.pth"],
    },
]


def put(content: dict[str, Any], path: str, value: object) -> None:
    *sections, name = ["spec", *path.split(".")]
    for section in sections:
        content = content.setdefault(section, {})
    content[name] = value


def with_value(path: str, value: object) -> dict[str, Any]:
    content = manifest(**copy.deepcopy(COMPANIONS.get(path, {})))
    put(content, path, value)
    return content


def combinations(related: dict[str, list[Any]]) -> Iterator[dict[str, Any]]:
    for values in product(*related.values()):
        content = manifest()
        for path, value in zip(related, values, strict=True):
            if value is not None:
                put(content, path, value)
        yield content


def left_to_the_operator(problem: Problem) -> bool:
    return any(
        re.fullmatch(field, problem.field) and re.search(message, problem.message)
        for field, message, _ in LEFT_TO_THE_OPERATOR
    )


def disagreement(jobs: JobsApi, content: dict[str, Any], stricter: bool = False) -> str:
    """What one of the two has against a manifest that the other takes. `stricter`: the API server may be."""
    problems = parse_job(content)[1]
    try:
        jobs.create(content, dry_run=True)
    except Refused as refused:
        return "" if problems or stricter else f"only the API server refuses {content['spec']}: {refused}"
    seen = [str(problem) for problem in problems if not left_to_the_operator(problem)]
    return f"only the reader refuses {content['spec']}: {seen}" if seen else ""


@pytest.mark.parametrize("path", [path for path, _ in fields(SPEC)])
def test_a_value_is_refused_by_both_or_by_none(path: str, jobs: JobsApi) -> None:
    found = [disagreement(jobs, with_value(path, value), path in STRICTER) for value in VALUES]
    assert "".join(found) == ""


@pytest.mark.parametrize("related", RELATED, ids=lambda related: ", ".join(related))
def test_values_exclude_each_other_for_both_or_for_none(related: dict[str, list[Any]], jobs: JobsApi) -> None:
    assert "".join(disagreement(jobs, content) for content in combinations(related)) == ""
