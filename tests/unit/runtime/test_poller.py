"""Asking launchers: whom, how often, and what is worth another look at the job."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from harness.memory_api import MemoryApi
from harness.memory_operator import KEY, MemoryOperator, change_pod, status_of, submit
from harness.timeless import LoopClock

from pet_operator.runtime.cache import Answer
from pet_operator.runtime.poller import Poller
from pet_operator.runtime.ports import Key, Manifest


class Launchers:
    """What is answered by address; an exception is raised."""

    def __init__(self) -> None:
        self.answers: dict[str, Any] = {}
        self.asked: list[tuple[str, int]] = []

    async def status(self, address: str, port: int) -> Manifest:
        self.asked.append((address, port))
        answer = self.answers.get(address, ConnectionError("refused"))
        if isinstance(answer, Exception):
            raise answer
        return dict(answer)


class Bench:
    """A job with one running pod per node, and somebody who asks their launchers."""

    def __init__(self) -> None:
        self.api = MemoryApi()
        self.operator = MemoryOperator(self.api)
        self.launchers = Launchers()
        self.told: list[Key] = []
        self.poller = Poller(self.operator.cache, self.launchers, LoopClock(), self.told.append, 5.0)

    async def begin(self, nodes: int = 1, **spec: Any) -> None:
        submit(self.api, nodes=nodes, **spec)
        await self.operator.list()
        await self.operator.work()
        for index in range(nodes):
            change_pod(self.api, f"job-1-{index}", phase="Running", podIP=f"10.0.0.{index}")
            self.launchers.answers[f"10.0.0.{index}"] = self.answer(nodeIndex=index)
        await self.operator.list()

    def answer(self, **fields: Any) -> dict[str, Any]:
        uid = self.operator.cache.jobs.of(KEY)[0]["metadata"]["uid"]
        ranks = [{"rank": rank, "lastStepAgeSeconds": None} for rank in range(2)]
        plain = {"schema": 1, "uid": uid, "attempt": 1, "restarts": 0, "state": "loading", "iteration": None}
        return {**plain, "ranks": ranks, **fields}

    def known(self) -> Answer:
        (answer,) = self.operator.cache.answers.values()
        return answer


async def test_every_running_pod_of_the_attempt_is_asked_at_the_job_s_port() -> None:
    bench = Bench()
    await bench.begin(nodes=2, metrics={"port": 9401})
    await bench.poller.round()
    assert sorted(bench.launchers.asked) == [("10.0.0.0", 9401), ("10.0.0.1", 9401)]


async def test_nobody_is_asked_in_pods_that_do_not_run_or_belong_to_the_past() -> None:
    bench = Bench()
    await bench.begin(nodes=4)
    change_pod(bench.api, "job-1-0", phase="Succeeded")
    change_pod(bench.api, "job-1-1", podIP="")
    change_pod(bench.api, "job-1-2", phase="Pending")
    await bench.operator.list()
    await bench.poller.round()
    assert bench.launchers.asked == [("10.0.0.3", 9400)]


async def test_nobody_is_asked_of_a_job_that_has_finished() -> None:
    bench = Bench()
    await bench.begin(cleanPods="None")
    change_pod(bench.api, "job-1-0", phase="Succeeded")
    await bench.operator.list()
    await bench.operator.work()
    assert status_of(bench.api).phase == "Succeeded"
    change_pod(bench.api, "job-1-0", phase="Running")
    await bench.operator.list()
    await bench.poller.round()
    assert bench.launchers.asked == []


async def test_news_are_told_and_the_same_again_is_not() -> None:
    bench = Bench()
    await bench.begin()
    for answers in range(3):
        await bench.poller.round()
        assert len(bench.told) == 1, answers


STEPPED = [{"rank": rank, "lastStepAgeSeconds": 0.5} for rank in range(2)]
SAVED = {"iteration": 5, "file": "a.pth", "bytes": 7, "ageSeconds": 4.0, "verified": False}


@pytest.mark.parametrize(
    "news",
    [
        {"state": "training"},
        {"iteration": 3},
        {"restarts": 1},
        {"losses": {"total": 0.5}},
        {"metrics": {"top1": 0.5}},
        {"ranks": STEPPED},
        {"checkpoint": SAVED},
        {"resumedFrom": 0},
        {"maxIterations": 100},
    ],
    ids=lambda news: next(iter(news)),
)
async def test_whatever_is_shown_is_news(news: dict[str, Any]) -> None:
    bench = Bench()
    await bench.begin()
    await bench.poller.round()
    bench.launchers.answers["10.0.0.0"] |= news
    await bench.poller.round()
    assert bench.told == [KEY, KEY]


async def test_an_age_is_no_news_and_a_verified_checkpoint_is() -> None:
    bench = Bench()
    await bench.begin()
    bench.launchers.answers["10.0.0.0"] |= {"ranks": STEPPED, "checkpoint": SAVED}
    await bench.poller.round()
    bench.launchers.answers["10.0.0.0"] |= {
        "ranks": [{**rank, "lastStepAgeSeconds": 9.0} for rank in STEPPED],
        "checkpoint": {**SAVED, "ageSeconds": 9.0},
    }
    await bench.poller.round()
    assert len(bench.told) == 1
    bench.launchers.answers["10.0.0.0"]["checkpoint"] = {**SAVED, "verified": True}
    await bench.poller.round()
    assert len(bench.told) == 2


@pytest.mark.parametrize("foreign", [{"uid": "another"}, {"attempt": 2}, {"uid": None}, {"attempt": "1"}])
async def test_another_pod_that_has_the_address_by_now_is_not_believed(foreign: dict[str, Any]) -> None:
    bench = Bench()
    await bench.begin()
    bench.launchers.answers["10.0.0.0"] |= {"iteration": 7, **foreign}
    await bench.poller.round()
    assert (bench.known().status, bench.told) == (None, [])


@pytest.mark.parametrize("failure", [ConnectionError("no"), TimeoutError(), ValueError("no JSON"), {"uid": "another"}])
async def test_what_was_told_is_kept_with_its_age_until_it_is_too_old(failure: Any) -> None:
    bench = Bench()
    await bench.begin()
    await bench.poller.round()
    good = bench.known()
    bench.launchers.answers["10.0.0.0"] = failure
    clock = LoopClock()
    while clock.monotonic() < 30:
        await bench.poller.round()
        await asyncio.sleep(5)
    assert (bench.known(), bench.told) == (good, [KEY])
    await asyncio.sleep(1)
    await bench.poller.round()
    assert (bench.known(), bench.told) == (good, [KEY, KEY])
    view = bench.operator.cache.observe(KEY, synced=True)
    assert view is not None
    assert [trainer.age for trainer in view.trainers.values()] == [31.0]


async def test_a_launcher_that_answers_again_is_news_even_if_it_says_the_same() -> None:
    bench = Bench()
    await bench.begin()
    await bench.poller.round()
    await asyncio.sleep(31)
    await bench.poller.round()
    assert bench.told == [KEY, KEY]


async def test_a_launcher_that_never_answers_is_news_sooner() -> None:
    bench = Bench()
    await bench.begin()
    bench.launchers.answers.clear()
    await bench.poller.round()
    await asyncio.sleep(15)
    await bench.poller.round()
    assert bench.told == []
    await asyncio.sleep(1)
    await bench.poller.round()
    assert (bench.known(), bench.told) == (Answer(None, 0.0), [KEY])


async def test_a_rank_that_makes_no_step_is_news_in_each_round_once_it_may_hang() -> None:
    bench = Bench()
    await bench.begin()
    for age in (0.5, 9.0, 14.0, 19.0, 24.0):
        still = [{"rank": rank, "section": "data", "lastStepAgeSeconds": age} for rank in range(2)]
        bench.launchers.answers["10.0.0.0"]["ranks"] = still
        await bench.poller.round()
    assert len(bench.told) == 3


async def test_what_a_rank_is_at_is_news_before_its_first_step_and_not_after() -> None:
    bench = Bench()
    await bench.begin()
    for age, times in ((None, 3), (0.1, 4)):
        for section in ("init", "data", "step"):
            ranks = [{"rank": 0, "section": section, "lastStepAgeSeconds": age}]
            bench.launchers.answers["10.0.0.0"]["ranks"] = ranks
            await bench.poller.round()
        assert len(bench.told) == times


async def test_junk_is_an_answer_that_tells_nothing() -> None:
    bench = Bench()
    await bench.begin()
    bench.launchers.answers["10.0.0.0"] = bench.answer(restarts="many", ranks=[5, {}], losses=[], checkpoint="a.pth")
    await bench.poller.round()
    status = bench.known().status
    assert status is not None
    assert (status.restarts, status.stepped, status.checkpoint) == (0, 0, None)


async def test_answers_of_pods_that_are_gone_are_forgotten() -> None:
    bench = Bench()
    await bench.begin()
    await bench.poller.round()
    change_pod(bench.api, "job-1-0", phase="Failed")
    await bench.operator.list()
    await bench.poller.round()
    assert bench.operator.cache.answers == {}


async def test_one_that_hangs_is_waited_for_and_delays_nobody_else() -> None:
    bench = Bench()
    await bench.begin(nodes=2)
    asked = bench.launchers.status

    async def status(address: str, port: int) -> Manifest:
        answer = await asked(address, port)
        if address == "10.0.0.0":
            await asyncio.sleep(12)
        return answer

    bench.launchers.status = status  # type: ignore[method-assign]
    task = asyncio.create_task(bench.poller.run())
    await asyncio.sleep(21)
    task.cancel()
    addresses = [address for address, _ in bench.launchers.asked]
    assert (addresses.count("10.0.0.0"), addresses.count("10.0.0.1")) == (2, 5)


async def test_it_asks_round_after_round() -> None:

    bench = Bench()
    await bench.begin()
    task = asyncio.create_task(bench.poller.run())
    await asyncio.sleep(21)
    task.cancel()
    assert len(bench.launchers.asked) == 5


async def stepping(nodes: int = 8) -> Bench:
    """A job whose ranks all step; rank 0 is on node 2."""
    bench = Bench()
    await bench.begin(nodes=nodes)
    for index in range(nodes):
        numbers = {"iteration": 7, "maxIterations": 100} if index == 2 else {}
        bench.launchers.answers[f"10.0.0.{index}"] |= {"state": "training", "ranks": STEPPED, **numbers}
    await bench.poller.round()
    await bench.operator.list()
    await bench.operator.work()
    assert status_of(bench.api).phase == "Running"
    bench.launchers.asked.clear()
    return bench


async def rounds(bench: Bench, number: int) -> list[str]:
    """Who is asked in so many rounds: the last digit of each address."""
    bench.launchers.asked.clear()
    for _ in range(number):
        await asyncio.sleep(5)
        await bench.poller.round()
    return sorted(address[-1] for address, _ in bench.launchers.asked)


async def test_while_all_step_rank_0_is_asked_in_each_round_and_the_others_in_turns() -> None:
    bench = await stepping()
    assert await rounds(bench, 3) == [*"0122234567"]
    assert sorted([len(await rounds(bench, 1)) for _ in range(3)]) == [2, 4, 4]
    assert len(bench.operator.cache.answers) == 8


async def test_all_are_asked_when_rank_0_may_hang() -> None:
    bench = await stepping()
    late = [{"rank": 0, "section": "step", "lastStepAgeSeconds": 16.0}]
    bench.launchers.answers["10.0.0.2"] |= {"ranks": late}
    await bench.poller.round()
    assert await rounds(bench, 1) == [*"01234567"]


async def test_one_that_missed_its_turn_is_asked_in_each_round() -> None:
    bench = await stepping()
    bench.launchers.answers["10.0.0.4"] = TimeoutError()
    await rounds(bench, 4)
    assert (await rounds(bench, 3)).count("4") == 3


async def test_all_are_asked_while_some_rank_has_not_made_a_step() -> None:
    bench = await stepping()
    bench.launchers.answers["10.0.0.2"] |= {"ranks": [{"rank": 0, "section": "step", "lastStepAgeSeconds": None}]}
    await rounds(bench, 1)
    bench.operator.queue.add(KEY)
    await bench.operator.work()
    assert await rounds(bench, 1) == [*"01234567"]
