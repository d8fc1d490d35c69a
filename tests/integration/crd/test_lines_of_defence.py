"""What `pet.config.job` refuses about one object alone, the API server refuses as well."""

from __future__ import annotations

import re
from typing import Any

from harness.jobs import manifest
from harness.jobs_api import JobsApi, Refused
from hypothesis import given, settings
from hypothesis import strategies as st

from pet.config.errors import Problem
from pet.config.job import parse_job

# Problems that are left to the operator: field, message, and why a schema cannot see them.
LEFT_TO_THE_OPERATOR = [
    (r"spec\.config", r"is not a configuration", "a field that takes a mapping or text has no type at all"),
    (r"spec\.overrides\..*", r"control character", "rules cannot look into values of any type"),
    (r"spec\.template\..*", r"is reserved|has no name|is not a (list|mapping)", "a PodSpec is kept as it is"),
    (r"spec\.checkpoint\.resume", r"is in this job's own folder", "paths are compared as they are written"),
]

json_values = st.recursive(
    st.booleans() | st.integers(-9, 9) | st.sampled_from([0.5, -1.5]) | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=8,
)
paths = st.sampled_from(["a", "a/b", "job", "job/x", "/a", "../a", "a/..", ".", "./job", "", " ", "a\x7fb"])
sizes = st.sampled_from(["1Gi", "0", "1.5Gi", "-1Gi", "1e3", ".5M", "Gi", "1 Gi", 0, 3, True])
texts = st.sampled_from(["a", "", " ", "a\nb", "ä", 3, True])
numbers = st.sampled_from([-1, 0, 1, 2, 1024, 1025, 10_000, 10_001, 2**31 - 1, 2**31, "1", True, 0.5])
flags = st.sampled_from([True, False, "yes", 1])


def section(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """A mapping with any of the fields."""
    return st.fixed_dictionaries({}, optional=fields)


volumes = section(
    claimName=texts,
    size=sizes,
    storageClassName=texts,
    accessModes=st.lists(st.sampled_from(["ReadWriteOnce", "ReadWriteMany", "ReadOnlyMany"]), max_size=2),
)
FIELDS: dict[str, st.SearchStrategy[Any]] = {
    "cfg": paths,
    "type": st.sampled_from(["vision", "other", ""]),
    "config": st.sampled_from([{"A": 1}, "A: 1", 3]),
    "overrides": st.dictionaries(st.sampled_from(["MISC.CKPT", "MISC.SEED"]), texts, max_size=2),
    "scriptArgs": st.lists(
        st.sampled_from(["a", "--cfg", "--type=x", "-h", "MISC.CKPT", "a\x01", "a\nb", 3]), max_size=2
    ),
    "image": texts,
    "nodes": numbers,
    "gpusPerNode": numbers,
    "procsPerNode": numbers,
    "gpuResource": texts,
    "template": section(metadata=json_values, spec=section(containers=json_values), other=json_values),
    "sharedMemory": section(size=sizes, disabled=flags),
    "data": section(claimName=texts, path=paths, readOnly=flags),
    "checkpoint": section(
        volume=volumes,
        path=paths,
        keep=numbers,
        resume=paths | st.sampled_from(["Auto", "Never", "auto"]),
        gracePeriodSeconds=numbers,
        onDelete=st.sampled_from(["Retain", "Delete", "Keep"]),
    ),
    "suspend": flags,
    "restart": section(maxRestarts=numbers, windowSeconds=numbers),
    "deadlines": section(activeSeconds=numbers, startupSeconds=numbers, stallSeconds=numbers | st.just("auto")),
    "ttlSecondsAfterFinished": numbers,
    "cleanPods": st.sampled_from(["None", "Running", "All", "Some"]),
    "managedBy": texts,
    "metrics": section(port=numbers, perRank=flags),
}
# Few fields at a time: one mistake must not hide behind another.
specs = st.lists(st.sampled_from(list(FIELDS)), max_size=2, unique=True).flatmap(
    lambda names: st.fixed_dictionaries({name: FIELDS[name] | json_values for name in names})
)


def left_to_the_operator(problem: Problem) -> bool:
    return any(
        re.fullmatch(field, problem.field) and re.search(message, problem.message)
        for field, message, _ in LEFT_TO_THE_OPERATOR
    )


@settings(deadline=None, max_examples=300)
@given(specs)
def test_what_the_reader_refuses_the_api_server_refuses(jobs: JobsApi, spec: dict[str, Any]) -> None:
    content = manifest(**spec)
    problems = [problem for problem in parse_job(content)[1] if not left_to_the_operator(problem)]
    try:
        jobs.create(content, dry_run=True)
    except Refused:
        return
    assert problems == []
