"""Failures that launchers tell of in `/status`, before their pods have ended, or although they go on."""

from __future__ import annotations

from collections.abc import Iterator

from pet_operator.domain.decision import Observed
from pet_operator.domain.ends import HANG, failure_of
from pet_operator.domain.launcher import RankFailure
from pet_operator.domain.policy.hang import blamed
from pet_operator.domain.reasons import ENDS
from pet_operator.domain.status import Failure
from pet_operator.domain.views import PodView


def under_way(observed: Observed) -> list[Failure]:
    """Of ranks that have failed and were not started again: their launchers still look what to do."""
    found = _told(observed)
    return [_of(pod, told) for pod, told, restarts in found if told.restart >= restarts and not pod.ended]


def hung_in_place(observed: Observed) -> Failure | None:
    """The hang after which ranks were started again in place last, through the rank that was waited for: there is no
    other account of it. None if that is not why."""
    past = [(pod, told) for pod, told, restarts in _told(observed) if told.restart < restarts]
    newest = max((told.restart for _, told in past), default=None)
    hangs = [_of(pod, told) for pod, told in past if told.restart == newest and told.class_ == HANG]
    return blamed(observed, hangs) if hangs else None


def _told(observed: Observed) -> Iterator[tuple[PodView, RankFailure, int]]:
    """Each failure with its pod, and how often that one's launcher has started its ranks again."""
    for pod in observed.current:
        view = observed.trainers.get(pod.uid)
        if view is not None and view.status is not None:
            yield from ((pod, told, view.status.restarts) for told in view.status.failures if told.class_ in ENDS)


def _of(pod: PodView, told: RankFailure) -> Failure:
    return failure_of(pod, told.class_, told.type or told.class_, told.message, told.exit_code, told)
