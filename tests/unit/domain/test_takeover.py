"""The annotation `pet.dev/take-over`: a folder is handed on from a job that is seen to be gone, and from no other."""

from __future__ import annotations

from dataclasses import replace

import pytest
from harness.observing import SERVICE, UID, ended, later, observed, said, seen, stands
from harness.timeless import NOON

from pet_operator.domain.constants import TAKE_OVER
from pet_operator.domain.decide import decide
from pet_operator.domain.decision import Create, Observed
from pet_operator.domain.policy.takeover import granted


def asking(uid: str, **what: object) -> Observed:
    view = observed(**what)
    return replace(view, job=replace(view.job, annotations={TAKE_OVER: uid}))


def handed_on(view: Observed) -> list[str]:
    pods = [action.manifest for action in decide(view, later(60)).actions if isinstance(action, Create)]
    entries = [entry for pod in pods if pod["kind"] == "Pod" for entry in pod["spec"]["containers"][0]["env"]]
    return [entry["value"] for entry in entries if entry["name"] == "PETJOB_TAKEOVER_UID"]


def test_the_uid_of_a_job_that_is_gone_is_handed_on_to_the_pods_of_every_attempt() -> None:
    view = asking("uid-of-gone", spec={"nodes": 2})
    view = seen(view, decide(view, NOON))
    assert handed_on(view) == ["uid-of-gone"] * 2
    ends = replace(view, pods=(ended(0, 139), ended(1, 75)), service=SERVICE)
    assert handed_on(seen(ends, decide(ends, NOON), pods=())) == ["uid-of-gone"] * 2


def test_a_job_that_is_there_keeps_its_folder_and_is_looked_for_again() -> None:
    view = asking("uid-of-first", holder="the job default/first")
    decision = decide(view, NOON)
    words = (
        "pet.dev/take-over: uid-of-first is not gone: the job default/first is there; delete the job and wait for its "
        "pods, or remove the annotation"
    )
    assert stands(decision.status) == ("Pending", "TakeOverRefused", words)
    assert said(decision.status, "Accepted") == ("False", "TakeOverRefused", words)
    assert (decision.actions, decision.requeue_after) == ((), 5.0)
    assert decide(seen(view, decision, holder=""), later(5)).status.attempt == 1


def test_of_a_training_by_hand_nobody_can_see_whether_it_has_ended() -> None:
    status = decide(asking("local-1"), NOON).status
    assert status.reason == "TakeOverRefused"
    assert status.message.startswith("pet.dev/take-over: local-1 was started by hand")


def test_a_running_job_is_not_stopped_by_the_annotation_but_its_next_pods_are_told_nothing() -> None:
    first = observed()
    view = seen(first, decide(first, NOON), holder="the job default/first")
    view = replace(view, job=replace(view.job, annotations={TAKE_OVER: "uid-of-first"}))
    assert handed_on(view) == [""]
    assert said(decide(view, NOON).status, "Accepted")[0] == "True"


@pytest.mark.parametrize("uid", ["", UID])
def test_nothing_and_oneself_are_no_wish(uid: str) -> None:
    assert granted(asking(uid)) == ""
    assert decide(asking(uid), NOON).status.attempt == 1
