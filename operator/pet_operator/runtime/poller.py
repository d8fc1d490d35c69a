"""Asks the launchers of all running pods how far they are."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from pet_operator.domain.codec import decode
from pet_operator.domain.decision import Observed
from pet_operator.domain.launcher import LauncherStatus
from pet_operator.domain.status import RUNNING
from pet_operator.domain.views import PodView, TrainerView
from pet_operator.runtime.cache import Answer, Cache
from pet_operator.runtime.ports import Clock, Key, TrainerClient

_AT_ONCE = 64
_SUSPICIOUS_SECONDS = 15.0
_TURNS = 3


class Poller:
    """`changed` is told of a job when something that its status shows has changed, or is fed no more."""

    def __init__(
        self, cache: Cache, client: TrainerClient, clock: Clock, changed: Callable[[Key], None], interval: float
    ) -> None:
        """`interval`: seconds from the start of a round to that of the next."""
        self._cache = cache
        self._client = client
        self._clock = clock
        self._changed = changed
        self._interval = interval
        self._slots = asyncio.Semaphore(_AT_ONCE)
        self._asking: set[str] = set()  # the uids of their pods
        self._rounds = 0

    async def run(self) -> None:
        """Round after round until cancelled. A launcher that lets one round wait delays no other's next."""
        async with asyncio.TaskGroup() as rounds:
            while True:
                rounds.create_task(self.round())
                await asyncio.sleep(self._interval)

    async def round(self) -> None:
        """Ask every launcher whose turn it is, but for those that have not answered the round before."""
        self._rounds += 1
        known: set[str] = set()
        asked: list[tuple[Key, PodView, int]] = []
        for key in self._cache.pods.keys():  # noqa: SIM118 - a list of jobs, not a mapping
            if not any(pod.running for pod in self._cache.pods.of(key)):
                continue
            await asyncio.sleep(0)  # a thousand jobs that nobody has looked at yet take seconds
            observed = self._cache.observe(key, synced=True)
            if observed is not None and not observed.status.finished:
                port, running = observed.job.spec.metrics.port, [pod for pod in observed.current if pod.running]
                known.update(pod.uid for pod in running)
                asked += [(key, pod, port) for pod in running if self._is_due(observed, pod)]
        for uid in self._cache.answers.keys() - known:
            del self._cache.answers[uid]
        await asyncio.gather(*(self._ask(*whom) for whom in asked if whom[1].uid not in self._asking))

    def _is_due(self, observed: Observed, pod: PodView) -> bool:
        """While all ranks step, the news are rank 0's. The other launchers are asked in turns, a third of them in each
        round; all are, and who did not answer again, as soon as anything is not as it should be."""
        status, trainers = observed.status, observed.trainers
        leader = next((trainers.get(other.uid) for other in observed.current if other.name == status.rank0_pod), None)
        if status.phase != RUNNING or status.hang is not None or leader is None or leader.status is None:
            return True
        own = trainers.get(pod.uid)
        if pod.name == status.rank0_pod or own is None or own.status is None:
            return True
        overdue = own.age > _TURNS * self._interval
        doubtful = leader.status.idle_seconds > _SUSPICIOUS_SECONDS
        return overdue or doubtful or (self._rounds + pod.node_index) % _TURNS == 0

    async def _ask(self, key: Key, pod: PodView, port: int) -> None:
        known = self._cache.answers.setdefault(pod.uid, Answer(None, self._clock.monotonic()))
        self._asking.add(pod.uid)
        try:
            async with self._slots:
                status = await self._told(pod, port)
        finally:
            self._asking.discard(pod.uid)
        now = self._clock.monotonic()
        silent = TrainerView(status=known.status, age=now - known.at).silent
        if status is not None:
            self._cache.answers[pod.uid] = Answer(status, now)
        if silent or (status is not None and _shown(status) != _shown(known.status)):
            self._changed(key)

    async def _told(self, pod: PodView, port: int) -> LauncherStatus | None:
        """What the pod's launcher answers; None if it does not."""
        try:
            status = decode(LauncherStatus, await self._client.status(pod.ip, port))
        except (OSError, TimeoutError, ValueError):
            return None
        # Addresses are used again: another pod may answer at this one by now.
        return status if (status.uid, status.attempt) == (pod.job_uid, pod.attempt) else None


def _shown(status: LauncherStatus | None) -> tuple[object, ...]:
    """What the job's status is made of, and of that what does not change with everything else."""
    if status is None:
        return ()
    saved = status.checkpoint
    numbers = (status.iteration, status.max_iterations, status.resumed_from, status.losses, status.metrics)
    checkpoint = (saved.file, saved.iteration, saved.verified) if saved is not None else ()
    starting = tuple((rank.rank, rank.section) for rank in status.ranks if rank.last_step_age_seconds is None)
    # One that makes no step may hang: its age is news in each round.
    idle = int(status.idle_seconds) if status.idle_seconds > _SUSPICIOUS_SECONDS else 0
    return (status.state, status.restarts, len(status.failures), status.stepped, starting, idle, *numbers, *checkpoint)
