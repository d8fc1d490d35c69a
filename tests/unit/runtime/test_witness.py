"""What cannot be taken back is done by what is there, and not by what was heard: a watch may be cut in silence, and
tells of a pod that has lost its label as if it were deleted."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from harness.memory_api import MemoryApi, Object
from harness.memory_operator import MemoryOperator, change_pod, pods_of, status_of, submit
from harness.observing import report
from harness.timeless import NOON, LoopClock, settle

from pet_operator.domain.codec import write_time
from pet_operator.domain.constants import LABEL_JOB_UID, NODE, POD, Kind
from pet_operator.runtime.ports import ApiError, Listing, Manifest
from pet_operator.runtime.reflector import Reflector

UNKNOWN = {"type": "Ready", "status": "Unknown", "message": "not heard of"}
READY = UNKNOWN | {"status": "True"}


def _labelled(pod: Manifest) -> bool:
    return LABEL_JOB_UID in pod["metadata"]["labels"]


class Silent(MemoryApi):
    """Its watches tell nothing but what they are given, and nobody knows whether they are cut. `asked` are the reads of
    pods and nodes."""

    def __init__(self) -> None:
        super().__init__()
        self.events: dict[Kind, asyncio.Queue[tuple[str, Object]]] = {POD: asyncio.Queue(), NODE: asyncio.Queue()}
        self.asked: list[tuple[str, str]] = []
        self.away = False
        self.fault = self._ask

    async def watch(
        self, kind: Kind, selector: str, resource_version: str, fields: str = ""
    ) -> AsyncIterator[tuple[str, Object]]:
        while True:
            yield await self.events[kind].get()

    async def list(self, kind: Kind, selector: str, fields: str = "") -> Listing:
        """Pods only with the label by which they are watched."""
        whole = await super().list(kind, selector, fields)
        return Listing([each for each in whole.items if kind is not POD or _labelled(each)], whole.resource_version)

    def tell(self, kind: Kind, manifest: Object, type_: str = "MODIFIED") -> None:
        """An event of the watch."""
        self.events[kind].put_nowait((type_, manifest))

    def _ask(self, verb: str, kind: Kind, name: str) -> None:
        if verb in ("list", "get") and kind in (POD, NODE):
            self.asked.append((verb, kind.plural))
            if self.away:
                raise ApiError(503, "ServiceUnavailable", "no")


class Scene:
    """A job of two pods on two of three nodes, and its operator at work."""

    def __init__(self, **spec: Any) -> None:
        self.api = Silent()
        for name in ("node-0", "node-1", "node-2"):
            self.node(name, READY)
        submit(self.api, nodes=2, **spec)

    async def __aenter__(self) -> Scene:
        await self.succeed()
        await asyncio.sleep(1)
        for index, pod in enumerate(self.api.all(POD)):
            self.api.put(POD, pod | {"spec": pod["spec"] | {"nodeName": f"node-{index}"}})
        for name in pods_of(self.api):
            change_pod(self.api, name, phase="Running", podIP="10.0.0.1")
        self.hear()
        await asyncio.sleep(20)
        self.api.asked.clear()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._end()

    async def succeed(self) -> None:
        """Another operator takes over."""
        if hasattr(self, "_tasks"):
            await self._end()
        self.operator = MemoryOperator(self.api)
        await self.operator.list()
        cache, clock = self.operator.cache, LoopClock()
        watches = [Reflector(self.api, POD, "", cache.pods, clock), Reflector(self.api, NODE, "", cache.nodes, clock)]

        async def renew() -> bool:
            return any([await reflector.renew() for reflector in watches])

        self.operator.renew = renew
        work = [reflector.run() for reflector in watches]
        self._tasks = [asyncio.create_task(part) for part in (*work, self.operator.controller.run(2))]
        await asyncio.sleep(0)

    async def _end(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def node(self, name: str, condition: dict[str, Any]) -> Object:
        """What is said of a node; nobody hears it."""
        manifest = {"metadata": {"name": name, "uid": name}, "status": {"conditions": [condition]}}
        return self.api.put(NODE, manifest)

    def hear(self) -> None:
        """The operator hears how the pods are."""
        for pod in self.api.all(POD):
            self.api.tell(POD, pod)

    def end(self, name: str, code: int) -> None:
        """A launcher ends, with a message."""
        ended = {"exitCode": code, "finishedAt": write_time(NOON), "message": json.dumps(report(code))}
        containers = [{"name": "trainer", "state": {"terminated": ended}}]
        change_pod(self.api, name, phase="Failed" if code else "Succeeded", containerStatuses=containers)

    def unlabel(self, name: str) -> None:
        """Somebody removes the label by which pods are watched: to a watch, the pod is deleted."""
        (pod,) = (pod for pod in self.api.all(POD) if pod["metadata"]["name"] == name)
        labels = {key: value for key, value in pod["metadata"]["labels"].items() if key != LABEL_JOB_UID}
        bare = self.api.put(POD, pod | {"metadata": pod["metadata"] | {"labels": labels}})
        version = {"resourceVersion": bare["metadata"]["resourceVersion"]}
        self.api.tell(POD, pod | {"metadata": pod["metadata"] | version}, "DELETED")

    def going(self) -> set[str]:
        """Pods that were told to end."""
        return {pod["metadata"]["name"] for pod in self.api.all(POD) if "deletionTimestamp" in pod["metadata"]}

    def leave(self, name: str) -> None:
        """A pod that was told to end has, and the operator hears of it where it still may."""
        assert name in self.going()
        (pod,) = (pod for pod in self.api.all(POD) if pod["metadata"]["name"] == name)
        self.api.drop(POD, name)
        if _labelled(pod):
            gone = pod["metadata"] | {"resourceVersion": str(self.api.version)}
            self.api.tell(POD, pod | {"metadata": gone}, "DELETED")

    @property
    def attempt(self) -> int:
        return status_of(self.api).attempt


async def test_a_node_that_came_back_unheard_is_not_lost() -> None:
    async with Scene() as scene:
        scene.api.tell(NODE, scene.node("node-0", UNKNOWN))
        await settle()
        scene.node("node-0", READY)
        await asyncio.sleep(300)
        assert (scene.attempt, pods_of(scene.api)) == (1, {"job-1-0": "Running", "job-1-1": "Running"})
        assert len(scene.api.asked) <= 2, "a list of each is enough"


async def test_a_node_that_did_not_is() -> None:
    async with Scene() as scene:
        scene.api.tell(NODE, scene.node("node-0", UNKNOWN))
        await settle()
        await asyncio.sleep(40)
        assert status_of(scene.api).attempts[0].reason == "NodeLost"


async def test_nothing_is_lost_while_nobody_can_look() -> None:
    async with Scene() as scene:
        scene.api.tell(NODE, scene.node("node-0", UNKNOWN))
        await settle()
        scene.api.away = True
        await asyncio.sleep(100)
        assert scene.attempt == 1
        scene.api.away = False
        await asyncio.sleep(100)
        assert scene.attempt == 2


async def test_pods_that_run_unheard_have_met_their_deadline() -> None:
    async with Scene(deadlines={"startupSeconds": 120}) as scene:
        scheduled = {"type": "PodScheduled", "status": "True", "lastTransitionTime": write_time(NOON)}
        for name in pods_of(scene.api):
            change_pod(scene.api, name, phase="Pending", conditions=[scheduled])
        scene.hear()
        await settle()
        for name in pods_of(scene.api):
            change_pod(scene.api, name, phase="Running")
        await asyncio.sleep(300)
        assert status_of(scene.api).phase == "Starting"


async def test_ranks_that_finish_unheard_before_the_deadline_have_succeeded() -> None:
    async with Scene(deadlines={"activeSeconds": 120}) as scene:
        await asyncio.sleep(50)
        for name in pods_of(scene.api):
            scene.end(name, 0)
        await asyncio.sleep(100)
        assert status_of(scene.api).phase == "Succeeded"


async def test_what_was_heard_needs_no_second_look() -> None:
    async with Scene() as scene:
        scene.end("job-1-0", 139)
        scene.hear()
        await asyncio.sleep(3)
        assert scene.attempt == 2
        assert ("list", "pods") not in scene.api.asked


async def test_a_pod_that_loses_its_label_ends_before_another_attempt_begins() -> None:
    async with Scene() as scene:
        scene.unlabel("job-1-0")
        await asyncio.sleep(3)
        status = status_of(scene.api)
        assert (status.attempt, status.attempts[0].reason, status.failure and status.failure.pod) == (
            2, "Disrupted", "job-1-0",
        )  # fmt: skip
        words = "LabelRemoved: its label pet.dev/job-uid was removed, without which nothing is heard of the pod"
        assert words in status.message
        assert scene.going() == {"job-1-0", "job-1-1"}
        scene.leave("job-1-1")
        await asyncio.sleep(60)
        assert set(pods_of(scene.api)) == {"job-1-0"}, "it saves"
        assert "waiting for the end of job-1-0" in status_of(scene.api).message
        scene.leave("job-1-0")
        await asyncio.sleep(10)
        assert set(pods_of(scene.api)) == {"job-2-0", "job-2-1"}


@pytest.mark.parametrize("seconds", [0, 3], ids=["before the attempt ends", "before the next one's pods are made"])
async def test_nor_does_one_begin_beside_it_if_another_operator_takes_over(seconds: float) -> None:
    async with Scene() as scene:
        scene.unlabel("job-1-0")
        await asyncio.sleep(seconds)
        await scene.succeed()
        await asyncio.sleep(60)
        scene.leave("job-1-1")
        await asyncio.sleep(60)
        assert set(pods_of(scene.api)) == {"job-1-0"}
        scene.leave("job-1-0")
        await asyncio.sleep(60)
        assert set(pods_of(scene.api)) == {"job-2-0", "job-2-1"}


async def test_a_label_that_is_removed_while_its_pod_ends_changes_nothing() -> None:
    async with Scene() as scene:
        scene.end("job-1-1", 139)
        scene.hear()
        await asyncio.sleep(3)
        assert (scene.attempt, scene.going()) == (2, {"job-1-0"})
        scene.hear()
        scene.unlabel("job-1-0")
        await asyncio.sleep(60)
        assert set(pods_of(scene.api)) == {"job-1-0", "job-1-1"}
        scene.leave("job-1-0")
        await asyncio.sleep(20)
        assert set(pods_of(scene.api)) == {"job-1-1", "job-2-0", "job-2-1"}
