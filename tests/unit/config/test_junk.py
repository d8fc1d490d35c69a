"""Junk anywhere in a job or a configuration is refused by what it stands for: no traceback, no nameless problem."""

from __future__ import annotations

import json
from typing import Any

import yaml
from harness.junk import JOB, Path, job_places, json_values, texts, with_junk
from hypothesis import example, given
from hypothesis import strategies as st

from pet.config.check import JobReview, check_manifest, check_text
from pet.config.defaults import schema
from pet.config.errors import JobWarning, Problem
from pet.config.job import read_job

keys = st.sampled_from([*schema("cls").sections, *schema("cls").keys])


def judged(review: JobReview) -> JobReview:
    """The review, whose findings can all be shown, and which is whole if there are none."""
    findings: list[Problem | JobWarning] = [*review.problems, *review.warnings]
    for finding in findings:
        assert finding.message
        assert finding.field or review.job is None
        assert json.dumps([str(finding)])
    assert not review.valid or review.job is not None
    return review


@given(job_places, json_values, st.booleans())
@example(("spec", "scriptArgs"), ["\0"], False)
@example(("spec", "config"), "MISC: {SEED: 0x" + "f" * 5000 + "}", False)
def test_junk_at_any_place_of_a_job_is_taken_or_refused(path: Path, junk: object, foreign: bool) -> None:
    job = with_junk(path, junk)
    review = judged(check_manifest(job, foreign_image=foreign))
    if review.valid:
        arguments = (*read_job(job).spec.override_args, *read_job(job).spec.script_args, read_job(job).spec.cfg)
        assert not any("\0" in argument for argument in arguments)  # no argument of a program can hold it
        assert all(argument.encode() is not None for argument in arguments)


@given(job_places, json_values)
def test_the_same_holds_for_a_file(path: Path, junk: object) -> None:
    for review in check_text(json.dumps(with_junk(path, junk)), "job.json"):
        judged(review)


@given(st.dictionaries(keys | texts, json_values, max_size=3), st.sampled_from(["config", "text", "overrides", "args"]))
def test_junk_for_any_keys_of_a_configuration_is_taken_or_refused(values: dict[str, Any], way: str) -> None:
    tree: dict[str, Any] = {}
    for name, value in values.items():
        *path, last = name.split(".")
        section = tree
        for part in path:
            section = section.setdefault(part, {})
            if not isinstance(section, dict):
                return
        section[last] = value
    arguments = [text for name, value in values.items() for text in (name, json.dumps(value))]
    spec = {"config": {"config": tree}, "text": {"config": yaml.safe_dump(tree)}, "overrides": {"overrides": values}}
    judged(check_manifest(JOB | {"spec": JOB["spec"] | spec.get(way, {"scriptArgs": arguments})}, foreign_image=False))
