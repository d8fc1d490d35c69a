"""The queue of jobs to be looked at: each once, by one worker at a time, and no earlier than it should be."""

from __future__ import annotations

import asyncio

import pytest
from harness.timeless import settle

from pet_operator.runtime.ports import Key
from pet_operator.runtime.queue import KeyedQueue

A, B = Key("default", "a"), Key("default", "b")


def now() -> float:
    return asyncio.get_running_loop().time()


async def test_many_reasons_to_look_at_a_job_are_one() -> None:
    queue = KeyedQueue()
    for key in (A, B, A, A):
        queue.add(key)
    assert len(queue) == 2
    assert [await queue.get(), await queue.get()] == [A, B]


async def test_a_job_that_is_looked_at_is_looked_at_again_afterwards_and_once() -> None:
    queue = KeyedQueue()
    queue.add(A)
    await queue.get()
    queue.add(A)
    queue.add(A)
    assert len(queue) == 0
    queue.done(A)
    assert len(queue) == 1
    assert await queue.get() == A
    queue.done(A)
    assert len(queue) == 0


async def test_no_two_workers_have_the_same_job() -> None:
    queue, working, most = KeyedQueue(), {A: 0, B: 0}, {A: 0, B: 0}

    async def work() -> None:
        while True:
            key = await queue.get()
            working[key] += 1
            most[key] = max(most[key], working[key])
            await asyncio.sleep(1)
            working[key] -= 1
            queue.done(key)

    workers = [asyncio.create_task(work()) for _ in range(4)]
    for _ in range(20):
        queue.add(A)
        queue.add(B)
        await asyncio.sleep(0.3)
    for worker in workers:
        worker.cancel()
    assert most == {A: 1, B: 1}


async def test_a_worker_waits_until_there_is_something() -> None:
    queue = KeyedQueue()
    waiting = [asyncio.create_task(queue.get()) for _ in range(2)]
    await settle()
    queue.add(A)
    await settle()
    assert sorted(task.done() for task in waiting) == [False, True]
    queue.add(B)
    assert set(await asyncio.gather(*waiting)) == {A, B}


async def test_a_worker_that_is_cancelled_takes_nothing_with_it() -> None:
    queue = KeyedQueue()
    waiting = asyncio.create_task(queue.get())
    await settle()
    waiting.cancel()
    queue.add(A)
    assert await queue.get() == A


@pytest.mark.parametrize("delays", [(5, 3, 9), (3, 9, 5), (9, 5, 3)])
async def test_of_several_times_the_earliest_counts(delays: tuple[float, ...]) -> None:
    queue = KeyedQueue()
    for delay in delays:
        queue.add_after(A, delay)
    assert await queue.get() == A
    assert now() == 3
    queue.done(A)
    queue.add_after(B, 100)
    assert await queue.get() == B  # and A never again
    assert now() == 103


async def test_a_job_that_becomes_due_while_it_is_looked_at_comes_afterwards() -> None:
    queue = KeyedQueue()
    queue.add(A)
    await queue.get()
    queue.add_after(A, 1)
    await asyncio.sleep(2)
    assert len(queue) == 0
    queue.done(A)
    assert await queue.get() == A


async def failures(queue: KeyedQueue, number: int, at_least: float = 0.0) -> list[float]:
    delays = []
    for _ in range(number):
        before = now()
        queue.retry(A, at_least)
        await queue.get()
        queue.done(A)
        delays.append(now() - before)
    return delays


async def test_what_fails_again_and_again_is_tried_ever_later_up_to_a_minute() -> None:
    for delay, expected in zip(
        await failures(KeyedQueue(), 12), [0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 25.6, 51.2, 60, 60, 60], strict=True
    ):
        assert 0.75 * expected <= delay <= 1.25 * expected + 1e-6


async def test_a_job_may_fail_for_days() -> None:
    assert (await failures(KeyedQueue(), 2000))[-1] <= 75


async def test_after_a_success_the_next_failure_is_a_first_one() -> None:
    queue = KeyedQueue()
    await failures(queue, 8)
    queue.forget(A)
    assert (await failures(queue, 1))[0] <= 0.25 + 1e-6


async def test_a_server_that_says_when_is_not_asked_before() -> None:
    assert (await failures(KeyedQueue(), 1, at_least=30.0))[0] == 30


async def test_the_age_of_the_longest_work_is_known() -> None:
    queue = KeyedQueue()
    assert queue.oldest() == 0
    for key in (A, B):
        queue.add(key)
        await queue.get()
        await asyncio.sleep(5)
    assert queue.oldest() == 10
    queue.done(A)
    assert queue.oldest() == 5
