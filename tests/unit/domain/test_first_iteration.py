"""Where an attempt began: what its ranks say of that, not where the former ones were when they were last asked."""

from __future__ import annotations

from dataclasses import replace

from harness.observing import later, leading, running, seen, told

from pet_operator.domain.decide import decide


def test_an_attempt_began_where_its_ranks_say_and_starts_in_place_do_not_change_that() -> None:
    view = running()
    assumed = replace(view.status.current, from_iteration=10)
    view = replace(view, status=replace(view.status, attempts=(assumed,)))

    view = replace(view, trainers=told([leading(20, resumedFrom=15)]))
    view = seen(view, decide(view, later(10)))
    assert view.status.current.from_iteration == 15

    view = replace(view, trainers=told([leading(30, resumedFrom=25, restarts=1)]))
    assert decide(view, later(20)).status.current.from_iteration == 15
