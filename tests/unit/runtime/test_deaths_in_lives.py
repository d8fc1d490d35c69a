"""Lives of a job, each with an operator that dies at each of its writes: another goes on, and the end is the same."""

from __future__ import annotations

from typing import Any

import pytest
from harness.memory_operator import pods_of
from harness.world import World

from pet_operator.domain.constants import JOB

History = list[tuple[Any, ...]]

STARTS: History = [("begin",), ("hear",), ("start_all",), ("hear",), ("step", 150), ("ask",), ("wait", 11)]
# What was told to go goes, and what has failed; with time enough for an operator that begins in the middle.
GOES: History = [("hear",), ("kubelet",), ("hear",), ("kubelet",), ("hear",), ("wait", 3)]
GOES_ON: History = [*GOES, ("hear",), ("start_all",), ("hear",), ("step", 150), ("ask",)]
ENDS: History = [("finish",), ("hear",)]
SUSPENDED: History = [*STARTS, ("suspend", True), *GOES]

# Name → what happens, the spec, and what the attempts come to.
LIVES: dict[str, tuple[History, dict[str, Any], tuple[str, ...]]] = {
    "one pod": ([*STARTS, *ENDS], {"nodes": 1}, ("Succeeded",)),
    "eight pods": ([*STARTS, *ENDS], {"nodes": 8}, ("Succeeded",)),
    "suspended": (SUSPENDED, {}, ("Suspended",)),
    "suspended and resumed": ([*SUSPENDED, ("suspend", False), *GOES_ON, *ENDS], {}, ("Suspended", "Succeeded")),
    "suspended from the start": ([*STARTS, ("suspend", False), *GOES_ON, *ENDS], {"suspend": True}, ("Succeeded",)),
    "restarted on request": ([*STARTS, ("request",), *GOES_ON, *ENDS], {}, ("RestartRequested", "Succeeded")),
    "failed and restarted on request": (
        [*STARTS, ("end", 0, 78), *GOES, ("request",), *GOES_ON, *ENDS], {}, ("ConfigError", "Succeeded"),
    ),
    "past its deadline": ([*STARTS, ("wait", 60), *GOES], {"deadlines": {"activeSeconds": 60}}, ("DeadlineExceeded",)),
    "past its time to live": ([*STARTS, *ENDS, ("wait", 99)], {"ttlSecondsAfterFinished": 90}, ()),
    "leaving no pods": ([*STARTS, *ENDS, *GOES], {"cleanPods": "All"}, ("Succeeded",)),
    "failed beside a pod that runs": ([*STARTS, ("end", 1, 78), *GOES], {"cleanPods": "Running"}, ("ConfigError",)),
    "an error": ([*STARTS, ("end", 1, 1), ("hear",), ("wait", 11), *GOES_ON, *ENDS], {}, ("AppError", "Succeeded")),
    "a crash": ([*STARTS, ("end", 1, 139), *GOES_ON, *ENDS], {}, ("Crash", "Succeeded")),
    "a crash too many": ([*STARTS, ("end", 0, 139), *GOES], {"restart": {"maxRestarts": 0}}, ("Crash",)),
    "out of memory": ([*STARTS, ("run_out_of_memory", 0), *GOES_ON, *ENDS], {}, ("OOM", "Succeeded")),
    "an eviction": ([*STARTS, ("evict", 0), *GOES_ON, *ENDS], {}, ("Disrupted", "Succeeded")),
    "a pod that is gone": ([*STARTS, ("vanish", 1), *GOES_ON, *ENDS], {}, ("Disrupted", "Succeeded")),
}  # fmt: skip


async def lived(name: str, death: int | None = None, *, answered: bool = True) -> tuple[World, object]:
    """The world after this life, and what is left in it."""
    history, spec, _ = LIVES[name]
    world = World(**({"nodes": 2} | spec))
    if death is not None:
        world.die(death, answered=answered)
    await world.live(history)
    world.gateway.lives = None
    assert await world.calm() <= 10
    if not world.api.all(JOB):
        return world, pods_of(world.api)
    status = world.job()
    attempts = tuple(record.reason for record in status.attempts)
    counts = (status.attempt, status.restarts, len(status.recent_restarts))
    return world, (status.phase, status.reason, counts, attempts, status.failure, pods_of(world.api))


@pytest.mark.parametrize("name", LIVES)
async def test_what_a_life_comes_to(name: str) -> None:
    world, _ = await lived(name)
    attempts = LIVES[name][2]
    assert tuple(record.reason for record in world.job().attempts) == attempts if world.api.all(JOB) else not attempts
    print(f"{name}: {len(world.api.writes)} writes, {', '.join(attempts) or 'nothing is left'}")


@pytest.mark.timeout(300)  # a life for each write, on a machine that may be busy
@pytest.mark.parametrize("answered", [True, False], ids=["taken", "not taken"])
@pytest.mark.parametrize("name", LIVES)
async def test_an_operator_that_dies_at_any_write_changes_nothing(name: str, answered: bool) -> None:
    undisturbed, expected = await lived(name)
    for write in range(1, len(undisturbed.api.writes) + 1):
        world, end = await lived(name, write, answered=answered)
        assert world.deaths == 1, write
        assert end == expected, f"after a death at write {write}: {undisturbed.api.writes[write - 1]}"
