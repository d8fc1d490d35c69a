"""Until all ranks step there is little to tell: the first numbers wait for that, or for ten seconds."""

from __future__ import annotations

from dataclasses import replace

from harness.observing import SERVICE, answer, begun, later, leading, pods, seen, stands, told
from harness.timeless import NOON

from pet_operator.domain.decide import decide


def test_the_first_numbers_come_with_the_first_step_of_all_ranks_or_after_ten_seconds() -> None:
    starting = begun(spec={"nodes": 2}, pods=pods(2), service=SERVICE)
    starting = seen(starting, decide(starting, NOON))
    assert stands(starting.status)[:2] == ("Starting", "AwaitingFirstStep")

    one_steps = replace(starting, trainers=told([leading(), answer(stepped=False)]))
    held_back = decide(one_steps, later(4))
    assert (held_back.status, held_back.requeue_after) == (starting.status, 6)
    after_ten = decide(one_steps, later(10)).status
    assert after_ten.progress is not None
    assert after_ten.phase == "Starting"

    all_step = decide(replace(starting, trainers=told([leading(), answer()])), later(4)).status
    assert all_step.progress is not None
    assert all_step.phase == "Running"
