"""An API server that is away for two minutes: no time of that counts against a node, and none before it does."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from harness.memory_api import MemoryApi, Object
from harness.memory_operator import MemoryOperator, pods_of, status_of, submit
from harness.timeless import LoopClock

from pet_operator.domain.constants import NODE, POD, Kind
from pet_operator.domain.policy.lost import LOST_SECONDS
from pet_operator.runtime.ports import Manifest
from pet_operator.runtime.reflector import Reflector

AWAY_SECONDS = 120.0
NAMES, OTHERS = ("node-0", "node-1"), ("node-2", "node-3")
PODS = {"job-1-0": "Running", "job-1-1": "Running"}
SAYS = "Kubelet stopped posting node status."


class Cluster(MemoryApi):
    """One whose nodes can be watched. While it is away it refuses everything; `asked` are the requests in that time."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[str] = []
        self._events: asyncio.Queue[tuple[str, Kind, Object] | None] = asyncio.Queue()
        self.told = lambda *event: self._events.put_nowait(event)

    def leave(self) -> None:
        """Every connection is cut."""
        self.fault = self._refuse
        self._events.put_nowait(None)

    def come_back(self) -> None:
        """It answers again, and knows of no watch."""
        self.fault = lambda verb, kind, name: None
        self._events = asyncio.Queue()

    def say(self, ready: str, names: tuple[str, ...] = NAMES) -> None:
        """Of these nodes."""
        for name in names:
            condition = {"type": "Ready", "status": ready, "message": SAYS if ready == "Unknown" else ""}
            self.put(NODE, {"metadata": {"name": name, "uid": name}, "status": {"conditions": [condition]}})

    async def watch(
        self, kind: Kind, selector: str, resource_version: str, fields: str = ""
    ) -> AsyncIterator[tuple[str, Manifest]]:
        self.fault("watch", kind, "")
        while (event := await self._events.get()) is not None:
            if event[1] is kind:
                yield event[0], event[2]
        raise ConnectionError("cut")

    def _refuse(self, verb: str, kind: Kind, name: str) -> None:
        self.asked.append(verb)
        raise ConnectionError("refused")


class Scene:
    """A job that runs on two nodes, and its operator."""

    def __init__(self) -> None:
        self.api = Cluster()
        self.operator = MemoryOperator(self.api)
        self._reflector = Reflector(self.api, NODE, "", self.operator.cache.nodes, LoopClock())

    async def begin(self) -> asyncio.Task[None]:
        """Everything runs."""
        self.api.say("True", NAMES + OTHERS)
        submit(self.api, nodes=len(NAMES))
        await self.operator.list()
        await self.operator.work()
        for pod, node in zip(self.api.all(POD), NAMES, strict=True):
            placed = pod | {"spec": pod["spec"] | {"nodeName": node}, "status": {"phase": "Running", "podIP": "::1"}}
            self.operator.news("MODIFIED", POD, self.api.put(POD, placed))
        return asyncio.create_task(self._reflector.run())

    async def outage(self) -> float:
        """The API server is away, and takes its nodes for lost when it comes back. Returns when the operator knows."""
        self.api.leave()
        await self.operator.work(AWAY_SECONDS)
        self.api.say("Unknown")
        self.api.come_back()
        while self.operator.cache.nodes.since is None:
            await self.operator.work(0.1)
        return self.operator.cache.nodes.since


async def test_nodes_that_are_heard_of_again_in_time_after_an_outage_are_not_lost() -> None:
    scene = Scene()
    watching = await scene.begin()
    scene.api.say("Unknown")
    await scene.operator.work(LOST_SECONDS - 5)  # nearly over, when nothing is heard any more
    await scene.outage()
    assert set(scene.api.asked) <= {"list", "watch"}, "nothing is decided on what is not seen"
    await scene.operator.work(LOST_SECONDS - 5)
    scene.api.say("True")
    await scene.operator.work(10 * LOST_SECONDS)
    assert (status_of(scene.api).attempt, pods_of(scene.api)) == (1, PODS)
    watching.cancel()


async def test_nodes_that_are_not_are_lost_thirty_seconds_after_it() -> None:
    scene = Scene()
    watching = await scene.begin()
    since = await scene.outage()
    while status_of(scene.api).attempt == 1:
        await scene.operator.work(0.1)
        passed = asyncio.get_running_loop().time() - since
        assert passed < LOST_SECONDS + 1
    assert passed >= LOST_SECONDS
    assert status_of(scene.api).reason == "NodeLost"
    watching.cancel()
