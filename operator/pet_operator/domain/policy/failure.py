"""How an attempt ended, and through whom: the first failure, never a peer that merely lost its connection."""

from __future__ import annotations

from collections.abc import Set
from dataclasses import dataclass
from datetime import datetime, timedelta

from pet.config.job import PetTrainingJob
from pet.runfiles.exits import classify
from pet_operator.domain import names
from pet_operator.domain.decision import Observed
from pet_operator.domain.ends import CRASH, DISRUPTED, HANG, NODE_LOST, OUT_OF_MEMORY, PEER_LOST, PREEMPTED, reason_of
from pet_operator.domain.launcher import LauncherReport
from pet_operator.domain.policy import reports
from pet_operator.domain.policy.deadline import cannot_start
from pet_operator.domain.policy.hang import blamed
from pet_operator.domain.policy.lost import in_doubt, lost
from pet_operator.domain.reasons import ENDS
from pet_operator.domain.status import Failure
from pet_operator.domain.template import trainer_of
from pet_operator.domain.views import PodView

# From the most to the least telling. What is not named here is a cause by itself and goes before all of them.
_FOLLOWS = (DISRUPTED, PREEMPTED, PEER_LOST)
# What ranks suffer by what happens elsewhere.
_BY_OTHERS = (PEER_LOST, HANG)
# What a launcher says of ranks that were killed, whoever it was; the kubelet knows of the memory.
_KILLED = ("", CRASH)
# How long the pods that are left may take to tell what they saw.
ROOT_WAIT = timedelta(seconds=10)


@dataclass(frozen=True)
class AttemptEnd:
    """An attempt that cannot go on. For `wait` seconds a better cause may still be told; 0: none is to be expected.
    `doubt`: what is said of the node that is waited for, empty if it is another pod."""

    cause: Failure
    wait: float = 0.0
    doubt: str = ""


def attempt_end(observed: Observed, now: datetime, *, complete: bool) -> AttemptEnd | None:
    """None while the attempt may go on. `complete`: all its pods were made, so one that is absent is lost."""
    pods = observed.current
    failures = [_failure(pod, observed.job) for pod in pods if pod.ended and not pod.succeeded]
    failures += filter(None, (lost(observed, pod) for pod in pods if not pod.ended))
    if complete:
        failures += _absent(observed, pods)
    if not failures:
        never = cannot_start(observed, now)
        return AttemptEnd(never) if never else None
    return _named(observed, failures, now)


def _named(observed: Observed, failures: list[Failure], now: datetime) -> AttemptEnd:
    """With a node go the peers of its ranks: they lose them, or wait for them in vain."""
    if any(reason_of(failure) == NODE_LOST for failure in failures):
        failures = [failure for failure in failures if failure.class_ != HANG]
    if all(failure.class_ in _BY_OTHERS for failure in failures):
        failures = [*failures, *reports.under_way(observed)]
    pods = observed.current
    taken = {pod.name for pod in pods if pod.terminating or pod.disrupted}
    cause = min(failures, key=lambda failure: _rank(failure, taken))
    doubt = in_doubt(observed) if cause.class_ in _BY_OTHERS else None
    if cause.class_ == HANG:
        cause = blamed(observed, [failure for failure in failures if failure.class_ == HANG])
    if doubt is not None:
        return AttemptEnd(cause, *doubt)
    alive = any(not pod.ended for pod in pods)
    ends = [pod.exit.finished_at for pod in pods if pod.exit is not None and pod.exit.finished_at is not None]
    if not alive or _order(cause) <= _order_of(DISRUPTED) or not ends or abs(now - min(ends)) >= ROOT_WAIT:
        return AttemptEnd(cause)  # to be later by more than the wait is another clock
    return AttemptEnd(cause, (min(ends) + ROOT_WAIT - now).total_seconds())


def _failure(pod: PodView, job: PetTrainingJob) -> Failure:
    class_, type_, message = _account(pod, job)
    report = pod.report or LauncherReport()
    return Failure(
        class_=class_,
        type=type_,
        message=message,
        exit_code=pod.exit.code if pod.exit is not None else None,
        rank=report.rank,
        pod=pod.name,
        node_index=pod.node_index,
        node=pod.node,
        iteration=report.iteration,
        traceback=report.traceback,
    )


def _account(pod: PodView, job: PetTrainingJob) -> tuple[str, str, str]:
    """Class, type and message: by the launcher's report, else by what Kubernetes saw."""
    own = pod.report.class_ if pod.report is not None else ""
    if pod.exit is not None and pod.exit.reason == "OOMKilled" and own in _KILLED:
        return OUT_OF_MEMORY, "OOMKilled", f"the container ran out of memory ({_limit(job)})"
    if pod.report is not None and own:
        class_ = own if own in ENDS or pod.exit is None else classify(pod.exit.code).exit_class
        return class_, pod.report.type or own, pod.report.message
    if pod.disrupted or pod.terminating:
        return DISRUPTED, DISRUPTED, pod.message or "the pod was taken away"
    if pod.exit is None:
        return DISRUPTED, DISRUPTED, pod.message or "the pod ended before its container ran"
    kind = classify(pod.exit.code).exit_class
    return kind, pod.exit.reason or kind, f"the launcher ended with {pod.exit.code} and left no report"


def _limit(job: PetTrainingJob) -> str:
    resources = trainer_of(job.spec.template).get("resources") or {}
    memory = (resources.get("limits") or {}).get("memory")
    return f"its limit is {memory}" if memory else "it has no limit of its own: the node had no more"


def _absent(observed: Observed, pods: tuple[PodView, ...]) -> list[Failure]:
    present = {pod.node_index for pod in pods}
    job, attempt = observed.job, observed.status.attempt
    return [
        Failure(
            class_=DISRUPTED,
            type="PodDeleted",
            message="the pod is gone",
            pod=names.pod(job.name, attempt, index),
            node_index=index,
        )
        for index in range(job.spec.nodes)
        if index not in present
    ]


def _rank(failure: Failure, taken: Set[str]) -> tuple[int, bool, bool, bool, int]:
    """Causes go before what follows from them, deaths by signal before errors: a lost peer may surface as any error.
    Of pods that stop together the one on a lost node, or that was taken away, goes first: the others stop since it
    does."""
    crash = failure.class_ in (CRASH, OUT_OF_MEMORY)
    return _order(failure), not crash, failure.type != NODE_LOST, failure.pod not in taken, failure.node_index or 0


def _order(failure: Failure) -> int:
    return _order_of(failure.class_)


def _order_of(class_: str) -> int:
    return _FOLLOWS.index(class_) if class_ in _FOLLOWS else -1
