"""An outage in which the kubelets lose the API server, and nobody else does: no job has anything to do with it."""

from __future__ import annotations

import pytest
from harness.memory_api import MemoryApi
from harness.memory_operator import MemoryOperator, change_pod, pods_of, status_of, submit

from pet_operator.domain.constants import NODE, POD


class Cluster:
    """So many nodes, with a pod of a job on each of the first ones."""

    def __init__(self, nodes: int) -> None:
        self.api = MemoryApi()
        self.names = [f"node-{index}" for index in range(nodes)]
        for name in self.names:
            self.set(name)
        submit(self.api, nodes=min(2, nodes))
        self.operator = MemoryOperator(self.api)

    async def begin(self) -> None:
        """The pods run, and the operator hears of all that follows."""
        await self.operator.list()
        await self.operator.work()
        self.api.told = self.operator.news
        for name, pod in zip(self.names, self.api.all(POD), strict=False):
            self.api.put(POD, pod | {"spec": pod["spec"] | {"nodeName": name}})
            change_pod(self.api, pod["metadata"]["name"], phase="Running", podIP="10.0.0.1")
        await self.operator.work(5)

    def set(self, name: str, ready: str = "True") -> None:
        """What the API server knows of a node."""
        conditions = [{"type": "Ready", "status": ready, "message": "not heard of"}]
        self.api.put(NODE, {"metadata": {"name": name, "uid": name}, "status": {"conditions": conditions}})

    async def change(self, ready: str, *names: str) -> None:
        """One node after the other, five seconds apart."""
        for name in names:
            self.set(name, ready)
            await self.operator.work(5)

    @property
    def waits(self) -> bool:
        """Whether the job says so; it is in its first attempt, with the pods that it had."""
        status = status_of(self.api)
        assert (status.attempt, set(pods_of(self.api).values())) == (1, {"Running"})
        assert [verb for verb, *_ in self.api.writes if verb == "delete"] == []
        return "most nodes of the cluster are not ready" in status.message


@pytest.mark.parametrize("nodes", [1, 2, 4, 9])
async def test_nodes_that_are_not_heard_of_all_at_once_are_not_lost(nodes: int) -> None:
    cluster = Cluster(nodes)
    await cluster.begin()
    await cluster.change("Unknown", *cluster.names)
    await cluster.operator.work(600)
    assert cluster.waits
    writes = len(cluster.api.writes)
    await cluster.operator.work(600)
    assert len(cluster.api.writes) == writes
    await cluster.change("True", *reversed(cluster.names))
    await cluster.operator.work(60)
    assert not cluster.waits


async def test_a_node_that_does_not_come_back_with_the_others_is_lost_half_a_minute_after_them() -> None:
    cluster = Cluster(4)
    await cluster.begin()
    await cluster.change("Unknown", *cluster.names)
    await cluster.operator.work(600)
    await cluster.change("True", *cluster.names[1:])
    await cluster.operator.work(15)
    assert not cluster.waits
    await cluster.operator.work(20)
    status = status_of(cluster.api)
    assert (status.attempt, status.reason, status.attempts[0].node) == (2, "NodeLost", "node-0")


async def test_one_of_two_nodes_is_lost_by_itself() -> None:
    cluster = Cluster(2)
    await cluster.begin()
    await cluster.change("Unknown", "node-0")
    await cluster.operator.work(40)
    assert status_of(cluster.api).reason == "NodeLost"
