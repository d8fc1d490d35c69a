"""Pods that nobody answers for any more, how they go, and where the next ones are better not placed."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from harness.observing import SERVICE, begun, ended, later, pod, report, running, seen, stands
from harness.timeless import NOON

from pet_operator.domain.constants import POD
from pet_operator.domain.decide import decide
from pet_operator.domain.decision import Create, Delete, Observed, Validation
from pet_operator.domain.events import Event, transitions
from pet_operator.domain.policy.avoid import avoided
from pet_operator.domain.status import AttemptRecord, JobStatus
from pet_operator.domain.views import PodView, UnreadyNode

SAYS = "Kubelet stopped posting node status."
WORDS = f"pod job-1-1 on node node-1: Disrupted: NodeLost: the node has not been ready for 30 s ({SAYS})"
PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"


def unready(seconds: float, index: int = 1) -> dict[str, UnreadyNode]:
    return {f"node-{index}": UnreadyNode(message=SAYS, seconds=seconds)}


def leaving(index: int, **changes: Any) -> PodView:
    return pod(index, terminating=True, grace_seconds=120, **changes)


def test_a_pod_is_lost_with_its_node_after_thirty_seconds_and_no_sooner() -> None:
    view = running(nodes=2)
    decision = decide(replace(view, unready=unready(12)), NOON)
    assert (decision.status.attempt, decision.actions, decision.requeue_after) == (1, (), 18.0)
    decision = decide(replace(view, unready=unready(30)), NOON)
    assert decision.actions == (), "the attempt is written before anything is deleted"
    assert stands(decision.status) == ("Restarting", "NodeLost", f"{WORDS}; avoiding node node-1")
    status = decision.status
    assert (status.attempt, status.recent_restarts) == (2, ())
    cause = status.failure
    assert cause is not None
    assert (cause.class_, cause.type, cause.pod, cause.node) == ("Disrupted", "NodeLost", "job-1-1", "node-1")
    assert (status.attempts[0].reason, status.attempts[0].node) == ("NodeLost", "node-1")
    told = transitions(view.status, status, Validation())
    assert told == (Event("Restarting", f"attempt 2 follows, since {WORDS}; avoiding node node-1", warning=True),)


def test_then_it_goes_by_force_and_the_others_with_their_grace() -> None:
    view = replace(running(nodes=2), unready=unready(30))
    view = seen(view, decide(view, NOON))
    assert decide(view, NOON).actions == (
        Delete(POD, "job-1-0", pod(0).uid),
        Delete(POD, "job-1-1", pod(1).uid, force=True),
    )
    asked = replace(view, pods=(leaving(0), leaving(1)), leaving={pod(0).uid: 0.0, pod(1).uid: 0.0})
    decision = decide(asked, NOON)
    assert decision.actions == (Delete(POD, "job-1-1", pod(1).uid, force=True),)
    assert decision.requeue_after == 150.0
    held = replace(asked, pods=(leaving(0), pod(1, terminating=True, grace_seconds=0)))
    assert decide(held, NOON).actions == (), "a finalizer of somebody else's keeps it"


def test_another_operator_finds_the_lost_pod_of_the_former_attempt() -> None:
    """It begins to count anew, and does not make the next attempt before."""
    view = replace(running(nodes=2), unready=unready(30))
    view = replace(seen(view, decide(view, NOON)), pods=(leaving(1),), unready=unready(0), leaving={pod(1).uid: 0.0})
    decision = decide(view, NOON)
    assert (decision.actions, decision.requeue_after) == ((), 30.0)
    decision = decide(replace(view, unready=unready(30)), later(30))
    assert decision.actions == (Delete(POD, "job-1-1", pod(1).uid, force=True),)


def test_without_nodes_to_watch_a_pod_is_lost_thirty_seconds_after_its_grace() -> None:
    view = replace(running(nodes=2), pods=(pod(0), leaving(1)))
    decision = decide(replace(view, leaving={pod(1).uid: 149.0}), NOON)
    assert (decision.status.attempt, decision.requeue_after) == (1, 1.0)
    decision = decide(replace(view, leaving={pod(1).uid: 150.0}), NOON)
    words = "the node has not ended the pod 30 s after its grace of 120 s"
    assert decision.status.failure is not None
    assert (decision.status.reason, decision.status.failure.message) == ("NodeLost", words)


@pytest.mark.parametrize("there", [ended(1, 0), pod(1, "Pending", node="")], ids=["over", "without a node"])
def test_what_is_over_or_nowhere_is_not_lost(there: PodView) -> None:
    view = replace(running(nodes=2), pods=(pod(0), there), unready=unready(100))
    assert decide(view, NOON).status.attempt == 1


def test_a_lost_node_explains_peers_that_were_lost() -> None:
    view = replace(running(nodes=2), pods=(ended(0, 75, report(75)), pod(1)), unready=unready(30))
    assert decide(view, NOON).status.reason == "NodeLost"


@pytest.mark.parametrize(("code", "kind"), [(75, "PeerLost"), (76, "Hang")])
def test_a_lost_peer_is_not_blamed_while_its_node_is_in_doubt(code: int, kind: str) -> None:
    """A node's peers miss it before anybody knows that it is lost."""
    view = replace(running(nodes=2), pods=(ended(0, code, report(code)), pod(1)), unready=unready(12))
    decision = decide(view, later(15))  # longer after the end than other pods are waited for
    assert (decision.status.attempt, decision.actions, decision.requeue_after) == (1, (), 18.0)
    told = f"pod job-1-0 on node node-0: {kind}: words; node node-1 of job-1-1 is not ready ({SAYS})"
    assert stands(decision.status) == ("Running", kind, told)
    assert decision.status.progress is not None
    assert decision.status.progress.stale
    waiting = seen(view, decision)
    assert decide(waiting, later(15)).status == waiting.status

    lost = decide(replace(waiting, unready=unready(30)), later(33)).status
    assert (lost.attempt, lost.reason, lost.attempts[0].node) == (2, "NodeLost", "node-1")
    assert lost.recent_restarts == ()
    back = decide(replace(waiting, unready={}, ended={pod(0).uid: 33.0}), later(33)).status
    assert (back.attempt, back.reason, back.attempts[0].node) == (2, kind, "node-0")


