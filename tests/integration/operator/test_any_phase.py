"""A job is deleted whatever it is doing, and nothing is left of it; many jobs at once keep out of each other's way."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from harness.cluster import Jobs, job
from harness.stage import Stage
from harness.training import CFG, ROOT
from testbed.operator import Operator
from testbed.waiting import wait_for

CONFIG = (ROOT / CFG).read_text()
MANY = 50


def nowhere(**spec: Any) -> dict[str, Any]:
    """Of a job that no node fits."""
    return {"template": {"spec": {"nodeSelector": {"no": "such"}}}, **spec}


def ended(code: int) -> Callable[[Stage, Jobs], None]:
    """The trainer ends with this code."""
    return lambda stage, jobs: stage.end(jobs, "job", code)


def nothing(_stage: Stage, _jobs: Jobs) -> None:
    """As it was made."""


# spec, what happens to it when it runs (None: it never does), and the phase in which it is deleted
PHASES: dict[str, tuple[dict[str, Any], Callable[[Stage, Jobs], None] | None, str]] = {
    "suspended": ({"suspend": True}, None, "Suspended"),
    "unschedulable": (nowhere(), None, "Starting"),
    "invalid": ({"overrides": {"SOLVER.NO_SUCH_KEY": 1}}, None, "Failed"),
    "running": ({}, nothing, "Running"),
    "succeeded": ({"cleanPods": "None"}, ended(0), "Succeeded"),
    "failed": ({"cleanPods": "None"}, ended(78), "Failed"),
}


@pytest.mark.parametrize("name", PHASES)
def test_a_deleted_job_leaves_nothing_in_whatever_phase_it_is(name: str, stage: Stage, played: Jobs) -> None:
    spec, happens, phase = PHASES[name]
    with Operator(stage.plane):
        played.apply(job("job", config=CONFIG, checkpoint={}, **spec))
        if happens is not None:
            played.reaches("job", "Running")
            happens(stage, played)
        played.reaches("job", phase)
        played.delete("job")
        wait_for("the end of everything", lambda: not any(played.objects().values()))


def test_many_jobs_at_once_all_come_to_their_ends(stage: Stage, played: Jobs) -> None:
    names = [f"job-{index}" for index in range(MANY)]
    with Operator(stage.plane) as operator:
        for name in names:
            stage.end(played, name, 78 if name.endswith("3") else 0)
        played.apply(*(job(name, config=CONFIG, checkpoint={}) for name in names))
        for name in names:
            status = played.wait(name, "over", lambda status: status.get("phase") in ("Succeeded", "Failed"))
            expected = "Failed" if name.endswith("3") else "Succeeded"
            assert (status["phase"], status["attempt"], status["restarts"]) == (expected, 1, 0)
        assert "ERROR" not in operator.log()
