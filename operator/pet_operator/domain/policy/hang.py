"""Which rank hangs: the one that all others wait for, over all pods of an attempt. The launchers' watchdogs end a hang;
only the operator, which hears all of them, can name it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from pet.runfiles.place import Place, place
from pet_operator.domain.codec import write_time
from pet_operator.domain.decision import Observed
from pet_operator.domain.launcher import RankStatus
from pet_operator.domain.status import Failure, Hang

# The launchers' own limits: so many usual steps, but no less than so many seconds.
_STEPS, _SHORTEST_SECONDS = 5, 30.0
# Where no usual duration is told: of a save, an evaluation, and steps before the first numbers.
_UNKNOWN_SECONDS = 600.0
_NAMED, _KEPT = 8, 1024  # in words, and in the status


def hang(observed: Observed, step_seconds: float | None, now: datetime) -> Hang | None:
    """None while the ranks go on. To be asked only when all launchers have answered lately: a rank that is not
    heard of may be the one.

    Args:
        step_seconds: the usual duration of a step, None before it is told.
    """
    views = [(pod, observed.trainers[pod.uid].status) for pod in observed.current if pod.uid in observed.trainers]
    ranks = [(pod, rank) for pod, status in views if status is not None for rank in status.ranks]
    if not ranks or any(rank.last_step_age_seconds is None for _, rank in ranks):
        return None  # the first step is awaited, of which `starting` tells
    first = min(_place(rank) for _, rank in ranks)
    behind = [(pod, rank) for pod, rank in ranks if _place(rank) == first]
    pod, rank = behind[0]
    age = min(each.idle_seconds for _, each in behind)
    if rank.section == "done" or age < _limit(observed, rank.section, step_seconds):
        return None
    alone = all(other.uid == pod.uid for other, _ in behind)
    new = Hang(
        since=now.replace(microsecond=0) - timedelta(seconds=int(age)),
        ranks=tuple(sorted(each.rank for _, each in behind if each.rank is not None)[:_KEPT]),
        pod=pod.name if alone else "",
        node_index=pod.node_index if alone else None,
        node=pod.node if alone else "",
        iteration=rank.iteration,
        section=rank.section,
    )
    old = observed.status.hang
    return old if old is not None and replace(old, since=new.since) == new else new  # ages are told a little late


def words(hang: Hang) -> str:
    """Who is behind, where, and since when."""
    who = _names(hang.ranks)
    where = (f" in pod {hang.pod}" if hang.pod else "") + (f" on node {hang.node}" if hang.node else "")
    since = f" since {write_time(hang.since)}" if hang.since is not None else ""
    verb = "is" if len(hang.ranks) == 1 else "are"
    at = f"in {hang.section} after iteration {hang.iteration}"
    return f"no step{since}: {who}{where} {verb} the furthest behind, {at}"


def blamed(observed: Observed, failures: Sequence[Failure]) -> Failure:
    """Of the ends of one attempt, all by a hang, the one of the rank that was waited for: each launcher knows only its
    own ranks. Without having seen it, the one that came least far; among several alike no rank is named."""
    seen = observed.status.hang
    if seen is not None and seen.pod:
        own = next((failure for failure in failures if failure.pod == seen.pod), failures[0])
        rank = own.rank if own.rank in seen.ranks else seen.ranks[0] if seen.ranks else None
        place = replace(own, rank=rank, pod=seen.pod, node_index=seen.node_index, node=seen.node)
        return replace(place, iteration=seen.iteration, message=f"{words(seen)}; {own.message}")
    reached = min((failure.iteration for failure in failures if failure.iteration is not None), default=None)
    behind = [failure for failure in failures if failure.iteration == reached]
    if len(behind) == 1:
        return behind[0]
    alike = _names(tuple(failure.rank for failure in behind if failure.rank is not None))
    return replace(behind[0], rank=None, message=f"{alike} hung after the same iteration; {behind[0].message}")


def _place(rank: RankStatus) -> Place:
    return place(rank.iteration, rank.collective, rank.section)


def _limit(observed: Observed, section: str, step_seconds: float | None) -> float:
    given = observed.job.spec.deadlines.stall_seconds
    if given is not None:
        return given
    if section not in ("data", "step") or step_seconds is None:
        return _UNKNOWN_SECONDS
    return max(_SHORTEST_SECONDS, _STEPS * step_seconds)


def _names(ranks: Sequence[int]) -> str:
    shown = ", ".join(str(rank) for rank in ranks[:_NAMED])
    more = f" and {len(ranks) - _NAMED} more" if len(ranks) > _NAMED else ""
    return f"rank{'s' if len(ranks) != 1 else ''} {shown}{more}"