def test_what_no_peer_brings_about_does_not_wait_for_a_node_in_doubt() -> None:
    view = replace(running(nodes=2), pods=(ended(0, 78, report(78)), pod(1)), unready=unready(12))
    assert decide(view, NOON).status.phase == "Failed"


@pytest.mark.parametrize("end", [report(1, message="Connection reset"), report(139, type="SIGABRT")])
def test_a_lost_peer_may_surface_as_any_error(end: Any) -> None:
    view = replace(running(nodes=2), pods=(ended(0, end["exitCode"], end), pod(1)), unready=unready(12))
    assert decide(view, NOON).status.attempt == 1
    status = decide(replace(view, unready=unready(30)), NOON).status
    assert (status.attempt, status.reason, status.recent_restarts) == (2, "NodeLost", ())


def test_nor_does_a_lost_peer_for_the_node_of_a_pod_that_has_ended() -> None:
    view = replace(running(nodes=2), pods=(ended(0, 75, report(75)), ended(1, 75, report(75))), unready=unready(12))
    assert decide(view, NOON).status.reason == "PeerLost"


def test_a_hang_that_calls_itself_a_lost_node_is_a_hang() -> None:
    view = replace(running(nodes=2), pods=(ended(0, 76, report(76, type="NodeLost")), ended(1, 76, report(76))))
    assert decide(view, NOON).status.reason == "Hang"


def test_a_suspension_does_not_wait_for_a_lost_node() -> None:
    view = running(nodes=2)
    view = replace(view, job=running(nodes=2, spec={"suspend": False}).job, unready=unready(30))
    view = replace(view, job=replace(view.job, spec=replace(view.job.spec, suspend=True)))
    assert Delete(POD, "job-1-1", pod(1).uid, force=True) in decide(view, NOON).actions


def test_a_job_does_not_wait_for_a_predecessor_on_a_lost_node() -> None:
    former = pod(1, job_uid="its-predecessor", terminating=True, grace_seconds=120)
    view = begun(predecessors=(former,), service=SERVICE)
    view = replace(view, status=JobStatus())
    assert decide(view, NOON).actions == ()
    assert decide(replace(view, unready=unready(30)), NOON).actions == (Delete(POD, "job-1-1", former.uid, force=True),)


TOGETHER = "; most nodes of the cluster are not ready, so that none counts as lost before they are again"


