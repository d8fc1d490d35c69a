"""Whatever happens to pods, launchers, watches and operators: what `harness.world` watches over holds, and it ends."""

from __future__ import annotations

from typing import Any

import pytest
from harness.timeless import run
from harness.world import SHARED, World
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pet.config.check import stock_cfg
from pet_operator.domain.constants import JOB

STOCK = "cfgs/tasks/cls/FashionMNIST/slim_resnet_1x.yaml"
NODES = 2
WHICH = st.integers(0, 3)
CODES = st.sampled_from([0, 1, 75, 76, 77, 78, 79, 80, 93, 137, 139, 143])

# What may happen: the world's method, and its arguments.
WORKLOAD = st.one_of(
    st.tuples(st.just("start"), WHICH),
    st.just(("start_all",)),
    st.tuples(st.just("step"), st.integers(1, 200)),
    st.just(("hang",)),
    st.just(("restart_in_place",)),
    st.tuples(st.just("end"), WHICH, CODES, st.booleans()),
    st.just(("finish",)),
    st.tuples(st.just("run_out_of_memory"), WHICH),
    st.tuples(st.just("cut_off"), WHICH),
    st.just(("rejoin",)),
    st.tuples(st.just("vanish"), WHICH),
    st.tuples(st.just("evict"), WHICH),
    st.just(("kubelet",)),
)
PERSON = st.one_of(st.tuples(st.just("suspend"), st.booleans()), st.just(("request",)))
STORAGE = st.one_of(
    st.tuples(st.just("claim"), st.booleans()),
    st.tuples(st.just("rival"), st.booleans()),
    st.just(("take_over",)),
)
OPERATOR = st.one_of(
    st.tuples(st.just("hear"), st.integers(1, 4)),
    st.just(("hear",)),
    st.just(("ask",)),
    st.tuples(st.just("wait"), st.sampled_from([1, 5, 11, 31, 100])),
)
HISTORIES = st.lists(WORKLOAD | OPERATOR | PERSON, max_size=30)
DEATHS = st.lists(st.tuples(st.integers(1, 6), st.booleans()), max_size=4)


async def play(history: list[tuple[Any, ...]], deaths: list[tuple[int, bool]], **spec: Any) -> World:
    """A whole life: some history, with operators that die on the way, then rest."""
    world = World(**({"nodes": NODES, "restart": {"maxRestarts": 2}} | spec))
    remaining = list(deaths)
    for name, *arguments in [("begin",), *history]:
        if remaining and world.gateway.lives is None:
            writes, answered = remaining.pop(0)
            world.die(writes, answered=answered)
        await getattr(world, name)(*arguments)
    world.gateway.lives = None
    assert await world.calm() <= 10
    return world


async def rests(world: World) -> None:
    """Neither the operator nor its successor has anything left to do, and the job stands somewhere."""
    waits = ("Pending",) if world.has_to_wait() else ()
    assert world.job().phase in ("Starting", "Running", "Suspended", "Succeeded", "Failed", *waits)
    before = len(world.api.writes)
    await world.succeed()
    await world.wait(70)
    assert world.api.writes[before:] == []


async def after(history: list[tuple[Any, ...]], deaths: list[tuple[int, bool]], **spec: Any) -> World:
    world = await play(history, deaths, **spec)
    await rests(world)
    return world


@settings(max_examples=30)
@given(history=HISTORIES)
def test_a_healthy_operator_keeps_order(history: list[tuple[Any, ...]]) -> None:
    run(after(history, []))


@settings(max_examples=30)
@given(history=HISTORIES, deaths=DEATHS, deadline=st.integers(1, 200))
def test_a_job_with_a_deadline_ends_by_then_whatever_happens(
    history: list[tuple[Any, ...]], deaths: list[tuple[int, bool]], deadline: int
) -> None:
    """Unless it is suspended: its time begins anew when it goes on."""

    async def ends() -> None:
        world = await play(history, deaths, deadlines={"activeSeconds": deadline})
        await world.wait(deadline + 1)
        assert await world.calm() <= 10
        await rests(world)
        assert world.job().phase in ("Suspended", "Succeeded", "Failed")

    run(ends())


@settings(max_examples=30)
@given(history=HISTORIES, deaths=DEATHS)
def test_operators_that_die_between_any_two_writes_keep_order(
    history: list[tuple[Any, ...]], deaths: list[tuple[int, bool]]
) -> None:
    run(after(history, deaths))


RUNS: list[tuple[Any, ...]] = [("hear",), ("start_all",), ("hear",), ("step", 150), ("ask",)]
NEXT: list[tuple[Any, ...]] = [("hear",), ("kubelet",), ("hear",)]


