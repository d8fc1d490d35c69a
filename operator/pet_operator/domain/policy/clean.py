"""Which pods are in the way, or of no more use, and how they go."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from pet.config.job import PetTrainingJob
from pet_operator.domain import names
from pet_operator.domain.constants import CONFIG_MAP, POD
from pet_operator.domain.decision import Delete, Observed
from pet_operator.domain.policy.lost import lost
from pet_operator.domain.views import PodView

_AWAITING = "; waiting for the end of "


def removal(observed: Observed, pods: Iterable[PodView]) -> tuple[Delete, ...]:
    """These pods go, with the time that they have for it. Of one that is lost nobody would say that it has ended: the
    object goes by force. What may still run of it can write no checkpoint once a newer attempt is written."""
    deletions = []
    for pod in pods:
        if lost(observed, pod):
            if not held(observed, pod):
                deletions.append(Delete(POD, pod.name, pod.uid, force=True))
        elif not pod.terminating:
            deletions.append(Delete(POD, pod.name, pod.uid))
    return tuple(deletions)


def former(observed: Observed) -> list[PodView]:
    """Pods of former attempts that have not ended: there is one attempt at a time."""
    return [pod for pod in observed.pods if pod.attempt < observed.status.attempt and not pod.over]


def awaiting(observed: Observed, message: str, pods: Sequence[PodView]) -> str:
    """The message with the first of the pods whose end is awaited; without any once there is none."""
    said = message.partition(_AWAITING)[0]
    if not pods:
        return said
    first = min(pods, key=lambda pod: (pod.attempt, pod.node_index))
    return f"{said}{_AWAITING}{first.name}{', which a finalizer holds' if held(observed, first) else ''}"


def held(observed: Observed, pod: PodView) -> bool:
    """Whether nothing but somebody's finalizer keeps the object: it had no time for its end, and has not gone."""
    return pod.terminating and pod.grace_seconds == 0 and lost(observed, pod) is not None


def strays(observed: Observed) -> tuple[Delete, ...]:
    """Where the job is to have no pods those go that live: one that was made and not heard of before its attempt
    ended."""
    return removal(observed, (pod for pod in observed.pods if not pod.over))


def outdated(observed: Observed) -> tuple[Delete, ...]:
    """Pods of former attempts: those that still run, and all but the newest attempt's that are over, which are kept for
    their logs."""
    newest = observed.status.attempt
    former = (pod for pod in observed.pods if pod.attempt < newest)
    return removal(observed, (pod for pod in former if not pod.over or pod.attempt < newest - 1))


def config_map(job: PetTrainingJob) -> str:
    """The ConfigMap of the job's configuration, empty if none is embedded."""
    return names.config_map(job.name, job.spec.config) if job.spec.config is not None else ""


def former_config(observed: Observed) -> tuple[Delete, ...]:
    """The ConfigMap of the attempts before, once this one has its pods and another: no pod uses it any more."""
    old = observed.status.config_map
    return (Delete(CONFIG_MAP, old, ""),) if old not in ("", config_map(observed.job)) else ()


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
