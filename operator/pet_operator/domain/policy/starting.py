"""What is awaited while not all ranks have made a step, in words: which pod, which launcher, which rank."""

from __future__ import annotations

from datetime import datetime, timedelta

from pet_operator.domain.constants import RESTART_REQUESTED
from pet_operator.domain.decision import Observed
from pet_operator.domain.launcher import LauncherStatus
from pet_operator.domain.policy import clean, volumes
from pet_operator.domain.reasons import CONTAINER_WAITING, REASONS
from pet_operator.domain.status import PENDING, STARTING, JobStatus
from pet_operator.domain.views import PodView

CREATING, FIRST_STEP, UNHEARD = "CreatingPods", "AwaitingFirstStep", "LauncherUnreachable"
# Where there is room new pods run within seconds, and then there is something to tell: each write has its price, most
# of all where many jobs begin together.
UNEVENTFUL_TIME = timedelta(seconds=15)
_NOT_YET = "does not run yet"
# New claims are bound within seconds where storage is made for them; until then the scheduler has no place for the pod.
BINDING_VOLUMES, BINDING_TIME = "BindingVolumes", timedelta(seconds=30)
# A volume that serves one node at a time; where that node is lost, the cluster waits before it takes it away by force.
DETACHING, _ATTACHED = "WaitingForVolumeDetach", "Multi-Attach error"
_UNBOUND = "unbound immediate PersistentVolumeClaims"
# A claim is there until no pod with a node uses it; such a pod does not start with it, nor does it end by itself.
_RELEASE = f", which pods that have a node keep it from: annotate the job with {RESTART_REQUESTED} to make them anew"

# What a rank does before its first step, the one that is behind first.
_DOING = {
    "rendezvous": "waits for the other launchers",
    "restarting": "is started again",
    "loading": "is being loaded",
    "init": "is being loaded",
    "data": "waits for its first batch",
    "step": "is in its first step",
}
_STAGES = list(_DOING)


def awaited(observed: Observed, status: JobStatus, now: datetime) -> tuple[str, str]:
    """Reason and message."""
    pending = [pod for pod in observed.current if pod.phase == "Pending"]
    if pending and (words := volumes.going(observed)):
        return volumes.TERMINATING, f"{pending[0].name} cannot start: {words}{_RELEASE}"
    for pod in observed.current:
        if pod.awaited is not None:
            return _pod(pod, status, now)
    ranks = observed.job.spec.world_size
    again = _again(status.current.restarts)
    words = f"waiting for the first step of {ranks} rank{'s' if ranks > 1 else ''}{again}"
    for pod in observed.current:
        if not pod.running and not pod.ended:
            return FIRST_STEP, f"{words}; the container of {pod.name} {_NOT_YET}"
    views = [(pod, observed.trainers.get(pod.uid)) for pod in observed.current if pod.running]
    for pod, view in views:
        if view is not None and view.silent:
            return UNHEARD, f"the launcher in {pod.name} does not answer {_remedy(observed, pod)}"
    unheard = any(view is None or view.status is None for _, view in views)
    said = status.phase == STARTING and status.reason in (FIRST_STEP, UNHEARD)
    if unheard and said and _NOT_YET not in status.message:
        return status.reason, status.message  # nothing new is known, least of all to an operator that has just begun
    behind = _behind(observed)
    return FIRST_STEP, f"{words}; {behind}" if behind else words


def misses_config(observed: Observed) -> bool:
    """Whether a pod cannot start because somebody has deleted the job's ConfigMap. Nobody watches those: it is the
    kubelet that tells."""
    words = [pod.awaited[1] for pod in observed.current if pod.awaited is not None]
    return any(f'configmap "{clean.config_map(observed.job)}" not found' in each for each in words)


def uneventful(observed: Observed, made: JobStatus, now: datetime) -> float | None:
    """For how many seconds more it need not be written that all pods of a beginning attempt are made: nothing has
    become of any yet. None: it is time. `made`: the status that says so."""
    status, began = observed.status, observed.status.current.started_at
    untouched = all(pod.phase == "Pending" for pod in observed.current) and made.reason == FIRST_STEP
    if (status.phase, status.reason) != (PENDING, CREATING) or began is None or not untouched:
        return None
    wait = began + UNEVENTFUL_TIME - now
    return wait.total_seconds() if timedelta() < wait <= UNEVENTFUL_TIME else None  # more is a clock that was set back


def binding_until(status: JobStatus) -> datetime | None:
    """Until when claims of this attempt may still be without a volume."""
    began = status.current.started_at
    return began + BINDING_TIME if began is not None else None


def _pod(pod: PodView, status: JobStatus, now: datetime) -> tuple[str, str]:
    reason, words = pod.awaited or ("", "")
    if _UNBOUND in words and (until := binding_until(status)) is not None and until - BINDING_TIME <= now < until:
        reason = BINDING_VOLUMES
    if _ATTACHED in words:
        reason = DETACHING
        words = f"waiting for volume detach: {words}; from a lost node it is taken by force after about six minutes"
    if reason not in REASONS:
        reason, words = CONTAINER_WAITING, f"{reason}: {words}" if words else reason
    return reason, f"{pod.name}: {words}" if words else f"{pod.name} cannot start yet"


def _remedy(observed: Observed, pod: PodView) -> str:
    host = f"[{pod.ip}]" if ":" in pod.ip else pod.ip
    why = "a NetworkPolicy may keep the operator from it, or its image has no Pet launcher"
    return f"at {host}:{observed.job.spec.metrics.port}; {why}"


def _behind(observed: Observed) -> str:
    """Of the ranks without a step the one that is behind; empty where no launcher tells."""
    views = [(pod, observed.trainers[pod.uid].status) for pod in observed.current if pod.uid in observed.trainers]
    ranks = observed.job.spec.ranks_per_node
    waiting = [(*each, pod.name) for pod, told in views if told is not None for each in _without_step(told, ranks)]
    if not waiting:
        return ""
    doing, rank, pod_name = min(waiting)
    who = f"rank {rank} in {pod_name}" if rank >= 0 else f"a rank in {pod_name}"
    return f"{who} {_DOING[_STAGES[doing]]}"


def _without_step(told: LauncherStatus, ranks: int) -> list[tuple[int, int]]:
    """The stage and the number of each rank of a node that has made none; of one that has not told its number, -1."""
    waiting = [(rank.section, rank.rank) for rank in told.ranks if rank.last_step_age_seconds is None]
    silent = [(told.state, None)] if len(told.ranks) < ranks else []
    return [
        (_STAGES.index(stage) if stage in _STAGES else _STAGES.index("loading"), -1 if rank is None else rank)
        for stage, rank in (*waiting, *silent)
    ]


def _again(restarts: int) -> str:
    times = "once" if restarts == 1 else f"{restarts} times"
    return f", started again in place {times} in this attempt" if restarts else ""
