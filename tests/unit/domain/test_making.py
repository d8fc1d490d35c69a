"""The objects of an attempt: in which order they are made, and that nothing is made twice."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from harness.observing import (
    SERVICE,
    begun,
    claims,
    ended,
    job,
    later,
    observed,
    pod,
    pods,
    report,
    running,
    said,
    seen,
    stands,
)
from harness.timeless import NOON

from pet_operator.domain import names
from pet_operator.domain.constants import CONFIG_MAP
from pet_operator.domain.decide import decide
from pet_operator.domain.decision import Action, Create, Delete, Refusal
from pet_operator.domain.status import AttemptRecord, CheckpointStatus

CLAIM, GOING = (claims("job-checkpoints", made_for="job", terminating=terminating) for terminating in (False, True))
WAITED_FOR = "is being deleted, and is waited for"
EVERYTHING = {"nodes": 2, "config": "MISC: {}", "checkpoint": {"volume": {"size": "1Gi"}}}


def made(actions: tuple[Action, ...]) -> list[str]:
    return [f"{action.kind.kind} {action.manifest['metadata']['name']}" for action in actions if type(action) is Create]


def test_the_configuration_before_goes_once_no_pod_uses_it() -> None:
    def configured(text: str | None) -> dict[str, Any]:
        return {"nodes": 1} if text is None else {"nodes": 1, "config": text}

    view = replace(running(spec=configured("A: 1")), generation=1)
    old = view.status.config_map
    assert old == names.config_map("job", "A: 1")
    for text in ("A: 2", None):
        view = replace(view, job=job(**configured(text), suspend=True), pods=(), trainers={})
        view = seen(view, decide(view, later(10)))
        view = replace(view, job=job(**configured(text)))
        view = seen(view, decide(view, later(20)))
        attempt = view.status.attempt
        assert [action for action in decide(view, later(21)).actions if type(action) is Delete] == []
        view = replace(view, pods=(pod(0, "Pending", attempt=attempt),))
        decision = decide(view, later(22))
        assert decision.actions == (Delete(CONFIG_MAP, old, ""),)
        view = seen(view, decision)
        assert decide(view, later(23)).actions == ()
        old = view.status.config_map
    assert old == ""


def test_pods_that_waited_for_one_that_a_quota_does_not_allow_are_not_to_blame() -> None:
    """Their launchers give up after a while: the quota is the cause, and no restart is counted."""
    quota = Refusal("CreateRefused", "Pod job-1-1: exceeded quota: few")
    view = begun(spec={"nodes": 2}, service=SERVICE)
    view = replace(view, pods=(pod(0),), refused=quota)
    view = seen(view, decide(view, NOON))
    assert stands(view.status) == ("Pending", "CreateRefused", quota.message)
    decision = decide(replace(view, pods=(ended(0, 75, report(75)),), refused=None), later(600))
    status = decision.status
    words = "pod job-1-1: Disrupted: CreateRefused: Pod job-1-1: exceeded quota: few"
    assert (*stands(status), status.attempt, status.recent_restarts) == ("Restarting", "Disrupted", words, 2, ())
    own = decide(replace(view, pods=(ended(0, 78, report(78)),), refused=None), later(600)).status
    assert own.reason == "InvalidConfig", "what no peer brings about"


def test_what_pods_need_is_made_before_them_and_the_service_first() -> None:
    decision = decide(begun(spec=EVERYTHING), NOON)
    assert made(decision.actions) == [
        "Service job",
        "ConfigMap job-config-047285d8",
        "PersistentVolumeClaim job-checkpoints",
        "Pod job-1-0",
        "Pod job-1-1",
    ]


def test_a_job_without_embedded_config_and_size_has_only_service_and_pods() -> None:
    assert made(decide(begun(), NOON).actions) == ["Service job", "Pod job-1-0"]
    with_claim = begun(spec={"checkpoint": {"volume": {"claimName": "mine"}}}, claims=claims("mine"))
    assert made(decide(with_claim, NOON).actions) == ["Service job", "Pod job-1-0"]


def test_making_objects_changes_nothing_in_the_status() -> None:
    view = begun(spec=EVERYTHING)
    assert decide(view, NOON).status == view.status


@pytest.mark.parametrize(
    ("present", "missing"),
    [((), ["Pod job-1-0", "Pod job-1-1", "Pod job-1-2"]), ((1,), ["Pod job-1-0", "Pod job-1-2"])],
)
def test_only_what_is_missing_is_made(present: tuple[int, ...], missing: list[str]) -> None:
    there = tuple(pod(index, "Pending") for index in present)
    decision = decide(begun(spec={"nodes": 3}, pods=there, service=SERVICE), NOON)
    assert made(decision.actions) == missing


def test_once_all_pods_are_there_nothing_more_is_made() -> None:
    view = begun(spec=EVERYTHING, pods=pods(2, "Pending"), service=SERVICE, claims=CLAIM)
    decision = decide(view, later(15))
    waiting = "waiting for the first step of 2 ranks"
    assert decision.actions == ()
    assert stands(decision.status) == (
        "Starting",
        "AwaitingFirstStep",
        f"{waiting}; the container of job-1-0 does not run yet",
    )


def test_a_claim_of_ours_that_somebody_deletes_is_waited_for_and_made_again() -> None:
    """A pod would not start with it, nor be told of a new one."""
    going = replace(begun(spec=EVERYTHING, service=SERVICE, claims=CLAIM), claims=GOING)
    decision = decide(going, NOON)
    words = f"the PersistentVolumeClaim job-checkpoints {WAITED_FOR}; it is made again once it is gone"
    assert (decision.actions, stands(decision.status)) == ((), ("Pending", "ClaimTerminating", words))
    again = decide(seen(going, decision, claims={}), NOON)
    assert "PersistentVolumeClaim job-checkpoints" in made(again.actions)
    assert "Pod job-1-0" in made(again.actions)


def test_one_that_is_deleted_under_pods_that_wait_is_said_with_what_to_do_and_made_again() -> None:
    view = begun(spec=EVERYTHING, pods=pods(2, "Pending"), service=SERVICE, claims=CLAIM)
    view = seen(view, decide(view, NOON), claims=GOING)
    decision = decide(view, NOON)
    assert stands(decision.status)[:2] == ("Starting", "ClaimTerminating")
    words = f"job-1-0 cannot start: the PersistentVolumeClaim job-checkpoints {WAITED_FOR}"
    assert decision.status.message.startswith(words)
    assert "annotate the job with pet.dev/restart-requested" in decision.status.message
    assert made(decide(seen(view, decision, claims={}), NOON).actions) == ["PersistentVolumeClaim job-checkpoints"]


def test_a_user_s_claim_that_goes_is_waited_for_before_the_next_pods() -> None:
    view = begun(spec={"checkpoint": {"volume": {"claimName": "mine"}}}, claims=claims("mine"))
    decision = decide(replace(view, claims=claims("mine", terminating=True)), NOON)
    assert (decision.actions, decision.status.reason) == ((), "ClaimTerminating")
    assert decision.status.message.endswith("; make it again")


def test_a_service_that_is_gone_is_made_again() -> None:
    view = begun(pods=pods(1, "Pending"))
    assert made(decide(view, NOON).actions) == ["Service job"]
    starting = seen(view, decide(view, NOON))
    assert starting.status.phase == "Starting"
    assert made(decide(starting, NOON).actions) == ["Service job"]


def test_what_the_api_server_will_not_have_is_said_and_tried_again() -> None:
    words = 'Pod job-1-0: pods "job-1-0" is forbidden: exceeded quota: gpus'
    view = begun(refused=Refusal("CreateRefused", words))
    decision = decide(view, NOON)
    assert stands(decision.status) == ("Pending", "CreateRefused", words)
    assert said(decision.status, "Reconciling") == ("True", "CreateRefused", words)
    assert said(decision.status, "Accepted") == ("False", "CreateRefused", words)
    assert said(decision.status, "Stalled")[0] == "False", "it may pass by itself"
    assert made(decision.actions) == ["Service job", "Pod job-1-0"]
    again = seen(view, decision)
    assert decide(again, later(60)).status == again.status


def test_pods_that_are_there_at_last_make_the_refusal_a_thing_of_the_past() -> None:
    view = begun(refused=Refusal("ClaimNameTaken", "it belongs to somebody else"))
    refused = seen(view, decide(view, NOON), refused=None, pods=pods(1, "Pending"), service=SERVICE)
    decision = decide(refused, later(9))
    assert stands(decision.status)[:2] == ("Starting", "AwaitingFirstStep")
    assert said(decision.status, "Accepted")[:2] == ("True", "Valid")


def test_the_pods_of_a_later_attempt_wait_for_their_time() -> None:
    view = begun(service=SERVICE)
    records = (
        AttemptRecord(attempt=1, started_at=NOON, ended_at=NOON),
        AttemptRecord(attempt=2, started_at=NOON, ended_at=NOON),
        AttemptRecord(attempt=3, started_at=NOON),
    )
    status = replace(view.status, attempt=3, phase="Restarting", attempts=records)
    unsaid = replace(view, status=status)
    waiting = seen(unsaid, decide(unsaid, NOON))
    decision = decide(waiting, later(0.5))
    assert decision.actions == ()
    assert decision.requeue_after is not None
    assert 1.5 <= decision.requeue_after <= 2
    assert decision.status == waiting.status
    decision = decide(waiting, later(2.5))
    assert (made(decision.actions), decision.requeue_after) == (["Pod job-3-0"], None)


def test_pods_of_a_former_attempt_go_before_new_ones_come() -> None:
    view = begun(service=SERVICE, spec={"nodes": 2})
    records = (AttemptRecord(attempt=1), AttemptRecord(attempt=2, started_at=NOON, from_iteration=10))
    status = replace(view.status, attempt=2, phase="Restarting", attempts=records)
    before = replace(view, status=status, pods=(pod(0), ended(1)))
    decision = decide(before, NOON)
    assert [(action.name, action.uid) for action in decision.actions] == [("job-1-0", "uid-of-job-1-0")]
    going = replace(before, pods=(pod(0, terminating=True), ended(1)))
    assert decide(going, NOON).actions == ()
    gone = replace(before, pods=(ended(1),))
    assert made(decide(gone, NOON).actions) == ["Pod job-2-0", "Pod job-2-1"]


def test_launchers_are_told_how_many_restarts_they_have() -> None:
    view = begun(service=SERVICE)
    status = replace(view.status, recent_restarts=(NOON, NOON), checkpoint=CheckpointStatus(iteration=1))
    (create,) = decide(replace(view, status=status), NOON).actions
    assert isinstance(create, Create)
    env = {entry["name"]: entry.get("value") for entry in create.manifest["spec"]["containers"][0]["env"]}
    assert env["PETJOB_RESTARTS_LEFT"] == "1"


def test_a_pod_that_fails_while_others_are_still_to_be_made_ends_the_attempt() -> None:
    decision = decide(begun(spec={"nodes": 2}, pods=(ended(0),), service=SERVICE), NOON)
    assert decision.status.attempt == 2
    assert decision.actions == ()


def test_from_nothing_to_pods_that_wait_each_object_is_made_once_by_one_write_of_the_status() -> None:
    view, writes, objects = observed(spec={"nodes": 8, "config": "MISC: {}"}), 0, []
    for _ in range(10):
        decision = decide(view, NOON)
        objects += made(decision.actions)
        writes += decision.status != view.status
        there = pods(8, "Pending") if decision.actions else view.pods
        view = seen(view, decision, pods=there, service=SERVICE if decision.actions else view.service)
    assert (len(objects), len(set(objects)), writes) == (10, 10, 1)


def test_that_all_pods_are_made_is_written_with_the_first_news_of_them_or_when_none_comes() -> None:
    view = begun(spec={"nodes": 2}, pods=pods(2, "Pending"), service=SERVICE)
    silent = decide(view, later(4))
    assert (silent.status, silent.actions, silent.requeue_after) == (view.status, (), 11)
    assert decide(view, later(15)).status.phase == "Starting"
    unschedulable = pod(1, "Pending", awaited=("Unschedulable", "0/3 nodes are available"))
    for news in (unschedulable, pod(1)):
        assert decide(replace(view, pods=(pod(0, "Pending"), news)), later(4)).status.phase == "Starting"


def test_words_that_are_true_no_more_are_not_kept_until_then() -> None:
    former = pod(1, attempt=0, terminating=True, grace_seconds=30)
    view = begun(spec={"nodes": 2}, pods=(former,), service=SERVICE)
    view = seen(view, decide(view, later(1)), pods=pods(2, "Pending"))
    assert view.status.message == "making 2 pods; waiting for the end of job-0-1"
    assert decide(view, later(3)).status.phase == "Starting"


def test_a_clock_that_was_set_back_does_not_put_it_off() -> None:
    view = begun(spec={"nodes": 2}, pods=pods(2, "Pending"), service=SERVICE)
    assert decide(view, later(-3600)).status.phase == "Starting"


def test_a_pod_that_went_before_it_was_written_that_all_are_made_is_what_its_peers_lost() -> None:
    """The operator was away meanwhile, so that it never saw the pod end."""
    view = begun(spec={"nodes": 2, "restart": {"maxRestarts": 0}}, pods=(ended(1, 75, report(75)),), service=SERVICE)
    status = decide(view, later(600)).status
    words = "pod job-1-0: Disrupted: PodDeleted: the pod is gone"
    assert (*stands(status), status.recent_restarts) == ("Restarting", "Disrupted", words, ())


def test_the_configuration_of_an_attempt_that_ended_before_goes_too() -> None:
    """It was never written that all its pods are made."""
    first = {"nodes": 1, "config": "A: 1"}
    view = observed(spec=first, service=SERVICE)
    view = seen(view, decide(view, NOON), pods=pods(1, "Pending"))
    view = replace(view, job=job(**first, suspend=True))
    view = seen(view, decide(view, later(5)), pods=())
    view = seen(view, decide(view, later(6)))
    assert view.status.phase == "Suspended"
    view = replace(view, job=job(nodes=1, config="A: 2"))
    view = seen(view, decide(view, later(20)), pods=pods(1, "Pending", attempt=2))
    assert decide(view, later(21)).actions == (Delete(CONFIG_MAP, names.config_map("job", "A: 1"), ""),)


def test_what_could_not_be_made_first_is_said_to_be_made_at_once() -> None:
    view = begun(spec={"nodes": 2}, service=SERVICE, refused=Refusal("CreateRefused", "no room"))
    view = seen(view, decide(view, NOON), refused=None, pods=pods(2, "Pending"))
    assert stands(view.status) == ("Pending", "CreateRefused", "no room")
    assert decide(view, later(1)).status.phase == "Starting"


@pytest.mark.parametrize("phase", ["Pending", "Starting"])
def test_a_configuration_that_somebody_deleted_is_made_again_once_the_kubelet_misses_it(phase: str) -> None:
    """Nobody watches ConfigMaps: without that the job would wait until its deadline, and fail for good."""
    view = replace(begun(spec=EVERYTHING), claims=CLAIM, service=SERVICE, pods=pods(2, "Pending"))
    if phase == "Starting":
        view = seen(view, decide(view, later(20)))
    assert view.status.phase == phase
    name = names.config_map("job", "MISC: {}")
    awaited = ("FailedMount", f'MountVolume.SetUp failed for volume "config" : configmap "{name}" not found')
    missed = replace(view, pods=(pod(0, "Pending"), pod(1, "Pending", awaited=awaited)))
    assert made(decide(missed, later(21)).actions) == [f"ConfigMap {name}"]

    other = (awaited[0], awaited[1].replace(name, "theirs"))
    theirs = replace(view, pods=(pod(0, "Pending"), pod(1, "Pending", awaited=other)))
    assert made(decide(theirs, later(21)).actions) == []
