"""Jobs for which nothing may be done: what is shown of them is true all the same."""

from __future__ import annotations

from dataclasses import replace

import pytest
from harness.observing import ended, later, leading, report, running, seen, told
from harness.timeless import NOON

from pet_operator.domain.decide import decide


@pytest.mark.parametrize("what", [{"synced": False}, {"deleting": True}], ids=["a gap", "deleted"])
def test_numbers_go_on_as_long_as_a_launcher_tells_them(what: dict[str, bool]) -> None:
    view = replace(running(), **what, trainers=told([leading(60)]))  # type: ignore[arg-type]
    decision = decide(view, later(30))
    progress = decision.status.progress
    assert progress is not None
    assert (progress.iteration, progress.stale, decision.actions) == (60, False, ())


@pytest.mark.parametrize("what", [{"synced": False}, {"deleting": True}], ids=["a gap", "deleted"])
def test_numbers_that_nobody_tells_any_more_are_marked(what: dict[str, bool]) -> None:
    view = replace(running(), **what, trainers=told([leading(60, age=31)]))  # type: ignore[arg-type]
    decision = decide(view, later(60))
    assert (decision.status.display.step, decision.actions) == ("~60/200", ())


def test_a_job_that_something_keeps_from_going_says_so_and_that_its_pods_are_gone() -> None:
    view = replace(running(), deleting=True, pods=(), trainers={})
    decision = decide(view, later(60))
    status = decision.status
    assert (status.reason, status.display.step, status.nodes.ready) == ("Deleting", "~10/200", 0)
    assert decision.actions == ()
    assert decide(seen(view, decision), later(70)).status == seen(view, decision).status


def test_pods_that_ended_are_no_end_of_the_attempt_until_the_view_is_whole() -> None:
    view = replace(running(), synced=False, pods=(ended(0, 78, report(78)),))
    decision = decide(view, later(60))
    assert (decision.status.phase, decision.actions) == ("Running", ())
    assert decision.requeue_after is not None
    assert decide(replace(view, synced=True), later(60)).status.phase == "Failed"
    assert decide(replace(view, pods=()), NOON).status.attempt == 1
