"""What other operators got wrong, by their issues, and ours must not: each test is named after what it prevents."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from harness.memory_api import refuse
from harness.memory_operator import KEY, pods_of, status_of
from harness.observing import condition
from harness.world import World

from pet_operator.domain.constants import EVENT, JOB, POD
from pet_operator.runtime.ports import ApiError

History = list[tuple[Any, ...]]
HOUR = ("wait", 3600)
STEPS: History = [("hear",), ("start_all",), ("hear",), ("step", 150), ("ask",)]
RUNS: History = [("begin",), *STEPS, ("wait", 11)]
GOES: History = [("hear",), ("kubelet",), ("hear",), ("wait", 3), ("hear",)]


async def lived(history: History, **spec: Any) -> World:
    world = World(**({"nodes": 2} | spec))
    await world.live(history)
    return world


def written(world: World, plural: str, since: int = 0) -> int:
    """How many writes of this kind there were after so many of any kind."""
    return sum(what == plural for _, what, _ in world.api.writes[since:])


async def test_restarting_for_ever() -> None:
    """kubeflow/trainer#2072"""
    world = await lived([*RUNS, ("end", 0, 139), *GOES, *STEPS])
    status = world.job()
    assert (status.phase, status.attempt, status.restarts) == ("Running", 2, 1)
    assert condition(status, "Running").status == "True"
    assert condition(status, "Reconciling").status == "False"


@pytest.mark.parametrize("name", ["vanish", "run_out_of_memory", "evict"])
async def test_one_worker_replaced_while_the_others_hang(name: str) -> None:
    """kubeflow/trainer#2269, #2300"""
    world = await lived([*RUNS, (name, 1), ("hear",), ("wait", 31), *GOES], nodes=4)
    alive = {pod for pod, phase in pods_of(world.api).items() if phase not in ("Succeeded", "Failed")}
    assert alive == {f"job-2-{index}" for index in range(4)}


async def test_running_for_ever_after_the_loss_of_rank_0() -> None:
    """ray-project/kuberay#3860, #3903"""
    world = await lived([*RUNS, ("vanish", 0), ("hear",)])
    assert world.job().phase == "Restarting"


async def test_a_deadline_that_never_fires_on_a_quiet_job() -> None:
    """kubeflow/trainer#3358"""
    world = await lived([*RUNS, HOUR, ("kubelet",), ("hear",)], deadlines={"activeSeconds": 3600})
    assert (world.job().phase, world.job().reason) == ("Failed", "DeadlineExceeded")


async def test_gpus_that_leak_since_a_deletion_at_a_deadline_failed() -> None:
    world = await lived(RUNS, deadlines={"activeSeconds": 60})
    world.api.fault = refuse(500, "InternalError", verbs="delete")
    await world.live([("wait", 60)])
    assert len(pods_of(world.api)) == 2
    world.api.fault = lambda *_: None
    await world.live([("wait", 61), *GOES])
    assert pods_of(world.api) == {}
    assert world.job().reason == "DeadlineExceeded"


async def test_a_time_to_live_that_is_kept_hours_late_or_runs_the_job_again() -> None:
    """kubeflow/trainer#1533, #2981, #3737"""
    world = await lived([*RUNS, ("finish",), ("hear",), ("wait", 80)], ttlSecondsAfterFinished=90)
    assert world.api.all(JOB) != []
    made = written(world, POD.plural)
    await world.live([("succeed",), ("wait", 10)])
    assert world.api.all(JOB) == []
    assert written(world, POD.plural) == made


async def test_no_state_until_the_end() -> None:
    """kubeflow/trainer#2713, #1598, #1856, #2327"""
    world = World(nodes=2)
    seen = []
    for step in [*RUNS, ("finish",), ("hear",)]:
        await world.live([step])
        status = world.job()
        assert status.phase
        assert status.reason
        assert status.message
        seen.append(status.phase)
    assert list(dict.fromkeys(seen)) == ["Pending", "Starting", "Running", "Succeeded"]


async def test_suspended_while_it_runs() -> None:
    """kubeflow/trainer#3666, #2713, #1711"""
    world = await lived([*RUNS, ("suspend", True), *GOES])
    assert (world.job().phase, condition(world.job(), "Suspended").status) == ("Suspended", "True")
    await world.live([("suspend", False), *GOES, *STEPS])
    assert (world.job().phase, condition(world.job(), "Suspended").status) == ("Running", "False")
    assert condition(world.job(), "Running").status == "True"


async def test_restarts_without_end() -> None:
    """kubeflow/trainer#2045, #1589"""
    fruitless: History = [("hear",), ("start_all",), ("hear",), ("end", 0, 139), *GOES, ("wait", 70)]
    world = await lived([("begin",), *fruitless * 4], restart={"maxRestarts": 2})
    assert (world.job().phase, world.job().attempt) == ("Failed", 3)


async def test_restarts_counted_twice_and_failures_not() -> None:
    """kubeflow/trainer#2408: a job and its operator that begin again are one restart."""
    world = await lived([*RUNS, ("end", 0, 139), *GOES, ("succeed",), *STEPS, ("succeed",), ("ask",)])
    assert (world.job().restarts, world.job().attempt) == (1, 2)
    assert [record.reason for record in world.job().attempts] == ["Crash", ""]


async def test_a_root_cause_that_is_gone_with_its_pod() -> None:
    """kubeflow/trainer#1749, #2220, #869, #3671"""
    world = await lived([*RUNS, ("end", 1, 78), *GOES], cleanPods="All")
    assert pods_of(world.api) == {}
    failure = status_of(world.api).failure
    assert failure is not None
    assert (failure.pod, failure.exit_code, failure.class_) == ("job-1-1", 78, "ConfigError")


async def test_an_event_for_each_look() -> None:
    world = await lived(RUNS)
    before = len(world.api.writes)
    for _ in range(50):
        await world.operator.look()
    await world.live([HOUR, ("succeed",), ("wait", 60)])
    assert written(world, EVENT.plural, before) <= 1  # that its numbers are no longer fed


async def test_an_object_of_the_cache_that_is_changed_by_a_look() -> None:
    world = await lived(RUNS)
    before = copy.deepcopy(world.operator.cache.job(KEY))
    world.api.fault = lambda *_: (_ for _ in ()).throw(ApiError(500, "InternalError", "no"))
    await world.live([("end", 0, 139), ("hear",)])
    assert world.operator.cache.job(KEY) == before
