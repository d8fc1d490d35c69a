"""Looks at the API server once more before what cannot be taken back: the end of an attempt, of its pods, or the making
of the next one's.

A watch may be cut without anybody's knowing for more than a minute, and it tells nothing of a pod whose label somebody
has removed, but for a deletion that was none.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterator

from pet_operator.domain import names
from pet_operator.domain.constants import POD
from pet_operator.domain.decision import Create, Decision, Delete, Observed
from pet_operator.domain.views import owner_of
from pet_operator.runtime.cache import Cache
from pet_operator.runtime.ports import Gateway, Key


class Witness:
    """`renew` lists what has not been heard of for long, as far as it concerns what was observed, and tells
    whether anything was."""

    def __init__(self, cache: Cache, gateway: Gateway, renew: Callable[[Observed], Awaitable[bool]]) -> None:
        self._cache = cache
        self._gateway = gateway
        self._renew = renew

    async def confirms(self, key: Key, observed: Observed, decision: Decision) -> bool:
        """Whether the decision may be carried out; if not, something is known by now that is to be decided on."""
        if _is_final(observed, decision):
            if await self._renew(observed):
                return False
            return not await self._ask(key, observed.job.uid, _unaccounted(observed, observed.status.attempt))
        if any(isinstance(action, Create) and action.kind is POD for action in decision.actions):
            return not await self._ask(key, observed.job.uid, _unaccounted(observed, observed.status.attempt - 1))
        return True

    async def ask(self, key: Key, observed: Observed) -> bool:
        """Look for the pods of which no watch tells any more. Whether there are any."""
        unwatched = {pod.name: pod.uid for pod in observed.pods if pod.unwatched and not pod.over}
        if not unwatched:
            return False
        there = await self._ask(key, observed.job.uid, unwatched)
        for name, uid in unwatched.items():
            if name not in there:
                self._cache.pods.drop(uid)
        return True

    async def _ask(self, key: Key, job_uid: str, pods: Collection[str]) -> Collection[str]:
        """Which of the job's pods with these names are there, and known by now."""
        found = await asyncio.gather(*(self._gateway.get(POD, Key(key.namespace, name)) for name in pods))
        ours = [pod for pod in found if pod is not None and owner_of(pod).get("uid") == job_uid]
        for pod in ours:
            self._cache.pods.restore(pod)
        return [pod["metadata"]["name"] for pod in ours]


def _is_final(observed: Observed, decision: Decision) -> bool:
    """Whether an attempt ends by it, or the end of pods begins."""
    ends = observed.under_way and (
        decision.status.attempt != observed.status.attempt or decision.status.current.ended_at is not None
    )
    return ends or any(isinstance(action, Delete) and action.kind is POD for action in decision.actions)


def _unaccounted(observed: Observed, attempt: int) -> list[str]:
    """The pods of an attempt that nobody has seen the end of, although they are not there as far as is known."""
    return list(_absent(observed, attempt)) if attempt > 0 else []


def _absent(observed: Observed, attempt: int) -> Iterator[str]:
    known = {pod.node_index: pod for pod in observed.pods if pod.attempt == attempt}
    for index in range(observed.job.spec.nodes):
        pod = known.get(index)
        if pod is None or (pod.gone and pod.exit is None):
            yield names.pod(observed.job.name, attempt, index)
