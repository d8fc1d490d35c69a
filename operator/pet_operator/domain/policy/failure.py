"""How an attempt ended, and through whom: the first failure, never a peer that merely lost its connection."""

from __future__ import annotations

from collections.abc import Set
from dataclasses import dataclass
from datetime import datetime, timedelta

from pet.runfiles.exits import ExitCode, classify
from pet_operator.domain import names
from pet_operator.domain.decision import Observed
from pet_operator.domain.launcher import LauncherReport
from pet_operator.domain.policy.deadline import cannot_start
from pet_operator.domain.status import Failure
from pet_operator.domain.views import PodView

DISRUPTED = "Disrupted"
OUT_OF_MEMORY = "OOM"
# From the most to the least telling. What is not named here is a cause by itself and goes before all of them.
_FOLLOWS = (DISRUPTED, ExitCode.PREEMPTED.exit_class, ExitCode.PEER_LOST.exit_class)
# How long the pods that are left may take to tell what they saw.
ROOT_WAIT = timedelta(seconds=10)


@dataclass(frozen=True)
class AttemptEnd:
    """An attempt that cannot go on. `settled`: no better cause is to be expected; else wait, but not for ever."""

    cause: Failure
    settled: bool
    since: datetime | None


def attempt_end(observed: Observed, now: datetime, *, complete: bool) -> AttemptEnd | None:
    """None while the attempt may go on. `complete`: all its pods were made, so one that is absent is lost."""
    pods = observed.current
    failures = [_failure(pod) for pod in pods if pod.ended and not pod.succeeded]
    if complete:
        failures += _lost(observed, pods)
    if not failures:
        never = cannot_start(observed, now)
        return AttemptEnd(never, settled=True, since=None) if never else None
    taken = {pod.name for pod in pods if pod.terminating or pod.disrupted}
    cause = min(failures, key=lambda failure: _rank(failure, taken))
    alive = any(not pod.ended for pod in pods)
    ends = [pod.exit.finished_at for pod in pods if pod.exit is not None and pod.exit.finished_at is not None]
    return AttemptEnd(cause, not alive or _order(cause) <= _order_of(DISRUPTED), min(ends, default=None))


def is_disruption(failure: Failure) -> bool:
    """Whether nobody is to blame: such an end costs no restart."""
    return failure.class_ in (DISRUPTED, ExitCode.PREEMPTED.exit_class)


def describe(failure: Failure) -> str:
    """For example `rank 3 on node gpu-7: AppError: ValueError: bad label`."""
    who = f"rank {failure.rank}" if failure.rank is not None else f"pod {failure.pod}"
    where = f" on node {failure.node}" if failure.node else ""
    kind = "" if failure.type in ("", failure.class_) or failure.type in failure.message else f"{failure.type}: "
    return f"{who}{where}: {failure.class_}: {kind}{failure.message}"


def _failure(pod: PodView) -> Failure:
    class_, type_, message = _account(pod)
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


def _account(pod: PodView) -> tuple[str, str, str]:
    """Class, type and message: by the launcher's report, else by what Kubernetes saw."""
    if pod.report is not None and pod.report.class_:
        return pod.report.class_, pod.report.type, pod.report.message
    if pod.exit is not None and pod.exit.reason == "OOMKilled":
        return OUT_OF_MEMORY, "OOMKilled", "the container ran out of memory"
    if pod.disrupted or pod.terminating:
        return DISRUPTED, DISRUPTED, pod.message or "the pod was taken away"
    if pod.exit is None:
        return DISRUPTED, DISRUPTED, pod.message or "the pod ended before its container ran"
    kind = classify(pod.exit.code).exit_class
    return kind, pod.exit.reason or kind, f"the launcher ended with {pod.exit.code} and left no report"


def _lost(observed: Observed, pods: tuple[PodView, ...]) -> list[Failure]:
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


def _rank(failure: Failure, taken: Set[str]) -> tuple[int, bool, bool, int]:
    """Causes go before what follows from them, deaths by signal before errors: a lost peer may surface as any error.
    Of pods that stop together the one that was taken away goes first: the others stop since it does."""
    crash = failure.class_ in (ExitCode.CRASH.exit_class, OUT_OF_MEMORY)
    return _order(failure), not crash, failure.pod not in taken, failure.node_index or 0


def _order(failure: Failure) -> int:
    return _order_of(failure.class_)


def _order_of(class_: str) -> int:
    return _FOLLOWS.index(class_) if class_ in _FOLLOWS else -1