def test_why_nothing_is_done_about_nodes_that_are_cut_off_together_is_said_while_they_are() -> None:
    view = running(nodes=2)
    away = replace(view, unready=unready(0), cut_off=True)
    decision = decide(away, NOON)
    assert (decision.actions, decision.status.attempt, decision.status.phase) == ((), 1, "Running")
    assert decision.status.message == f"{view.status.message}{TOGETHER}"
    assert transitions(view.status, decision.status, Validation()) == ()
    waiting = seen(away, decision)
    assert decide(waiting, later(1)).status == waiting.status
    assert decide(replace(waiting, unready={}, cut_off=False), later(1)).status.message == view.status.message


def test_nothing_is_said_of_them_to_a_job_that_has_no_pod_there() -> None:
    view = running(nodes=2)
    there = replace(view, unready=unready(0, 7), cut_off=True)
    assert decide(there, NOON).status == view.status


def test_no_peer_is_blamed_while_nodes_are_cut_off_together() -> None:
    view = replace(running(nodes=2), pods=(ended(0, 75, report(75)), pod(1)), unready=unready(0), cut_off=True)
    decision = decide(replace(view, ended={pod(0).uid: 999.0}), later(999))
    assert (decision.status.attempt, decision.requeue_after) == (1, 30.0)
    assert decision.status.message.endswith(f"node node-1 of job-1-1 is not ready ({SAYS}){TOGETHER}")


LOST, CRASH, OOM = (AttemptRecord(reason=reason, node="n1") for reason in ("NodeLost", "Crash", "OOM"))
HANG = AttemptRecord(reason="Hang", node="n2")
ERROR = AttemptRecord(reason="AppError", node="n1")


@pytest.mark.parametrize(
    ("ends", "nodes"),
    [
        ((), ()),
        ((LOST,), ("n1",)),
        ((LOST, ERROR), ()),
        ((CRASH,), ()),
        ((CRASH, ERROR, CRASH), ("n1",)),
        ((CRASH, OOM, ERROR), ("n1",)),
        ((CRASH, HANG), ()),
        ((HANG, HANG), ("n2",)),
        ((HANG, HANG, LOST), ("n1", "n2")),
        ((ERROR, ERROR), ()),
        ((replace(LOST, node=""),), ()),
    ],
)
def test_nodes_are_avoided_that_were_lost_or_failed_twice(
    ends: tuple[AttemptRecord, ...], nodes: tuple[str, ...]
) -> None:
    assert avoided(JobStatus(attempts=(*ends, AttemptRecord()))) == nodes


def next_pod(view: Observed) -> dict[str, Any]:
    """The spec of the pod that follows on the loss of node-0."""
    attempts = (replace(LOST, node="node-0", started_at=NOON), AttemptRecord())
    status = replace(view.status, attempts=attempts, attempt=2, phase="Restarting")
    actions = decide(replace(view, status=status, pods=()), later(60)).actions
    (made,) = [action for action in actions if isinstance(action, Create) and action.kind is POD]
    spec: dict[str, Any] = made.manifest["spec"]
    return spec


ELSEWHERE = {
    "weight": 100,
    "preference": {"matchExpressions": [{"key": "kubernetes.io/hostname", "operator": "NotIn", "values": ["node-0"]}]},
}


def test_the_next_pods_would_rather_be_elsewhere() -> None:
    assert next_pod(running())["affinity"] == {"nodeAffinity": {PREFERRED: [ELSEWHERE]}}


def test_a_wish_of_the_user_s_stays_beside_it() -> None:
    theirs = {"weight": 1, "preference": {"matchExpressions": [{"key": "zone", "operator": "Exists"}]}}
    required = {"nodeSelectorTerms": [{"matchExpressions": [{"key": "gpu", "operator": "Exists"}]}]}
    name = "requiredDuringSchedulingIgnoredDuringExecution"
    affinity = {"podAffinity": {}, "nodeAffinity": {PREFERRED: [theirs], name: required}}
    spec = next_pod(running(spec={"template": {"spec": {"affinity": affinity}}}))
    assert spec["affinity"] == {"podAffinity": {}, "nodeAffinity": {PREFERRED: [theirs, ELSEWHERE], name: required}}


def test_without_a_reason_pods_have_no_wish() -> None:
    view = begun()
    made = [action for action in decide(view, NOON).actions if isinstance(action, Create) and action.kind is POD]
    assert "affinity" not in made[0].manifest["spec"]
