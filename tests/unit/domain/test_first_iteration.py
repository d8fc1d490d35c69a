"""Where an attempt began: what its ranks say of that, not where the former ones were when they were last asked."""

from __future__ import annotations

from dataclasses import replace

import pytest
from harness.observing import ended, later, leading, report, running, seen, told

from pet_operator.domain.decide import decide
from pet_operator.domain.decision import Observed
from pet_operator.domain.events import Event, transitions
from pet_operator.domain.status import CheckpointStatus


def assumed_from(iteration: int) -> Observed:
    """A running job whose attempt was begun when its newest known checkpoint was this one."""
    view = running()
    record = replace(view.status.current, from_iteration=iteration)
    return replace(view, status=replace(view.status, attempts=(record,)))


def test_an_attempt_began_where_its_ranks_say_and_starts_in_place_do_not_change_that() -> None:
    view = replace(assumed_from(10), trainers=told([leading(20, resumedFrom=15)]))
    view = seen(view, decide(view, later(10)))
    assert view.status.current.from_iteration == 15

    view = replace(view, trainers=told([leading(30, resumedFrom=25, restarts=1)]))
    assert decide(view, later(20)).status.current.from_iteration == 15


@pytest.mark.parametrize("code", [0, 1])
def test_one_that_ended_before_it_was_asked_says_it_with_its_last_word(code: int) -> None:
    last_word = report(code, iteration=30, progress={"maxIterations": 200, "resumedFrom": 15})
    view = replace(assumed_from(10), pods=(ended(0, code, last_word),), trainers={})
    assert decide(view, later(10)).status.attempts[0].from_iteration == 15


def test_a_checkpoint_that_ranks_did_not_find_any_more_is_not_told_of() -> None:
    """Somebody has deleted the claim, and another one was made."""
    view = assumed_from(10)
    gone = replace(view.status, checkpoint=CheckpointStatus(10, "model_iter10.pth"))
    view = replace(view, status=gone, trainers=told([leading(3, resumedFrom=None, checkpoint=None)]))
    status = decide(view, later(10)).status
    assert (status.current.from_iteration, status.checkpoint) == (0, None)


LOST = Event(
    "CheckpointLost",
    "attempt 1 began at iteration 5: the checkpoint of iteration 10 that was told of is gone, does not verify or was "
    "given up",
    warning=True,
)


def test_that_it_is_not_there_any_more_is_told_once() -> None:
    view = replace(assumed_from(10), trainers=told([leading(7, resumedFrom=5)]))
    first = decide(view, later(10))
    assert transitions(view.status, first.status, view.validation) == (LOST,)
    again = replace(seen(view, first), trainers=told([leading(8, resumedFrom=5)]))
    assert transitions(again.status, decide(again, later(20)).status, view.validation) == ()


@pytest.mark.parametrize("code", [0, 1])
def test_an_attempt_s_last_word_tells_it_too(code: int) -> None:
    last_word = report(code, iteration=7, progress={"maxIterations": 200, "resumedFrom": 5})
    view = replace(assumed_from(10), pods=(ended(0, code, last_word),), trainers={})
    assert transitions(view.status, decide(view, later(10)).status, view.validation)[0] == LOST


@pytest.mark.parametrize("iteration", [10, 15])
def test_an_attempt_that_began_no_earlier_than_expected_has_lost_nothing(iteration: int) -> None:
    view = replace(assumed_from(10), trainers=told([leading(20, resumedFrom=iteration)]))
    assert transitions(view.status, decide(view, later(10)).status, view.validation) == ()


def test_nothing_is_concluded_before_the_ranks_have_told_their_numbers() -> None:
    view = replace(assumed_from(10), trainers=told([leading(3, resumedFrom=None, maxIterations=None)]))
    assert decide(view, later(10)).status.current.from_iteration == 10


def test_ranks_that_went_back_in_place_are_told_of_once() -> None:
    view = assumed_from(5)
    known = replace(view.status, checkpoint=CheckpointStatus(20, "model_iter20.pth"))
    saved = {"iteration": 15, "file": "model_iter15.pth", "bytes": 1, "savedAt": None, "verified": True}
    view = replace(view, status=known, trainers=told([leading(16, resumedFrom=15, restarts=1, checkpoint=saved)]))
    first = decide(view, later(10))
    words = LOST.message.replace("began at iteration 5", "went on in place at iteration 15").replace("10", "20")
    lost = replace(LOST, message=words)
    assert lost in transitions(view.status, first.status, view.validation)
    again = seen(view, first)
    assert lost not in transitions(again.status, decide(again, later(20)).status, view.validation)