@settings(max_examples=30)
@example(history=[*RUNS, ("rival", True), ("take_over",), ("hear",), ("vanish", 0), *NEXT], deaths=[], there=True)
@example(history=[*RUNS, ("suspend", True), *NEXT, ("claim", False), ("suspend", False), *NEXT], deaths=[], there=True)
@given(history=st.lists(WORKLOAD | OPERATOR | PERSON | STORAGE, max_size=30), deaths=DEATHS, there=st.booleans())
def test_a_job_never_begins_without_its_claim_or_in_another_job_s_folder(
    history: list[tuple[Any, ...]], deaths: list[tuple[int, bool]], there: bool
) -> None:
    prepared: list[tuple[Any, ...]] = [("claim", there), ("hear",)]
    run(after(prepared + history, deaths, checkpoint={"volume": {"claimName": SHARED}}))


LIFE: list[tuple[Any, ...]] = [
    ("hear",), ("start_all",), ("hear",), ("step", 150), ("ask",), ("wait", 11),
    ("end", 0, 139, True), ("hear",), ("kubelet",), ("hear",), ("wait", 2),
    ("hear",), ("start_all",), ("hear",), ("step", 150), ("ask",), ("finish",), ("hear",),
]  # fmt: skip


@pytest.mark.parametrize("answered", [True, False], ids=["taken", "not taken"])
@pytest.mark.parametrize("write", range(1, 17))
async def test_killed_at_each_write_of_a_life_it_comes_to_the_same_end(write: int, answered: bool) -> None:
    world = await after(LIFE, [(write, answered)])
    assert world.deaths == 1
    status = world.job()
    assert (status.phase, status.attempt, status.restarts) == ("Succeeded", 2, 1)
    assert [record.reason for record in status.attempts] == ["Crash", "Succeeded"]


CUT_OFF: list[tuple[Any, ...]] = [
    ("hear",), ("start_all",), ("hear",), ("step", 150), ("ask",), ("wait", 11),
    ("cut_off", 1), ("hear",), ("wait", 29), ("wait", 2), ("kubelet",), ("hear",), ("wait", 61),
    ("kubelet",), ("hear",), ("wait", 61),
    ("hear",), ("start_all",), ("hear",), ("ask",), ("rejoin",), ("finish",), ("hear",),
]  # fmt: skip


@pytest.mark.parametrize("answered", [True, False], ids=["taken", "not taken"])
@pytest.mark.parametrize("write", range(1, 20))
async def test_killed_at_each_write_while_a_node_is_lost_it_comes_to_the_same_end(write: int, answered: bool) -> None:
    world = await after(CUT_OFF, [(write, answered)])
    assert world.deaths == 1
    status = world.job()
    assert (status.phase, status.attempt, status.restarts, status.recent_restarts) == ("Succeeded", 2, 1, ())
    assert [(record.reason, record.node) for record in status.attempts] == [("NodeLost", "node-1"), ("Succeeded", "")]


async def test_the_life_with_a_lost_node_has_so_many_writes() -> None:
    world = await after(CUT_OFF, [])
    assert (world.deaths, len(world.api.writes)) == (0, 19)
    deleted = {name for verb, plural, name in world.api.writes if verb == "delete"}
    assert deleted == {"job-1-0", "job-1-1"}


async def test_that_life_has_so_many_writes() -> None:
    """Or the test above leaves some of them out."""
    world = await after(LIFE, [])
    assert (world.deaths, len(world.api.writes)) == (0, 16)


async def test_a_job_of_eight_pods_costs_fourteen_writes_and_an_operator_s_restart_none() -> None:
    config = stock_cfg(STOCK)
    life: list[tuple[Any, ...]] = [
        ("hear",), *[("start", 0), ("hear",)] * 8, ("step", 10), ("ask",), ("wait", 5), ("finish",), ("hear",),
    ]  # fmt: skip
    world = await after(life, [], nodes=8, config=config, checkpoint={})
    assert world.job().phase == "Succeeded"
    assert len(world.api.writes) == 14
    assert sum(plural == JOB.plural for _, plural, _ in world.api.writes) == 4


async def test_numbers_cost_a_write_in_ten_seconds() -> None:
    life: list[tuple[Any, ...]] = [("hear",), ("start_all",), ("hear",), ("step", 1), ("ask",)]
    for _ in range(24):
        life += [("wait", 5), ("step", 1), ("ask",)]
    world = await play(life, [])
    assert sum(plural == JOB.plural for _, plural, _ in world.api.writes) <= 3 + 13
