"""How an attempt ended, and through whom: the first failure, never a peer that merely lost its connection."""

from __future__ import annotations

from collections.abc import Set
from dataclasses import dataclass, replace
from datetime import datetime
from enum import IntEnum

from pet.runfiles.exits import classify
from pet_operator.domain import names
from pet_operator.domain.constants import LABEL_JOB_UID
from pet_operator.domain.decision import Observed
from pet_operator.domain.ends import (
    APP_ERROR,
    CHECKPOINT_UNUSABLE,
    CONFIG_ERROR,
    CRASH,
    DISRUPTED,
    FINISHED,
    HANG,
    NO_RESTART,
    NODE_LOST,
    NUMERIC_GUARD,
    OUT_OF_MEMORY,
    PEER_LOST,
    PREEMPTED,
    STORAGE_FULL,
    failure_of,
    reason_of,
)
from pet_operator.domain.policy import reports
from pet_operator.domain.policy.accept import was_refused
from pet_operator.domain.policy.deadline import cannot_start
from pet_operator.domain.policy.hang import blamed
from pet_operator.domain.policy.lost import in_doubt, lost
from pet_operator.domain.reasons import ENDS
from pet_operator.domain.status import Failure
from pet_operator.domain.views import PodView


class _Rank(IntEnum):
    """How much an end tells, the most first. With a pod that is taken away go its peers: by an abort, or by whatever
    error a lost connection surfaces as. No error of a peer brings about a death by any other signal."""

    ALONE = 0
    DISRUPTION = 1
    DEATH = 2
    ERROR = 3
    ABORT = 4
    PREEMPTION = 5
    PEER_LOST = 6


_RANKS = {
    DISRUPTED: _Rank.DISRUPTION,
    OUT_OF_MEMORY: _Rank.DEATH,
    PREEMPTED: _Rank.PREEMPTION,
    PEER_LOST: _Rank.PEER_LOST,
}
# Nothing that happens to other ranks brings these about.
_BY_ITSELF = (CONFIG_ERROR, NO_RESTART, CHECKPOINT_UNUSABLE, STORAGE_FULL, NUMERIC_GUARD)
# What ranks suffer by what happens elsewhere.
_BY_OTHERS = (PEER_LOST, HANG)
# How a communication library ends its own process when a peer is gone.
_ABORTED = "SIGABRT"
# What a launcher says of ranks that were killed, whoever it was; the kubelet knows of the memory.
_KILLED = ("", CRASH)
# The type and the message of a pod that nobody has seen the end of.
_GONE = "PodDeleted", "the pod is gone"
_UNWATCHED = "LabelRemoved", f"its label {LABEL_JOB_UID} was removed, without which nothing is heard of the pod"
# How long the pods that are left may take to tell what they saw.
ROOT_WAIT = 10.0


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
    failures = [_failure(pod) for pod in pods if pod.ended and not pod.succeeded]
    failures += [failure_of(pod, DISRUPTED, *_UNWATCHED) for pod in pods if pod.unwatched and not pod.ended]
    failures += filter(None, (lost(observed, pod) for pod in pods if not pod.ended))
    if complete:
        failures += _absent(observed, pods)
    if not failures:
        never = cannot_start(observed, now)
        return AttemptEnd(never) if never else None
    return _named(observed, failures, complete)


def _named(observed: Observed, failures: list[Failure], complete: bool) -> AttemptEnd:
    """With a node go the peers of its ranks: they lose them, or wait for them in vain."""
    if any(reason_of(failure) == NODE_LOST for failure in failures):
        failures = [failure for failure in failures if failure.class_ != HANG]
    if all(failure.class_ in _BY_OTHERS for failure in failures):
        failures = [*failures, *reports.under_way(observed), *_never_made(observed, complete)]
    pods = observed.current
    taken = {pod.name for pod in pods if pod.terminating or pod.disrupted}
    cause = min(failures, key=lambda failure: _place(failure, taken))
    doubt = in_doubt(observed) if _rank(cause) > _Rank.DISRUPTION else None
    if cause.class_ == HANG:
        cause = blamed(observed, [failure for failure in failures if failure.class_ == HANG])
    if doubt is not None:
        return AttemptEnd(cause, *doubt)
    if all(pod.ended for pod in pods) or _rank(cause) < _Rank.PREEMPTION:
        return AttemptEnd(cause)
    heard = max((observed.ended.get(pod.uid, 0.0) for pod in pods if pod.exit is not None), default=ROOT_WAIT)
    return AttemptEnd(cause, max(0.0, ROOT_WAIT - heard))


