"""Before the first attempt: what is refused, what is waited for, and what is none of our business."""

from __future__ import annotations

from dataclasses import replace

import pytest
from harness.observing import (
    SERVICE,
    UID,
    begun,
    claims,
    ended,
    later,
    observed,
    pod,
    report,
    running,
    said,
    seen,
    stands,
)
from harness.timeless import NOON

from pet_operator.domain.decide import decide
from pet_operator.domain.decision import Decision
from pet_operator.domain.status import JobStatus, Nodes

PROBLEMS = ("SOLVER.OPTIMIZR: no such key; did you mean SOLVER.OPTIMIZER?", "TRAIN.BATCH_SIZE: 3 cannot be divided")
BOTH = "\n".join(PROBLEMS)
VALID = observed().validation


def test_an_invalid_job_fails_before_any_pod_with_every_problem_in_words() -> None:
    view = observed(problems=PROBLEMS)
    decision = decide(view, NOON)
    assert decision.actions == ()
    assert stands(decision.status) == ("Failed", "InvalidConfig", BOTH)
    assert (decision.status.attempt, decision.status.completion_time) == (0, NOON)
    assert said(decision.status, "Accepted") == ("False", "InvalidConfig", BOTH)
    assert said(decision.status, "Failed") == ("True", "InvalidConfig", BOTH)
    assert said(decision.status, "Finished") == ("True", "InvalidConfig", BOTH)
    assert said(decision.status, "Stalled") == ("True", "InvalidConfig", BOTH)
    assert said(decision.status, "Reconciling") == ("False", "Failed", "")


def test_very_many_or_very_long_problems_do_not_fill_the_status() -> None:
    """Of one that is too large the API server would take nothing."""
    lines = stands(decide(observed(problems=("x" * 100_000, *["y"] * 100)), NOON).status)[2].split("\n")
    assert lines == ["x" * 1000 + "…", *["y"] * 19, "and 81 more; `pet plan` names all"]


def test_an_invalid_job_is_not_judged_again_until_it_is_edited() -> None:
    view = observed(problems=PROBLEMS)
    refused = seen(view, decide(view, NOON), validation=VALID)
    assert decide(refused, later(60)) == Decision(refused.status)


def test_an_invalid_job_that_is_mended_begins() -> None:
    view = observed(problems=PROBLEMS)
    refused = seen(view, decide(view, NOON))
    decision = decide(replace(refused, generation=2, validation=VALID), later(60))
    assert stands(decision.status) == ("Pending", "CreatingPods", "making 1 pod")
    assert (decision.status.attempt, decision.status.restarts, decision.status.completion_time) == (1, 0, None)
    assert said(decision.status, "Accepted") == ("True", "Valid", "")
    assert said(decision.status, "Failed") == ("False", "Pending", "")
    assert said(decision.status, "Stalled") == ("False", "Pending", "")
    assert {condition.observed_generation for condition in decision.status.conditions} == {2}


def test_an_invalid_job_that_is_edited_and_still_invalid_says_what_is_wrong_now() -> None:
    view = observed(problems=PROBLEMS)
    refused = seen(view, decide(view, NOON))
    again = observed(problems=PROBLEMS[1:], generation=2, status=refused.status)
    status = decide(again, later(60)).status
    assert stands(status) == ("Failed", "InvalidConfig", PROBLEMS[1])
    assert (status.observed_generation, status.completion_time) == (2, later(60))


def test_a_valid_job_begins_by_a_write_and_by_nothing_else() -> None:
    decision = decide(observed(spec={"nodes": 8, "gpusPerNode": 2}), NOON)
    status = decision.status
    assert decision.actions == ()
    assert stands(status) == ("Pending", "CreatingPods", "making 8 pods")
    assert (status.attempt, status.restarts, status.world_size) == (1, 0, 16)
    assert (status.start_time, status.nodes) == (NOON, Nodes(8, 0))
    assert status.script == "tools/tasks/cls/train_net.py"
    assert status.spec_hash == observed(spec={"nodes": 8, "gpusPerNode": 2}).job.spec.hash
    assert (status.current.attempt, status.current.started_at) == (1, NOON)
    assert said(status, "Accepted") == ("True", "Valid", "")
    assert said(status, "Running") == ("False", "Pending", "")
    assert said(status, "Reconciling") == ("True", "CreatingPods", "making 8 pods")
    assert status.observed_generation == 1


def test_what_is_worth_knowing_of_a_valid_job_is_the_reason_why_it_was_accepted() -> None:
    warnings = (("NotPersistent", "spec.checkpoint.volume: is absent"), ("ScriptAlias", "spec.cfg: an old name"))
    status = decide(observed(warnings=warnings), NOON).status
    assert said(status, "Accepted") == ("True", "NotPersistent", "spec.checkpoint.volume: is absent")


