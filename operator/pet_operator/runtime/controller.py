"""The loop around `decide`: take a job from the queue, look, decide, act, write the status, tell."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import replace

from pet_operator.domain.codec import encode
from pet_operator.domain.constants import JOB
from pet_operator.domain.decide import decide
from pet_operator.domain.decision import Create, Decision, Observed
from pet_operator.domain.events import transitions
from pet_operator.domain.policy import takeover
from pet_operator.domain.status import JobStatus
from pet_operator.runtime.cache import Cache
from pet_operator.runtime.executor import Executor, Refused
from pet_operator.runtime.ports import ApiError, Clock, Gateway, Key
from pet_operator.runtime.queue import KeyedQueue
from pet_operator.runtime.recorder import Recorder
from pet_operator.runtime.reflector import refill
from pet_operator.runtime.witness import Witness

_LOG = logging.getLogger(__name__)
# What may pass by itself, or by a user's hand; anything else is a fault of ours.
_PASSING = (Refused, ApiError, OSError, TimeoutError)


class Controller:
    """Reconciles jobs. `workers` run side by side, each with a job of its own."""

    def __init__(
        self,
        *,
        cache: Cache,
        queue: KeyedQueue,
        gateway: Gateway,
        executor: Executor,
        recorder: Recorder,
        clock: Clock,
        synced: Callable[[], bool],
        witness: Witness,
        observe: Callable[[str, float], None],
        wrote: Callable[[str, JobStatus, JobStatus], None] = lambda namespace, old, new: None,
    ) -> None:
        """`observe` is told how each look ended and how many seconds it took, `wrote` of each status that was written,
        with the namespace and the one before."""
        self._cache = cache
        self._queue = queue
        self._gateway = gateway
        self._executor = executor
        self._recorder = recorder
        self._clock = clock
        self._synced = synced
        self._witness = witness
        self._observe = observe
        self._wrote = wrote

    async def run(self, workers: int) -> None:
        """Work until cancelled."""
        async with asyncio.TaskGroup() as group:
            for _ in range(workers):
                group.create_task(self._work())

    async def _work(self) -> None:
        while True:
            key = await self._queue.get()
            try:
                await self.reconcile(key)
            finally:
                self._queue.done(key)

    async def reconcile(self, key: Key) -> None:
        """One look at one job. Nothing is raised: what failed is tried again later."""
        began = self._clock.monotonic()
        try:
            observed = self._cache.observe(key, synced=self._synced())
            if observed is None:
                self._cache.forget(key)
                self._queue.forget(key)
                return
            if await self._witness.ask(key, observed):
                observed = self._cache.observe(key, synced=self._synced()) or observed
            begun = await self._reconcile(key, observed)
            if begun is not None:  # in the same turn, so that many new jobs do not first wait for each other's status
                await self._reconcile(key, begun, newest=True)
        except Exception as error:
            self._observe(self._failed(key, error), self._clock.monotonic() - began)
            return
        self._observe("success", self._clock.monotonic() - began)
        self._queue.forget(key)

    async def _reconcile(self, key: Key, observed: Observed, *, newest: bool = False) -> Observed | None:
        """`newest`: this is what the API server has just answered. Returns the job as it is now if that is so, and if
        it has begun an attempt, of which nothing is made yet."""
        decision = decide(observed, self._clock.now())
        if decision.requeue_after is not None:  # whatever becomes of the requests
            self._queue.add_after(key, decision.requeue_after)
        makes = any(isinstance(action, Create) for action in decision.actions)
        if makes and not (newest or await self._is_newest(key, observed)):
            return None
        if makes and takeover.granted(observed) and not await self._is_gone(key):
            return None
        if not await self._witness.confirms(key, observed, decision):
            self._queue.add(key)
            return None
        try:
            await self._executor.execute(decision.actions, key, observed.job.uid)
        except ExceptionGroup as failed:
            # What the API server refuses belongs into the status, whatever else went wrong beside it.
            refusal = next((one.refusal for one in failed.exceptions if isinstance(one, Refused)), None)
            if refusal is not None:
                self._cache.refuse(key, observed.job.uid, refusal)
                observed = replace(observed, refused=refusal)
                await self._write(key, observed, decide(observed, self._clock.now()))
            raise
        if observed.refused is not None:  # nothing is now, or is asked for any more
            self._cache.refuse(key, observed.job.uid, None)
            decision = decide(replace(observed, refused=None), self._clock.now())
        version = await self._write(key, observed, decision)
        if decision.status.attempt == observed.status.attempt:
            return None
        begun = self._cache.observe(key, synced=self._synced())
        return begun if begun is not None and begun.resource_version == version else None

    async def _is_newest(self, key: Key, observed: Observed) -> bool:
        """Nothing is made for a job that is gone, of which kopf may never tell, or that is another by now. What the API
        server answers goes into the cache, which has the job looked at again."""
        job = await self._gateway.get(JOB, key)
        if job is None or job["metadata"]["uid"] != observed.job.uid:
            self._cache.lose(key, observed.job.uid)
        if job is not None:
            self._cache.jobs.put(job)
        return job is not None and job["metadata"]["resourceVersion"] == observed.resource_version

    async def _is_gone(self, key: Key) -> bool:
        """A job whose folder another takes over must not be one that we have only not heard of yet."""
        await refill(self._cache.jobs, self._gateway.pages(JOB, ""))
        observed = self._cache.observe(key, synced=True)
        if observed is None or observed.holder:
            self._queue.add(key)
            return False
        return True

    async def _write(self, key: Key, observed: Observed, decision: Decision) -> str:
        """Returns the job's version after it."""
        if decision.status == observed.status:
            return observed.resource_version
        try:
            written = await self._gateway.apply_status(
                key, encode(decision.status), uid=observed.job.uid, resource_version=observed.resource_version
            )
        except ApiError as error:
            if error.status == 404:  # deleted while nobody watched, of which kopf never tells; unless it is there
                await self._is_newest(key, observed)
            raise
        self._cache.jobs.put(written)
        self._wrote(key.namespace, observed.status, decision.status)
        for event in transitions(observed.status, decision.status, observed.validation):
            about = {"job": str(key), "attempt": decision.status.attempt, "reason": event.reason}
            _LOG.info("%s: %s: %s", key, event.reason, event.message, extra=about)
            self._recorder.record(written, event, self._clock.precise_now())
        version: str = written["metadata"]["resourceVersion"]
        return version

    def _failed(self, key: Key, error: Exception) -> str:
        """Look again later, and tell whoever reads the log. Returns what kind of failure it was."""
        errors = error.exceptions if isinstance(error, ExceptionGroup) else (error,)
        waits = [one.retry_after or 0.0 for one in errors if isinstance(one, ApiError)]
        self._queue.retry(key, max(waits, default=0.0))
        about = {"job": str(key)}
        for one in errors:
            if isinstance(one, ApiError) and one.status == 409:
                _LOG.debug("%s has changed meanwhile; looking again", key, extra=about)
            elif isinstance(one, _PASSING):
                _LOG.warning("%s: %s", key, one, extra=about)
            else:
                _LOG.error("%s: the reconcile failed", key, exc_info=one, extra=about)
        return "retry" if all(isinstance(one, _PASSING) for one in errors) else "error"
