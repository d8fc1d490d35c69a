"""A view of the pods that has a gap, or is only half listed anew: nothing is concluded from it, and no time counts."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from harness.memory_api import MemoryApi, Object
from harness.memory_operator import KEY, MemoryOperator, change_pod, pods_of, status_of, submit
from harness.observing import report
from harness.timeless import NOON, LoopClock

from pet_operator.domain.codec import write_time
from pet_operator.domain.constants import POD, Kind
from pet_operator.runtime.ports import ApiError, Listing
from pet_operator.runtime.reflector import Reflector


class Cut(MemoryApi):
    """Its watches tell nothing, until they are cut; its lists have a page for each object, a second apart."""

    def __init__(self) -> None:
        super().__init__()
        self.cut = asyncio.Event()

    async def watch(
        self, kind: Kind, selector: str, resource_version: str, fields: str = ""
    ) -> AsyncIterator[tuple[str, Object]]:
        await self.cut.wait()
        self.cut.clear()
        raise ConnectionError("cut")
        yield

    async def pages(self, kind: Kind, selector: str, fields: str = "") -> AsyncIterator[Listing]:
        listing = await self.list(kind, selector)
        for item in reversed(listing.items):
            yield Listing([item], listing.resource_version)
            await asyncio.sleep(1)


class Watching:
    """An operator at work whose pods are told of by a reflector alone."""

    def __init__(self, **spec: Any) -> None:
        self.api = Cut()
        submit(self.api, **spec)
        self.operator = MemoryOperator(self.api)
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Watching:
        await self.operator.list()
        await self.operator.work(1)
        for pod in self.api.all(POD):
            scheduled = {"type": "PodScheduled", "status": "True", "lastTransitionTime": write_time(NOON)}
            change_pod(self.api, pod["metadata"]["name"], phase="Pending", conditions=[scheduled])
        reflector = Reflector(self.api, POD, "", self.operator.cache.pods, LoopClock())
        self._tasks = [asyncio.create_task(part) for part in (reflector.run(), self.operator.controller.run(2))]
        await asyncio.sleep(5)
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


@pytest.mark.parametrize("verbs", ["list", "list get create apply delete"], ids=["of the lists", "of everything"])
@pytest.mark.parametrize("until", [100, 119, 121, 180])
async def test_a_deadline_that_passes_in_an_outage_ends_no_pod_that_has_begun_meanwhile(until: int, verbs: str) -> None:
    async with Watching(deadlines={"startupSeconds": 120}) as world:

        def away(verb: str, kind: Kind, name: str) -> None:
            if verb in verbs.split() and (kind is POD or "get" in verbs):
                raise ApiError(503, "ServiceUnavailable", "no")

        world.api.fault = away
        world.api.cut.set()
        await asyncio.sleep(15)
        change_pod(world.api, "job-1-0", phase="Running", podIP="10.0.0.1")
        await asyncio.sleep(until - LoopClock().monotonic())
        world.api.fault = lambda *_: None
        await asyncio.sleep(200)
        assert (status_of(world.api).phase, status_of(world.api).attempt) == ("Starting", 1)
        assert pods_of(world.api) == {"job-1-0": "Running"}
        assert [verb for verb, *_ in world.api.writes if verb == "delete"] == []


async def test_a_deadline_that_nobody_has_met_in_an_outage_counts_after_it() -> None:
    async with Watching(deadlines={"startupSeconds": 120}) as world:
        world.api.fault = lambda verb, kind, name: (_ for _ in ()).throw(OSError("away"))
        world.api.cut.set()
        await asyncio.sleep(300)
        world.api.fault = lambda *_: None
        await asyncio.sleep(30)
        assert (status_of(world.api).phase, status_of(world.api).reason) == ("Failed", "StartupDeadlineExceeded")


async def test_while_pods_are_listed_anew_no_half_of_them_is_judged() -> None:
    async with Watching(nodes=2) as world:
        for index, code in enumerate((78, 75)):
            words = json.dumps(report(code, rank=index))
            ended = {"exitCode": code, "finishedAt": write_time(NOON), "message": words}
            containers = [{"name": "trainer", "state": {"terminated": ended}}]
            change_pod(world.api, f"job-1-{index}", phase="Failed", containerStatuses=containers)
        world.api.cut.set()
        await asyncio.sleep(30)
        status = status_of(world.api)
        assert (status.phase, status.reason, status.attempt) == ("Failed", "InvalidConfig", 1)
        assert world.operator.cache.observe(KEY, synced=True).synced  # type: ignore[union-attr]
