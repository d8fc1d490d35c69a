"""Which nodes are not ready, and for how long that was seen without a gap."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from harness.observing import SITE, pod_manifest
from harness.timeless import LoopClock

from pet_operator.domain.policy.lost import are_cut_off
from pet_operator.domain.views import UnreadyNode
from pet_operator.runtime.cache import Cache
from pet_operator.runtime.nodes import Nodes
from pet_operator.runtime.ports import Key

SAYS = "Kubelet stopped posting node status."


def node(name: str, ready: str = "True", message: str = "") -> dict[str, Any]:
    conditions = [{"type": "DiskPressure", "status": "False"}, {"type": "Ready", "status": ready, "message": message}]
    return {"metadata": {"name": name, "uid": f"uid-{name}"}, "status": {"conditions": conditions}}


OTHERS = ("x", "y", "z")


class Seen:
    """Nodes that have been watched since the beginning, three of them ready, and what was told of them."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self.nodes = Nodes(LoopClock(), lambda names: self.told.extend(sorted(names)))
        self.change("True", *OTHERS)
        self.nodes.since = 0.0

    def change(self, ready: str, *names: str) -> None:
        for name in names:
            self.nodes.put(node(name, ready, SAYS))

    def seconds(self, name: str = "n") -> float | None:
        found = self.nodes.of(name)
        return found.seconds if found else None


async def test_how_long_a_node_is_not_ready_is_counted_from_when_it_was_seen() -> None:
    seen = Seen()
    seen.nodes.put(node("n"))
    await asyncio.sleep(100)
    seen.nodes.put(node("n", "Unknown", SAYS))
    await asyncio.sleep(7)
    seen.nodes.put(node("n", "False", "it goes down"))
    assert seen.nodes.of("n") == UnreadyNode(message="it goes down", seconds=7.0)
    seen.nodes.put(node("n"))
    assert (seen.seconds(), seen.told) == (None, ["n", "n"])
    await asyncio.sleep(7)
    seen.nodes.put(node("n", "Unknown"))
    assert seen.seconds() == 0


async def test_a_node_that_has_said_nothing_yet_is_not_ready() -> None:
    seen = Seen()
    seen.nodes.put({"metadata": {"name": "n", "uid": "u"}})
    assert seen.seconds() == 0


async def test_no_time_counts_in_which_nothing_was_seen() -> None:
    seen = Seen()
    seen.nodes.put(node("n", "Unknown"))
    await asyncio.sleep(20)
    seen.nodes.since = None
    assert seen.seconds() == 0
    await asyncio.sleep(120)
    assert seen.seconds() == 0
    seen.nodes.put(node("n", "Unknown"))
    seen.nodes.retain({"uid-n", *(f"uid-{name}" for name in OTHERS)}, "9")
    seen.nodes.since = 140.0
    await asyncio.sleep(3)
    assert seen.seconds() == 3


async def test_a_list_tells_which_nodes_are_there() -> None:
    seen = Seen()
    for name in ("gone", "well", "ill"):
        seen.nodes.put(node(name, "Unknown"))
    await asyncio.sleep(5)
    seen.told.clear()
    for now in (node("well"), node("ill", "Unknown")):
        seen.nodes.put(now)
    seen.nodes.retain({"uid-well", "uid-ill", *(f"uid-{name}" for name in OTHERS)}, "9")
    assert [seen.seconds(name) for name in ("gone", "well", "ill")] == [None, None, 5.0]
    assert sorted(seen.told) == ["gone", "well"]


@pytest.mark.parametrize(
    ("unready", "nodes", "together"),
    [
        (0, 0, False), (0, 1, False), (1, 1, True), (1, 2, False), (2, 2, True), (2, 3, False), (3, 3, True),
        (3, 5, True), (3, 6, False), (4, 8, False), (5, 9, True), (54, 100, False), (55, 100, True),
    ],
)  # fmt: skip
def test_when_most_nodes_are_not_ready_it_is_no_fault_of_theirs(unready: int, nodes: int, together: bool) -> None:
    assert are_cut_off(unready, nodes) is together


async def test_no_time_counts_for_nodes_that_are_cut_off_together_nor_for_the_last_of_them_until_then() -> None:
    seen = Seen()
    seen.change("Unknown", "a", "b", "c")
    await asyncio.sleep(20)
    assert (seen.nodes.cut_off, seen.seconds("a")) == (False, 20.0)
    seen.told.clear()
    seen.change("Unknown", "d")
    assert (seen.nodes.cut_off, seen.seconds("a"), seen.told) == (True, 0.0, ["a", "b", "c", "d"])
    await asyncio.sleep(300)
    assert seen.seconds("a") == 0
    seen.told.clear()
    seen.change("True", "d")
    assert (seen.nodes.cut_off, seen.seconds("a"), seen.told) == (False, 0.0, ["a", "b", "c", "d"])
    await asyncio.sleep(7)
    assert seen.seconds("a") == 7


async def test_a_node_that_is_removed_is_none_of_those_that_are_there() -> None:
    seen = Seen()
    seen.change("Unknown", "a")
    for name in OTHERS:
        assert not seen.nodes.cut_off
        seen.nodes.remove(node(name))
    assert seen.nodes.cut_off, "the only one"
    seen.nodes.remove(node("a"))
    assert not seen.nodes.cut_off


async def test_the_jobs_with_pods_on_a_node_are_looked_at_when_it_changes() -> None:
    told: list[Key] = []
    cache = Cache(SITE, LoopClock(), told.append)
    cache.pods.put(pod_manifest(0))
    cache.pods.put(pod_manifest(1, name="other"))
    told.clear()
    cache.nodes.put(node("node-0", "Unknown"))
    assert told == [Key("default", "job")]
