"""Which pods are in the way, or of no more use."""

from __future__ import annotations

from collections.abc import Iterable

from pet_operator.domain.constants import POD
from pet_operator.domain.decision import Delete, Observed
from pet_operator.domain.views import PodView


def outdated(observed: Observed) -> tuple[Delete, ...]:
    """Pods of former attempts: those that still run, and all but the newest attempt's that are over, which are kept for
    their logs."""
    newest = observed.status.attempt
    return _delete(pod for pod in observed.pods if pod.attempt < newest and (not pod.over or pod.attempt < newest - 1))


def finished(observed: Observed) -> tuple[Delete, ...]:
    """At the end of the job, by `spec.cleanPods`: its pods that still run, all of them, or none; and in any case those
    that have never run, which have no logs to keep."""
    which = observed.job.spec.clean_pods
    return _delete(
        pod
        for pod in observed.pods
        if which == "All" or (which == "Running" and not pod.over) or pod.phase == "Pending"
    )


def _delete(pods: Iterable[PodView]) -> tuple[Delete, ...]:
    return tuple(Delete(POD, pod.name, pod.uid) for pod in pods if not pod.terminating)
