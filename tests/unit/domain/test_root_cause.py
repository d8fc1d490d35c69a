"""Through whom an attempt ended: the first failure, never a peer that merely lost its connection."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from harness.observing import begun, ended, later, pod, pod_manifest, report, running, seen, stands
from harness.recording import recorded
from harness.timeless import NOON

from pet.runfiles.exits import ExitCode
from pet_operator.domain.decide import decide
from pet_operator.domain.decision import Observed
from pet_operator.domain.ends import describe
from pet_operator.domain.policy.failure import attempt_end
from pet_operator.domain.status import Failure
from pet_operator.domain.views import PodView, pod_view


def failed(*pods: PodView) -> Observed:
    return replace(running(nodes=len(pods)), pods=pods)


def cause(*pods: PodView) -> Failure:
    end = attempt_end(failed(*pods), NOON, complete=True)
    assert end is not None
    return end.cause


def test_the_launcher_s_own_account_is_kept_with_where_it_happened() -> None:
    told = report(1, rank=3, iteration=912, type="ValueError", message="bad label", traceback="File …")
    assert cause(pod(0), ended(1, 1, told)) == Failure(
        class_="AppError",
        type="ValueError",
        message="bad label",
        exit_code=1,
        rank=3,
        pod="job-1-1",
        node_index=1,
        node="node-1",
        iteration=912,
        traceback="File …",
    )


@pytest.mark.parametrize(
    "kind", [code.exit_class for code in ExitCode if code not in (ExitCode.SUCCEEDED, ExitCode.OOM)]
)
def test_what_a_real_launcher_left_is_taken_over(kind: str) -> None:
    told = recorded(f"termination-{kind}")
    found = cause(ended(0, told["exitCode"], told))
    assert (found.class_, found.type, found.message) == (kind, told["type"], told["message"])
    assert (found.exit_code, found.rank, found.iteration) == (told["exitCode"], told["rank"], told["iteration"])
    assert found.traceback == told["traceback"]
    assert found.rank == (None if kind in ("PeerLost", "Preempted") else 1)


NO_LIMIT = "the container ran out of memory (it has no limit of its own: the node had no more)"


def evicted(**changes: Any) -> PodView:
    conditions = [{"type": "DisruptionTarget", "status": "True", "reason": "EvictionByEvictionAPI"}]
    end = {"terminated": {"exitCode": 137, "reason": "Error"}}
    containers = [{"name": "trainer", "state": end}]
    status = {"phase": "Failed", "message": "node was low on memory", "conditions": conditions}
    return replace(pod_view(pod_manifest(status=status | {"containerStatuses": containers})), **changes)


@pytest.mark.parametrize(
    ("pod", "class_", "type_", "message"),
    [
        (ended(0, 1), "AppError", "Error", "the launcher ended with 1 and left no report"),
        (ended(0, 7), "AppError", "Error", "the launcher ended with 7 and left no report"),
        (ended(0, 78), "ConfigError", "Error", "the launcher ended with 78 and left no report"),
        (ended(0, 137), "Crash", "Error", "the launcher ended with 137 and left no report"),
        (ended(0, 139), "Crash", "Error", "the launcher ended with 139 and left no report"),
        (ended(0, 143), "Crash", "Error", "the launcher ended with 143 and left no report"),
        (ended(0, 137, reason="OOMKilled"), "OOM", "OOMKilled", NO_LIMIT),
        (ended(0, 2, reason="StartError"), "AppError", "StartError", "the launcher ended with 2 and left no report"),
        (evicted(), "Disrupted", "Disrupted", "node was low on memory"),
        (ended(0, 137, terminating=True), "Disrupted", "Disrupted", "the pod was taken away"),
        (pod(0, "Failed"), "Disrupted", "Disrupted", "the pod ended before its container ran"),
        (pod(0, "Failed", message="Pod was rejected: no GPU"), "Disrupted", "Disrupted", "Pod was rejected: no GPU"),
        (ended(0, 1, {"schema": 2, "class": "X"}), "AppError", "Error", "the launcher ended with 1 and left no report"),
        (ended(0, 139, report(0)), "Crash", "Error", "the launcher ended with 139 after its ranks had finished"),
        (ended(0, 137, report(0), reason="OOMKilled"), "OOM", "OOMKilled", NO_LIMIT),
        (ended(0, 1, {"schema": 1}), "AppError", "Error", "the launcher ended with 1 and left no report"),
    ],
)
def test_without_an_account_it_is_what_kubernetes_saw(pod: PodView, class_: str, type_: str, message: str) -> None:
    found = cause(pod)
    assert (found.class_, found.type, found.message) == (class_, type_, message)


LIMITED = {"resources": {"limits": {"memory": "16Gi"}}}


@pytest.mark.parametrize(
    ("spec", "limit"),
    [
        ({"containers": [{"name": "trainer"} | LIMITED]}, "its limit is 16Gi"),
        ({"containers": [{"name": "trainer"}], **LIMITED}, "its limit is 16Gi"),
        (
            {"containers": [{"name": "trainer"}, {"name": "beside"} | LIMITED]},
            "it has no limit of its own: the node had no more",
        ),
    ],
    ids=["of the container", "of the pod", "of another container"],
)
def test_the_limit_that_a_container_ran_into_is_the_one_that_its_pod_has(spec: dict[str, Any], limit: str) -> None:
    """A namespace may give one to pods whose template has none."""
    killed = {"terminated": {"exitCode": 137, "reason": "OOMKilled"}}
    status = {"phase": "Failed", "containerStatuses": [{"name": "trainer", "state": killed}]}
    found = cause(pod_view(pod_manifest(status=status) | {"spec": {"nodeName": "node-0", **spec}}))
    assert found.message == f"the container ran out of memory ({limit})"


def failing_init(code: int = 3, message: str = "", **changes: Any) -> PodView:
    """The init container `fetch` ended the pod before its trainer began."""
    end = {"terminated": {"exitCode": code, "reason": "Error", **({"message": message} if message else {})}}
    done = {"terminated": {"exitCode": 0, "reason": "Completed"}}
    inits = [{"name": "first", "state": done}, {"name": "fetch", "state": end}]
    trainer = [{"name": "trainer", "state": {"waiting": {"reason": "PodInitializing"}}}]
    status = {"phase": "Failed", "initContainerStatuses": inits, "containerStatuses": trainer}
    return replace(pod_view(pod_manifest(status=status)), **changes)


def test_an_init_container_that_fails_is_the_cause_with_its_code_and_its_last_words() -> None:
    found = cause(failing_init(message="x" * 5000 + "no such bucket\n"))
    assert (found.class_, found.type, found.exit_code) == ("AppError", "InitContainer", 3)
    assert found.message.startswith("the init container fetch ended with 3 (Error): xxx")
    assert found.message.endswith("xno such bucket")
    assert len(found.message) < 1100
    assert cause(failing_init()).message == "the init container fetch ended with 3 (Error)"
    assert cause(failing_init(disrupted=True)).class_ == "Disrupted"


def test_an_init_container_that_always_fails_uses_the_restarts_up() -> None:
    view = running(spec={"restart": {"maxRestarts": 3}})
    for attempt in range(1, 5):
        view = replace(view, pods=(replace(failing_init(), attempt=attempt, name=f"job-{attempt}-0"),), trainers={})
        view = seen(view, decide(replace(view, status=replace(view.status, phase="Starting")), later(attempt)))
    assert stands(view.status)[:2] == ("Failed", "RestartsExhausted")
    assert "the init container fetch ended with 3" in view.status.message


def test_a_report_tells_more_than_what_kubernetes_saw() -> None:
    told = report(143, message="all ranks left at the same step")
    assert cause(ended(0, 143, told, terminating=True)).class_ == "Preempted"


def test_a_pod_that_is_absent_once_all_were_made_is_lost() -> None:
    view = replace(failed(pod(0), pod(1), pod(2)), pods=(pod(0), pod(2)))
    end = attempt_end(view, NOON, complete=True)
    assert end is not None
    assert describe(end.cause) == "pod job-1-1: Disrupted: PodDeleted: the pod is gone"
    assert attempt_end(view, NOON, complete=False) is None


def test_nothing_has_ended_while_pods_run_or_have_succeeded() -> None:
    assert attempt_end(failed(pod(0), ended(1, 0)), NOON, complete=True) is None


PEER_LOST, PREEMPTED, ERROR, CRASH = (ended(0, code, report(code)) for code in (75, 143, 1, 139))
DELETED = pod(0, "Failed", terminating=True)
ABORT = ended(0, 139, report(139, type="SIGABRT"))
BY_ITSELF = {78: "ConfigError", 93: "NoRestart", 80: "CheckpointUnusable", 79: "StorageFull", 77: "NumericGuard"}


@pytest.mark.parametrize(
    ("first", "second", "class_"),
    [
        (PEER_LOST, ERROR, "AppError"),
        (PEER_LOST, PREEMPTED, "Preempted"),
        (PEER_LOST, DELETED, "Disrupted"),
        (PREEMPTED, DELETED, "Disrupted"),
        (DELETED, ERROR, "Disrupted"),
        (DELETED, ABORT, "Disrupted"),
        (DELETED, CRASH, "Disrupted"),
        (DELETED, ended(0, 137, reason="OOMKilled"), "Disrupted"),
        (DELETED, ended(0, 78, report(78)), "ConfigError"),
        (PREEMPTED, ERROR, "AppError"),
        (ERROR, CRASH, "Crash"),
        (ERROR, ABORT, "AppError"),
        (PREEMPTED, ABORT, "Crash"),
        *((ended(0, code, report(code)), ERROR, class_) for code, class_ in BY_ITSELF.items()),
        *((ended(0, code, report(code)), CRASH, class_) for code, class_ in BY_ITSELF.items()),
        (ERROR, ended(0, 137, reason="OOMKilled"), "OOM"),
        (PEER_LOST, PEER_LOST, "PeerLost"),
    ],
)
def test_of_two_the_one_that_explains_the_other_is_the_cause(first: PodView, second: PodView, class_: str) -> None:
    for one, other in ((first, second), (second, first)):
        pods = (replace(one, node_index=0, name="a"), replace(other, node_index=1, name="b"))
        assert cause(*pods).class_ == class_


def test_of_two_alike_the_one_with_the_lower_index_is_the_cause() -> None:
    assert cause(ended(1, 1, report(1)), ended(0, 1, report(1))).pod == "job-1-0"


@pytest.mark.parametrize("sign", ["terminating", "disrupted"])
def test_of_pods_that_stop_together_the_one_that_was_taken_away_is_the_cause(sign: str) -> None:
    stopped = report(143)
    assert cause(ended(0, 143, stopped), ended(1, 143, stopped, **{sign: True})).pod == "job-1-1"


@pytest.mark.parametrize("code", [75, 143])
def test_what_follows_from_something_else_waits_ten_seconds_for_it(code: int) -> None:
    view = replace(failed(ended(0, code, report(code)), pod(1)), ended={pod(0).uid: 3.0})
    decision = decide(view, later(3))
    assert (decision.status, decision.actions, decision.requeue_after) == (view.status, (), 7.0)
    decision = decide(replace(view, ended={pod(0).uid: 10.0}), later(10))
    assert (decision.status.attempt, decision.requeue_after) == (2, None)


def test_the_cause_on_another_pod_is_named_as_soon_as_it_is_known() -> None:
    told = report(1, rank=3, type="ValueError", message="bad label")
    view = failed(ended(0, 75, report(75), at=NOON), ended(1, 1, told, at=later(2)), pod(2))
    status = decide(view, later(3)).status
    assert status.failure is not None
    assert (status.attempt, status.failure.rank, status.failure.node) == (2, 3, "node-1")
    assert status.message == "rank 3 on node node-1: AppError: ValueError: bad label"


def test_when_all_have_ended_nothing_more_is_waited_for() -> None:
    view = failed(ended(0, 75, report(75)), ended(1, 75, report(75)))
    assert decide(view, later(1)).status.attempt == 2


@pytest.mark.parametrize("at", [None, later(-3600), later(3600)], ids=["not told", "an hour behind", "an hour ahead"])
def test_a_node_s_clock_makes_no_difference(at: Any) -> None:
    view = failed(ended(0, 75, report(75), at=at), pod(1))
    assert decide(view, NOON).requeue_after == 10.0
    assert decide(replace(view, ended={pod(0).uid: 10.0}), NOON).status.attempt == 2


@pytest.mark.parametrize("view", [ended(0, 1, report(1)), ended(0, 139), evicted(), ended(0, 137, reason="OOMKilled")])
def test_a_cause_by_itself_is_acted_on_at_once(view: PodView) -> None:
    assert decide(failed(view, pod(1)), NOON).status.attempt == 2


@pytest.mark.parametrize(
    ("failure", "words"),
    [
        (Failure("AppError", "ValueError", "bad label", rank=3, node="gpu-7"), "rank 3 on node gpu-7: AppError: "),
        (Failure("Crash", "SIGKILL", "killed by SIGKILL", rank=0), "rank 0: Crash: killed by SIGKILL"),
        (Failure("PeerLost", "PeerLost", "lost", pod="job-1-0"), "pod job-1-0: PeerLost: lost"),
    ],
)
def test_a_cause_is_described_in_a_line(failure: Failure, words: str) -> None:
    assert describe(failure).startswith(words)


def test_a_pod_of_another_attempt_is_no_cause() -> None:
    view = begun(pods=(ended(0, 1, attempt=2), pod(0)))
    assert attempt_end(view, NOON, complete=True) is None