def test_what_was_accepted_stays_so_whatever_the_checks_say_later() -> None:
    running = replace(begun(), validation=observed(problems=PROBLEMS).validation)
    assert said(decide(running, later(1)).status, "Accepted") == ("True", "Valid", "")


def test_the_pods_of_a_deleted_job_of_the_same_name_are_waited_for() -> None:
    old = [replace(pod(index), job_uid="another") for index in (1, 0, 2)]
    old[2] = replace(old[2], phase="Failed")
    decision = decide(observed(predecessors=tuple(old)), NOON)
    words = "the pods job-1-0, job-1-1 of the deleted job of this name are still saving"
    assert decision.actions == ()
    assert stands(decision.status) == ("Starting", "WaitingForPredecessor", words)
    assert (decision.status.attempt, decision.status.start_time) == (0, None)
    assert said(decision.status, "Accepted") == ("True", "Valid", "")


def test_the_service_of_a_deleted_job_of_the_same_name_is_waited_for() -> None:
    over = replace(pod(0, "Succeeded"), job_uid="another")
    view = observed(predecessors=(over,), service=replace(SERVICE, owner_uid="another"))
    words = "the Service job of the deleted job of this name is not gone yet"
    assert stands(decide(view, NOON).status) == ("Starting", "WaitingForPredecessor", words)


def test_the_claim_that_goes_with_a_deleted_job_of_the_same_name_is_waited_for() -> None:
    left = claims("job-checkpoints", made_for="job", owner_uid="another", terminating=True)
    view = observed(spec={"checkpoint": {"volume": {"size": "1Gi"}}}, claims=left)
    words = "the PersistentVolumeClaim job-checkpoints of the deleted job of this name is not gone yet"
    assert stands(decide(view, NOON).status) == ("Starting", "WaitingForPredecessor", words)
    assert decide(replace(view, claims={}), NOON).status.attempt == 1


def test_once_the_predecessor_is_gone_the_job_begins() -> None:
    view = observed(service=replace(SERVICE, owner_uid="another"))
    waiting = seen(view, decide(view, NOON), service=None)
    status = decide(waiting, later(5)).status
    assert stands(status) == ("Pending", "CreatingPods", "making 1 pod")
    assert status.start_time == later(5)


def test_a_predecessor_of_a_running_job_is_of_no_interest() -> None:
    view = begun(service=replace(SERVICE, owner_uid=UID))
    straggler = replace(pod(5), job_uid="another")
    assert decide(replace(view, predecessors=(straggler,)), NOON) == decide(view, NOON)


@pytest.mark.parametrize("status", [JobStatus(), begun().status], ids=["new", "begun"])
@pytest.mark.parametrize(
    "what",
    [{"synced": False}, {"spec": {"managedBy": "kueue.x-k8s.io/multikueue"}}],
    ids=["half a view", "another controller's"],
)
def test_nothing_is_done_or_written(what: dict[str, object], status: JobStatus) -> None:
    decision = decide(observed(status=status, **what), NOON)
    assert (decision.status, decision.actions) == (status, ())


def test_of_a_job_that_goes_nothing_is_made_and_once_it_has_begun_that_is_said() -> None:
    assert decide(observed(deleting=True), NOON).status == JobStatus()
    decision = decide(replace(begun(spec={"nodes": 2}), deleting=True), NOON)
    assert (decision.status.phase, decision.status.reason, decision.actions) == ("Pending", "Deleting", ())


def test_a_job_that_names_this_controller_is_ours() -> None:
    assert decide(observed(spec={"managedBy": "pet.dev/pet-operator"}), NOON).status.attempt == 1


def test_a_failed_job_is_judged_again_when_it_is_edited_and_stays_so() -> None:
    view = replace(running(), pods=(ended(0, 78, report(78)),), trainers={})
    failed = seen(view, decide(view, later(60)))
    assert said(failed.status, "Accepted")[:2] == ("True", "Valid")
    edited = replace(failed, generation=2, validation=replace(failed.validation, problems=PROBLEMS))
    wrong = seen(edited, decide(edited, later(70)))
    assert said(wrong.status, "Accepted")[:2] == ("False", "InvalidConfig")
    assert (wrong.status.phase, wrong.status.attempt) == ("Failed", 1)
    assert decide(wrong, later(80)) == Decision(wrong.status)
    mended = replace(wrong, generation=3, validation=VALID)
    assert said(decide(mended, later(90)).status, "Accepted")[0] == "True"
