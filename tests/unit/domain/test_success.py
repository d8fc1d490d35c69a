"""The good end of a job: every rank has finished."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from harness.observing import ended, later, pod, pods, report, running, said, seen, stands
from harness.timeless import NOON

from pet_operator.domain.codec import write_time
from pet_operator.domain.constants import POD
from pet_operator.domain.decide import decide
from pet_operator.domain.decision import Delete, Observed
from pet_operator.domain.status import CheckpointStatus, Display, Nodes

NUMBERS = {"iteration": 200, "maxIterations": 200, "losses": {"total": 0.5}, "etaSeconds": 0.0, "resumedFrom": None}
SAVED = {"iteration": 200, "file": "c.pth", "bytes": 7, "savedAt": write_time(later(50)), "verified": True}


def finished(**fields: Any) -> dict[str, Any]:
    return report(0, iteration=200, progress=NUMBERS, metrics={"top1": 0.8912}, checkpoint=SAVED, **fields)


def job(*pods: Any) -> Observed:
    return replace(running(nodes=len(pods)), pods=pods, trainers={})


def test_a_job_whose_ranks_have_all_finished_has_succeeded() -> None:
    view = job(ended(0, 0, report(0)), ended(1, 0, finished()))
    decision = decide(view, later(60))
    status = decision.status
    words = "all ranks finished at iteration 200"
    assert decision.actions == ()
    assert stands(status) == ("Succeeded", "AllRanksFinished", words)
    assert (status.completion_time, status.failure, status.nodes) == (later(60), None, Nodes(2, 0))
    assert (status.rank0_pod, status.attempt, status.restarts) == ("job-1-1", 1, 0)
    assert status.progress is not None
    assert (status.progress.percent, status.progress.metrics) == (100, {"top1": "0.8912"})
    assert status.display == Display(step="200/200", eta="", loss="0.5")
    assert status.checkpoint == CheckpointStatus(200, "c.pth", 7, later(50), True)
    record = status.current
    assert (record.ended_at, record.to_iteration, record.reason, record.exit_code) == (later(60), 200, "Succeeded", 0)
    for kind in ("Succeeded", "Finished"):
        assert said(status, kind) == ("True", "AllRanksFinished", words)
    for kind in ("Failed", "Running", "Reconciling", "Stalled"):
        assert said(status, kind) == ("False", "Succeeded", "")


def test_it_has_not_while_a_rank_is_at_work_or_a_pod_is_missing() -> None:
    assert decide(job(ended(0, 0, finished()), pod(1)), later(60)).status.phase == "Running"
    lacking = replace(job(ended(0, 0, finished()), pod(1)), pods=(ended(0, 0, finished()),))
    assert decide(lacking, later(60)).status.phase == "Restarting"


def test_ranks_that_finished_beside_a_container_that_failed_have_finished() -> None:
    status = decide(job(ended(0, 0, finished(), phase="Failed")), later(60)).status
    assert stands(status)[:2] == ("Succeeded", "AllRanksFinished")


def test_a_rank_that_finished_beside_a_container_that_failed_ends_no_attempt() -> None:
    assert decide(job(ended(0, 0, finished(), phase="Failed"), pod(1)), later(60)).status.phase == "Running"


def test_without_a_report_the_last_numbers_stay_and_nothing_is_expected_any_more() -> None:
    status = decide(job(pod(0, "Succeeded")), later(60)).status
    assert stands(status) == ("Succeeded", "AllRanksFinished", "all ranks finished")
    assert status.display == Display(step="10/200", eta="", loss="0.8346")
    assert status.progress is not None
    assert status.progress.eta_seconds is None


def test_what_an_earlier_attempt_failed_of_is_forgotten_but_for_its_record() -> None:
    view = job(ended(0, 1, report(1)))
    again = replace(view, status=decide(view, later(30)).status)
    done = replace(again, pods=(ended(0, 0, finished(), attempt=2),))
    status = decide(done, later(60)).status
    assert (status.failure, status.attempts[0].reason) == (None, "AppError")


@pytest.mark.parametrize("resumed_from", [200, 300])
def test_a_job_whose_checkpoint_was_at_the_end_is_complete_already(resumed_from: int) -> None:
    told = finished() | {"progress": NUMBERS | {"resumedFrom": resumed_from}}
    status = decide(job(ended(0, 0, told)), later(60)).status
    words = f"the newest checkpoint was already at the last iteration, {resumed_from}: nothing was trained"
    assert stands(status) == ("Succeeded", "AlreadyComplete", words)


@pytest.mark.parametrize("resumed_from", [None, 0, 199])
def test_a_job_that_trained_was_not_complete_before(resumed_from: int | None) -> None:
    told = finished() | {"progress": NUMBERS | {"resumedFrom": resumed_from}}
    assert decide(job(ended(0, 0, told)), later(60)).status.reason == "AllRanksFinished"


def test_a_job_that_trained_and_began_again_at_the_end_was_not_complete_before() -> None:
    """A rank died in the last evaluation, say: what it began again with was this job's own work."""
    told = finished(restart=1) | {"progress": NUMBERS | {"resumedFrom": 200}}
    status = decide(job(ended(0, 0, told)), later(60)).status
    assert (status.reason, status.restarts) == ("AllRanksFinished", 1)


@pytest.mark.parametrize(
    ("which", "deleted"), [("Running", ["job-1-1"]), ("All", ["job-1-0", "job-1-1"]), ("None", [])]
)
def test_pods_are_cleaned_up_as_the_job_wishes(which: str, deleted: list[str]) -> None:
    view = running(nodes=3, spec={"cleanPods": which})
    over = replace(view, status=replace(view.status, phase="Failed", completion_time=NOON))
    there = (ended(0, 78), pod(1), pod(2, terminating=True))
    decision = decide(replace(over, pods=there), later(1))
    assert [action.name for action in decision.actions] == deleted


def test_pods_that_are_over_are_enough_where_a_job_never_said_that_they_run() -> None:
    view = replace(running(nodes=2), pods=pods(2, "Succeeded"))
    hasty = replace(view, status=replace(view.status, phase="Pending"))
    assert decide(hasty, later(1)).status.phase == "Succeeded"


def test_a_container_that_runs_on_beside_ranks_that_finished_keeps_nobody_waiting_and_goes() -> None:
    view = job(ended(0, 0, finished(), phase="Running"))
    decision = decide(view, later(60))
    assert decision.status.phase == "Succeeded"
    over = seen(view, decision)
    assert decide(over, later(61)).actions == (Delete(POD, "job-1-0", pod(0).uid),)


def test_a_container_that_runs_on_beside_ranks_that_failed_goes_before_the_next_attempt() -> None:
    view = job(ended(0, 1, report(1), phase="Running"))
    decision = decide(view, later(60))
    assert (decision.status.phase, decision.status.attempt) == ("Restarting", 2)
    assert decide(seen(view, decision), later(61)).actions == (Delete(POD, "job-1-0", pod(0).uid),)