def _failure(pod: PodView) -> Failure:
    return failure_of(pod, *_account(pod), _code(pod), pod.report)


def _code(pod: PodView) -> int | None:
    if pod.exit is not None:
        return pod.exit.code
    return pod.failed_init[1] if pod.failed_init is not None else None


def _account(pod: PodView) -> tuple[str, str, str]:
    """Class, type and message: by the launcher's report, else by what Kubernetes saw."""
    own = pod.report.class_ if pod.report is not None else ""
    if finished := own == FINISHED:  # what followed was no end of the ranks
        own = ""
    if pod.exit is not None and pod.exit.reason == "OOMKilled" and own in _KILLED:
        return OUT_OF_MEMORY, "OOMKilled", f"the container ran out of memory ({_limit(pod.exit.memory_limit)})"
    if pod.report is not None and own:
        class_ = own if own in ENDS or pod.exit is None else classify(pod.exit.code).exit_class
        return class_, pod.report.type or own, pod.report.message
    if pod.gone and pod.exit is None:
        return DISRUPTED, *_GONE
    if pod.disrupted or pod.terminating:
        return DISRUPTED, DISRUPTED, pod.message or "the pod was taken away"
    if pod.exit is None and pod.failed_init is not None:
        return APP_ERROR, "InitContainer", pod.failed_init[0]
    if pod.exit is None:
        return DISRUPTED, DISRUPTED, pod.message or "the pod ended before its container ran"
    kind = classify(pod.exit.code).exit_class
    if kind == PREEMPTED:  # a launcher that was asked to stop, and saved, says so
        kind = CRASH
    told = "after its ranks had finished" if finished else "and left no report"
    return kind, pod.exit.reason or kind, f"the launcher ended with {pod.exit.code} {told}"


def _limit(memory: str) -> str:
    return f"its limit is {memory}" if memory else "it has no limit of its own: the node had no more"


def _never_made(observed: Observed, complete: bool) -> list[Failure]:
    """The first pod of those that are not there: the API server would not have it, a quota's fault for example, or it
    went while no operator watched. Those that were made have waited for it."""
    if complete:
        return []
    absent, refusal = _absent(observed, observed.current)[:1], was_refused(observed)
    if refusal is None:
        return absent
    return [replace(failure, type=refusal.reason, message=refusal.message) for failure in absent]


def _absent(observed: Observed, pods: tuple[PodView, ...]) -> list[Failure]:
    present = {pod.node_index for pod in pods}
    job, attempt = observed.job, observed.status.attempt
    return [
        Failure(
            class_=DISRUPTED,
            type=_GONE[0],
            message=_GONE[1],
            pod=names.pod(job.name, attempt, index),
            node_index=index,
        )
        for index in range(job.spec.nodes)
        if index not in present
    ]


def _place(failure: Failure, taken: Set[str]) -> tuple[_Rank, bool, bool, int]:
    """The lowest is the cause. Of pods that stop together it is the one on a lost node, or that was taken away: the
    others stop since it does."""
    return _rank(failure), failure.type != NODE_LOST, failure.pod not in taken, failure.node_index or 0


def _rank(failure: Failure) -> _Rank:
    if failure.class_ in _BY_ITSELF:
        return _Rank.ALONE
    if failure.class_ in _RANKS:
        return _RANKS[failure.class_]
    if failure.class_ == CRASH:
        return _Rank.ABORT if failure.type == _ABORTED else _Rank.DEATH
    return _Rank.ERROR
