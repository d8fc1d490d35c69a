"""Which pods are in the way, or of no more use, and how they go."""

from __future__ import annotations

from collections.abc import Iterable

from pet_operator.domain.constants import POD
from pet_operator.domain.decision import Delete, Observed
from pet_operator.domain.policy.lost import lost
from pet_operator.domain.views import PodView


def removal(observed: Observed, pods: Iterable[PodView]) -> tuple[Delete, ...]:
    """These pods go, with the time that they have for it. Of one that is lost nobody would say that it has ended: the
    object goes by force. What may still run of it can write no checkpoint once a newer attempt is written."""
    deletions = []
    for pod in pods:
        if lost(observed, pod):
            if not (pod.terminating and pod.grace_seconds == 0):  # else it is held by somebody's finalizer
                deletions.append(Delete(POD, pod.name, pod.uid, force=True))
        elif not pod.terminating:
            deletions.append(Delete(POD, pod.name, pod.uid))
    return tuple(deletions)


def outdated(observed: Observed) -> tuple[Delete, ...]:
    """Pods of former attempts: those that still run, and all but the newest attempt's that are over, which are kept for
    their logs."""
    newest = observed.status.attempt
    former = (pod for pod in observed.pods if pod.attempt < newest)
    return removal(observed, (pod for pod in former if not pod.over or pod.attempt < newest - 1))


def finished(observed: Observed) -> tuple[Delete, ...]:
    """At the end of the job, by `spec.cleanPods`: its pods that still run, all of them, or none; and in any case those
    that have never run, which have no logs to keep."""
    which = observed.job.spec.clean_pods
    useless = (
        pod
        for pod in observed.pods
        if which == "All" or (which == "Running" and not pod.over) or pod.phase == "Pending"
    )
    return removal(observed, useless)


def predecessors(observed: Observed) -> tuple[Delete, ...]:
    """Pods of the deleted job of this name that nobody will ever say of that they have ended. The others are garbage
    collection's."""
    return removal(observed, (pod for pod in observed.predecessors if lost(observed, pod)))
