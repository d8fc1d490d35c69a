"""Whatever stands in a spec, the operator says what is wrong with it, or makes what it asks for; it never stumbles."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from harness.junk import JOB, SPEC_PLACES, hostile, json_values, with_junk
from harness.memory_api import MemoryApi
from harness.memory_operator import KEY, MemoryOperator, pods_of, status_of
from harness.observing import condition
from harness.timeless import NOON, run
from hypothesis import given, settings
from hypothesis import strategies as st

from pet_operator.domain import constants
from pet_operator.domain.codec import write_time


def outcome(spec: Any, **annotations: str) -> tuple[str, int]:
    """The reason of its status and the number of its pods. Raises AssertionError where the operator stumbled."""

    async def life() -> tuple[str, int]:
        api = MemoryApi()
        metadata = {"name": KEY.name, "annotations": annotations, "creationTimestamp": write_time(NOON)}
        job = {**JOB, "metadata": metadata, "spec": spec}
        api.put(constants.JOB, copy.deepcopy(job))
        api.put(constants.CLAIM, {"metadata": {"name": "c"}, "spec": {"accessModes": ["ReadWriteMany"]}})
        operator = MemoryOperator(api)
        await operator.list()
        await operator.work(5)
        assert "error" not in operator.looks
        status = status_of(api)
        accepted = condition(status, "Accepted")
        assert accepted.status == "True" or accepted.message
        assert status.reason
        made = len(pods_of(api))
        assert made == 0 or status.attempt == 1
        before = len(api.writes)
        again = MemoryOperator(api)
        await again.list()
        await again.work()
        assert len(api.writes) == before, api.writes[before:]
        return status.reason, made

    return run(life())


@settings(max_examples=400)
@given(st.lists(st.tuples(SPEC_PLACES, json_values), min_size=1, max_size=2))
def test_junk_in_a_spec_is_a_condition_or_pods(junk: list[tuple[Any, Any]]) -> None:
    job = copy.deepcopy(JOB)
    for place, value in junk:
        try:
            job = with_junk(place, value, job)
        except (KeyError, IndexError, TypeError):
            continue  # the first has taken the place of the second
    outcome(job["spec"])


@settings(max_examples=50)
@given(
    st.text(max_size=6) | st.sampled_from(["0001-01-01T00:00:00Z", "9999-12-31T23:59:59-23:59", "2026-13-01", "now"])
)
def test_so_is_junk_in_annotations(text: str) -> None:
    outcome(JOB["spec"], **dict.fromkeys((constants.RESTART_REQUESTED, constants.TAKE_OVER), text))


@pytest.mark.timeout(300)  # some are large, and a machine may be busy
@pytest.mark.parametrize("name", hostile())
def test_what_somebody_might_try_is_a_condition_or_pods(name: str) -> None:
    spec = hostile()[name]
    reason, pods = outcome(spec)
    print(f"{name} ({len(json.dumps(spec))} bytes): {reason}, {pods} pods")
