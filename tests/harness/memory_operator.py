"""The operator's runtime on an API server in memory: what sees, decides and acts is real, the rest is given by hand."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from harness.jobs import cpu_manifest
from harness.memory_api import MemoryApi, Object
from harness.observing import SITE
from harness.timeless import LoopClock
from pet_operator.domain.codec import decode
from pet_operator.domain.constants import CLAIM, JOB, NODE, POD, SERVICE, Kind
from pet_operator.domain.decision import Observed
from pet_operator.domain.status import JobStatus
from pet_operator.runtime.cache import Cache
from pet_operator.runtime.controller import Controller
from pet_operator.runtime.executor import Executor
from pet_operator.runtime.ports import Gateway, Key, Manifest
from pet_operator.runtime.queue import KeyedQueue
from pet_operator.runtime.recorder import Recorder
from pet_operator.runtime.reflector import refill
from pet_operator.runtime.witness import Witness

KEY = Key("default", "job")
STOCK = "cfgs/tasks/cls/FashionMNIST/slim_resnet_1x.yaml"


def submit(api: MemoryApi, name: str = "job", **spec: Any) -> Object:
    """Make a job that is valid, but for `spec`."""
    return api.put(JOB, cpu_manifest(name, **({"cfg": STOCK} | spec)))


def status_of(api: MemoryApi, name: str = "job") -> JobStatus:
    """The status of a job as the API server has it."""
    (job,) = (job for job in api.all(JOB) if job["metadata"]["name"] == name)
    return decode(JobStatus, job.get("status"))


def pods_of(api: MemoryApi) -> dict[str, str]:
    """The names of all pods, and their phases."""
    return {pod["metadata"]["name"]: pod.get("status", {}).get("phase", "Pending") for pod in api.all(POD)}


def change_pod(api: MemoryApi, name: str, **status: Any) -> None:
    """What a kubelet reports of a pod."""
    (pod,) = (pod for pod in api.all(POD) if pod["metadata"]["name"] == name)
    api.put(POD, pod | {"status": pod.get("status", {}) | status})


async def _nothing() -> bool:
    return False


class MemoryOperator:
    """One life of an operator. It sees what is `listed` and what is `news` to it; its own writes it knows at once."""

    def __init__(self, api: MemoryApi, gateway: Gateway | None = None) -> None:
        clock = LoopClock()
        gateway = gateway or api
        self.synced = True
        self.looks: list[str] = []
        self.renew: Callable[[], Awaitable[bool]] = _nothing
        self.queue = KeyedQueue()
        self.cache = Cache(SITE, clock, self.queue.add)
        self.recorder = Recorder(gateway, "operator")
        self.controller = Controller(
            cache=self.cache,
            queue=self.queue,
            gateway=gateway,
            executor=Executor(gateway, self._seen),
            recorder=self.recorder,
            clock=clock,
            synced=lambda: self.synced,
            witness=Witness(self.cache, gateway, self._renew),
            observe=lambda outcome, seconds: self.looks.append(outcome),
        )
        self._api = api
        self._clock = clock

    async def list(self) -> None:
        """See everything as it is."""
        for kind, store in self._stores().items():
            await refill(store, self._api.pages(kind, ""))
            store.since = self._clock.monotonic()

    def news(self, type_: str, kind: Kind, manifest: Object) -> None:
        """An event of a watch."""
        if (store := self._stores().get(kind)) is not None:
            (store.remove if type_ == "DELETED" else store.put)(manifest)

    async def look(self, key: Key = KEY) -> None:
        """Look at a job once."""
        await self.controller.reconcile(key)

    async def work(self, seconds: float = 0.0) -> None:
        """Work for some seconds on whatever is queued."""
        task = asyncio.create_task(self.controller.run(2))
        await asyncio.sleep(seconds)
        for _ in range(200):
            await asyncio.sleep(0)
        if task.done():
            await task
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    def _stores(self) -> Mapping[Kind, Any]:
        cache = self.cache
        return {JOB: cache.jobs, POD: cache.pods, SERVICE: cache.services, CLAIM: cache.claims, NODE: cache.nodes}

    async def _renew(self, _observed: Observed) -> bool:
        """Its watches tell everything, unless a test has something else here."""
        return await self.renew()

    def _seen(self, plural: str, manifest: Manifest) -> None:
        kind = {POD.plural: POD, SERVICE.plural: SERVICE, CLAIM.plural: CLAIM}[plural]
        self.news("MODIFIED", kind, dict(manifest))
