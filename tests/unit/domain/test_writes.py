"""How often the status of a running job is written: what a person waits for at once, numbers each ten seconds."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest
from harness.observing import SERVICE, answer, begun, later, leading, pod, running, seen, told

from pet_operator.domain.decide import decide
from pet_operator.domain.decision import Observed


def hearing(view: Observed, iteration: int, **fields: object) -> Observed:
    return replace(view, trainers=told([leading(iteration, **fields)]))


@pytest.mark.parametrize("seconds", [1, 5, 9])
def test_numbers_are_held_back_until_ten_seconds_after_the_last_ones(seconds: int) -> None:
    view = running()
    decision = decide(hearing(view, 20), later(seconds))
    assert (decision.status, decision.requeue_after) == (view.status, 10 - seconds)


def test_after_ten_seconds_they_are_written() -> None:
    view = running()
    decision = decide(hearing(view, 20), later(10))
    assert (decision.status.message, decision.requeue_after) == ("iteration 20 of 200", None)


def test_there_are_never_two_writes_of_numbers_in_ten_seconds() -> None:
    """Answers come each five seconds; a look at them may come at any moment after."""
    view, writes, iteration = running(), [0], 10
    for second in range(1, 121):
        if second % 5 == 1:
            iteration, told_at = iteration + 1, second
        decision = decide(hearing(view, iteration, age=float(second - told_at)), later(second))
        if decision.status != view.status:
            writes.append(second)
        view = seen(view, decision)
    assert min(after - before for before, after in pairwise(writes)) >= 10
    assert len(writes) >= 9


def test_numbers_that_stay_as_they_are_cost_nothing() -> None:
    view = running()
    decision = decide(hearing(view, 10), later(60))
    assert (decision.status, decision.requeue_after) == (view.status, None)


def test_ranks_that_start_again_are_told_at_once() -> None:
    decision = decide(hearing(running(), 20, restarts=1, stepped=False), later(1))
    assert (decision.status.phase, decision.status.restarts, decision.requeue_after) == ("Starting", 1, None)


def test_numbers_that_become_stale_are_told_at_once() -> None:
    view = seen(running(), decide(hearing(running(), 20), later(10)))
    decision = decide(hearing(view, 20, age=31.0), later(11))
    assert decision.status != view.status


def test_pods_that_become_ready_one_by_one_are_not_told() -> None:
    view = begun(spec={"nodes": 2}, pods=(pod(0, "Pending"), pod(1, "Pending")), service=SERVICE)
    starting = seen(view, decide(view, later(15)))
    for pods in ((pod(0), pod(1, "Pending")), (pod(0), pod(1))):
        assert decide(replace(starting, pods=pods), later(16)).status == starting.status


def test_the_ready_pods_are_told_with_what_is_told_anyway() -> None:
    view = begun(spec={"nodes": 2}, pods=(pod(0), pod(1)), service=SERVICE)
    starting = seen(view, decide(view, later(0)))
    status = decide(replace(starting, trainers=told([leading(), answer()])), later(1)).status
    assert status.nodes is not None
    assert status.nodes.ready == 2
