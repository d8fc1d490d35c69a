"""The operator's one decision: what to do for a job now, from what is seen of it.

Level-triggered: the same view gives the same answer however it came about, so a decision that was cut off in the middle
is simply made again.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from pet_operator.domain import manifests
from pet_operator.domain.conditions import conditions
from pet_operator.domain.decision import DELETE_REFUSED, Action, Decision, Observed
from pet_operator.domain.ends import SUSPEND, describe, reason_of
from pet_operator.domain.numbers import ended, staled
from pet_operator.domain.policy import (
    avoid,
    backoff,
    budget,
    clean,
    lost,
    predecessor,
    requests,
    restart,
    starting,
    takeover,
    volumes,
)
from pet_operator.domain.policy.accept import INVALID_CONFIG, accept, was_refused
from pet_operator.domain.policy.accounting import accounted
from pet_operator.domain.policy.attempts import begun, closed, last_words
from pet_operator.domain.policy.failure import AttemptEnd, attempt_end
from pet_operator.domain.policy.health import health
from pet_operator.domain.policy.onlooker import LOOK_AGAIN_SECONDS, onlooked
from pet_operator.domain.policy.progress import advance, throttled
from pet_operator.domain.policy.stop import SUSPEND_WORDS, Stop, saved_words, stop, stopped, stopping
from pet_operator.domain.policy.success import succeeded, success
from pet_operator.domain.policy.timers import next_timer
from pet_operator.domain.policy.ttl import expired
from pet_operator.domain.status import FAILED, MAKING, PENDING, RESTARTING, STARTING, SUSPENDED, JobStatus, Nodes
from pet_operator.domain.volumes import checkpoint_claim


def decide(observed: Observed, now: datetime) -> Decision:
    """What to do, and the whole status to write."""
    # 1. Nothing is done for another controller's job or one that goes, and nothing is concluded from half a view.
    if observed.job.spec.managed_by not in ("", manifests.CONTROLLER):
        return Decision(observed.status)
    if observed.deleting or not observed.synced:
        return _look_on(observed, now)
    # 2. What is over stays over, until its time to live has passed.
    if observed.over and requests.restart(observed) is None:
        return _decision(observed, observed.status, now, clean.finished(observed) + expired(observed, now))
    # 3. No attempt without a valid job that is wanted now, and none beside its deleted predecessor.
    if not observed.under_way:
        return _begin(observed, now)
    # 4. All ranks finished.
    if succeeded(observed):
        return _decision(observed, success(observed, now), now)
    # 5. An attempt that is not wanted any more saves and leaves.
    if why := stop(observed, now):
        return _stop(observed, why, now)
    # 6. An attempt that cannot go on ends, through its first failure.
    if end := attempt_end(observed, now, complete=observed.status.phase not in MAKING):
        return _end(observed, end, now)
    # 7. Its objects are made, once no pod of a former attempt is left.
    if observed.status.phase in MAKING:
        return _make(observed, now)
    # 8. It goes on.
    status, wait = throttled(observed.status, advance(observed, now), now)
    return _decision(observed, status, now, clean.outdated(observed) + _lacking(observed), wait)


def _look_on(observed: Observed, now: datetime) -> Decision:
    status, wait = throttled(observed.status, onlooked(observed, now), now)
    if not observed.synced:
        wait = min(LOOK_AGAIN_SECONDS, wait or LOOK_AGAIN_SECONDS)
    return Decision(status, (), wait) if status == observed.status else _decision(observed, status, now, wait=wait)


def _begin(observed: Observed, now: datetime) -> Decision:
    job, acceptance, old = observed.job, accept(observed), observed.status
    status = replace(old, script=observed.validation.script, world_size=job.spec.world_size)
    invalid = acceptance.reason == INVALID_CONFIG
    if job.spec.suspend and not (invalid and old.attempt == 0):
        words = f"{SUSPEND_WORDS}; {saved_words(old) if old.attempt else 'nothing has run yet'}"
        status = replace(status, phase=SUSPENDED, reason=SUSPEND, message=words, completion_time=None)
        return _decision(observed, status, now, clean.strays(observed))
    if invalid:
        words = f"{acceptance.message}; {restart.MEND}" if old.attempt else acceptance.message
        status = replace(status, phase=FAILED, reason=INVALID_CONFIG, message=words, completion_time=now)
        asked = requests.restart(observed) or old.restart_requested
        return _decision(observed, replace(status, restart_requested=asked), now)
    status = replace(status, phase=PENDING, reason=acceptance.reason, message=acceptance.message, completion_time=None)
    if acceptance.status != "True":
        return _decision(observed, status, now, clean.strays(observed))
    if waits := predecessor.predecessor(observed):
        status = replace(status, phase=STARTING, reason=predecessor.REASON, message=waits)
        return _decision(observed, status, now, clean.predecessors(observed))
    if old.attempt and requests.restart(observed) is not None:  # with everything that a new job has
        status = replace(status, failure=None, recent_restarts=(), restart_window=None, restarts=status.restarts + 1)
    elif job.spec.hash != old.spec_hash:  # what failed was another job
        status = replace(status, failure=None)
    kept = old.config_map or clean.config_map(job)  # until the attempt has its pods the one before it goes by
    status = replace(status, start_time=now, config_map=kept)
    return _decision(observed, begun(observed, _creating(observed, status), now), now)


def _stop(observed: Observed, why: Stop, now: datetime) -> Decision:
    if all(pod.over for pod in observed.pods):
        return _decision(observed, stopped(observed, why, now), now)
    status, deletions = stopping(observed, why, now)
    if observed.refused is not None and observed.refused.reason == DELETE_REFUSED:
        status = replace(status, reason=observed.refused.reason, message=observed.refused.message)
    return _decision(observed, status, now, deletions)


def _end(observed: Observed, end: AttemptEnd, now: datetime) -> Decision:
    old, spec, cause = observed.status, observed.job.spec, end.cause
    if end.wait:
        told = replace(staled(old), reason=reason_of(cause), message=f"{describe(cause)}; {end.doubt}")
        return _decision(observed, told if end.doubt else old, now, wait=end.wait)
    status = last_words(observed, now)
    in_vain = budget.told(observed, cause)
    result = restart.outcome(status, cause, restart.in_place(observed, spec.restart), in_vain, spec.restart, now)
    status = replace(
        closed(observed, status, now, reason_of(cause), cause),
        failure=cause,
        reason=result.reason,
        message=result.message,
        recent_restarts=result.recent,
        restart_window=result.window,
    )
    if not result.restart:
        status = replace(ended(status), phase=FAILED, completion_time=now, nodes=Nodes(spec.nodes, 0))
        return _decision(observed, status, now)
    status = begun(observed, replace(status, phase=RESTARTING, restarts=status.restarts + 1), now)
    return _decision(observed, replace(status, message=f"{status.message}{avoid.words(status)}"), now)


def _make(observed: Observed, now: datetime) -> Decision:
    """Make what is missing; all pods are there once the cache shows them."""
    status, job = observed.status, observed.job
    if former := clean.former(observed):
        status = replace(status, message=clean.awaiting(observed, status.message, former))
        return _decision(observed, status, now, clean.outdated(observed))
    message = clean.awaiting(observed, status.message, ())
    if wait := backoff.seconds_left(status, job.uid, now):
        return _decision(observed, replace(status, message=message), now, wait=wait)
    present = {pod.node_index for pod in observed.current}
    missing = [index for index in range(job.spec.nodes) if index not in present]
    if not missing:
        made = replace(advance(observed, now), config_map=clean.config_map(job))
        actions = (*_lacking(observed), *clean.former_config(observed))
        stale = message != status.message
        wait = None if actions or stale else starting.uneventful(observed, made, now)
        return _decision(observed, made if wait is None else status, now, actions, wait)
    if going := volumes.going(observed):
        return _decision(observed, replace(status, reason=volumes.TERMINATING, message=going), now)
    if observed.refused is not None:
        status = replace(status, reason=observed.refused.reason, message=observed.refused.message)
    elif was_refused(observed):
        status = _creating(observed, status)
    script, attempt = observed.validation.script, status.attempt
    left, avoided = restart.restarts_left(status, job.spec.restart), avoid.avoided(status)
    saved, uid = status.checkpoint is not None, takeover.granted(observed)
    pods = (
        manifests.pod(job, observed.site, script, attempt, index, left, avoided, saved=saved, takeover_uid=uid)
        for index in missing
    )
    return _decision(observed, status, now, (*_service(observed), *manifests.shared(job, script), *pods))


def _creating(observed: Observed, status: JobStatus) -> JobStatus:
    nodes = observed.job.spec.nodes
    return replace(status, reason=starting.CREATING, message=f"making {nodes} pod{'s' if nodes > 1 else ''}")


def _lacking(observed: Observed) -> tuple[Action, ...]:
    """What pods that are made need all the time, and somebody has deleted."""
    job, script = observed.job, observed.validation.script
    claim = manifests.claim(job, script) if checkpoint_claim(job) not in observed.claims else ()
    config = manifests.config_map(job, script) if starting.misses_config(observed) else ()
    return (*_service(observed), *claim, *config)


def _service(observed: Observed) -> tuple[Action, ...]:
    if observed.service is not None:
        return ()
    return (manifests.service(observed.job, observed.validation.script),)


def _decision(
    observed: Observed,
    status: JobStatus,
    now: datetime,
    actions: tuple[Action, ...] = (),
    wait: float | None = None,
) -> Decision:
    """With everything in the status that follows from the rest of it, and the next deadline."""
    if not status.finished:
        status = replace(status, message=lost.with_doubts(observed, status.message))
    stated = conditions(status, accept(observed), health(observed, status), observed.generation, now)
    status = replace(status, observed_generation=observed.generation, conditions=stated)
    if status != observed.status:  # the account alone is no news
        status = replace(status, accounting=accounted(observed, status, now))
    waits = [seconds for seconds in (wait, next_timer(observed, status, now)) if seconds is not None]
    return Decision(status, actions, min(waits, default=None))
