"""What became of the time of a job: each second once, and under the right heading."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, replace
from typing import Any

import pytest
from harness.observing import (
    SERVICE,
    answer,
    begun,
    ended,
    job,
    later,
    leading,
    observed,
    pod,
    pods,
    report,
    running,
    seen,
    told,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from pet_operator.domain.decide import decide
from pet_operator.domain.decision import Observed
from pet_operator.domain.status import Accounting, JobStatus
from pet_operator.domain.views import PodView

NODES, GPUS = 2, 4  # of each
FORMER = (replace(pod(0), job_uid="another"),)  # of a deleted job of the same name
REST = ("Suspended", "Succeeded", "Failed")


def account(status: JobStatus) -> Accounting:
    assert status.accounting is not None
    return status.accounting


def headings(status: JobStatus) -> dict[str, int]:
    """What is not 0, by heading."""
    all_ = {"productive": account(status).productive_seconds, **asdict(account(status).lost_seconds)}
    return {name: seconds for name, seconds in all_.items() if seconds}


def at(view: Observed, seconds: float, **changes: Any) -> Observed:
    """The view once what is decided then is written."""
    view = replace(view, **changes)
    return seen(view, decide(view, later(seconds)))


def placed(seconds: float, **changes: Any) -> tuple[PodView, ...]:
    """Running pods that all got their nodes then."""
    return pods(NODES, scheduled_at=later(seconds), **changes)


def made(**spec: Any) -> Observed:
    """An attempt of which no pod has a node yet, with that written at noon."""
    view = begun(spec={"nodes": NODES, "gpusPerNode": GPUS, **spec}, service=SERVICE)
    return at(view, 0, pods=pods(NODES, "Pending"))


def stepping(iteration: int = 10, **fields: Any) -> dict[str, Any]:
    return told([leading(iteration, ranks=GPUS, **fields), answer(ranks=GPUS)])


def trained(seconds: float = 100, **fields: Any) -> Observed:
    """Nodes after 20 s, the first steps after 50, and numbers written then."""
    view = at(made(), 50, pods=placed(20), trainers=stepping())
    return at(view, seconds, trainers=stepping(20, **fields))


def test_seconds_until_the_nodes_are_of_the_queue_until_the_first_steps_of_the_startup_then_productive() -> None:
    status = trained().status
    assert headings(status) == {"queue": 20, "startup": 30, "productive": 50}
    assert account(status).gpu_seconds == NODES * GPUS * 80
    assert (account(status).gpus, account(status).counted_until) == (NODES * GPUS, later(100))


def test_a_pod_that_has_its_node_early_holds_its_gpus_while_the_others_are_queued() -> None:
    view = at(made(), 50, pods=(pod(0, scheduled_at=later(10)), pod(1, scheduled_at=later(40))), trainers=stepping())
    assert headings(view.status) == {"queue": 40, "startup": 10}
    assert account(view.status).gpu_seconds == GPUS * (40 + 10)


def test_what_waits_before_its_first_attempt_is_queued() -> None:
    spec = {"nodes": NODES, "gpusPerNode": GPUS}
    waiting = at(observed(spec=spec, predecessors=FORMER), 0)
    assert waiting.status.attempt == 0
    status = at(waiting, 30, predecessors=()).status
    assert (headings(status), account(status).gpu_seconds) == ({"queue": 30}, 0)


def test_what_the_ranks_tell_of_redone_steps_and_of_saves_is_not_productive() -> None:
    first = {"productiveSeconds": 10.9, "redoSeconds": 20.5, "stallSeconds": 3.2, "startupSeconds": 9.0}
    view = trained(accounting=first)
    assert headings(view.status) == {"queue": 20, "startup": 30, "redo": 20, "stall": 3, "productive": 27}
    second = {"productiveSeconds": 60.0, "redoSeconds": 21.5, "stallSeconds": 5.0}
    status = at(view, 150, trainers=stepping(30, accounting=second)).status
    assert headings(status) == {"queue": 20, "startup": 30, "redo": 21, "stall": 5, "productive": 74}


def test_steps_that_were_made_before_anybody_looked_are_no_startup() -> None:
    """An operator that was away comes back to ranks that step."""
    counts = {"productiveSeconds": 25.0, "redoSeconds": 2.0, "stallSeconds": 1.0}
    status = at(made(), 50, pods=placed(20), trainers=stepping(accounting=counts)).status
    assert headings(status) == {"queue": 20, "startup": 2, "redo": 2, "stall": 1, "productive": 25}


def test_a_start_in_place_tells_from_0_again() -> None:
    view = trained(accounting={"productiveSeconds": 40.0, "redoSeconds": 0.0, "stallSeconds": 5.0})
    again = told([leading(20, ranks=GPUS, stepped=False, restarts=1), answer(ranks=GPUS, stepped=False, restarts=1)])
    view = at(view, 110, trainers=again)
    view = at(view, 130, trainers=stepping(18, restarts=1, accounting={"productiveSeconds": 0.0, "redoSeconds": 4.0}))
    assert headings(view.status) == {"queue": 20, "startup": 46, "redo": 4, "stall": 5, "productive": 55}


def test_seconds_of_a_hang_are_lost_from_its_last_step_on() -> None:
    view = trained()
    still = {"ranks": GPUS, "idle": 35.0, "section": "data"}
    hung = told([leading(20, stepSeconds=0.2, **still), answer(**still)])
    view = at(view, 140, trainers=hung)
    assert view.status.reason == "Hung"
    assert headings(view.status) == {"queue": 20, "startup": 30, "productive": 55, "stall": 35}
    over = (ended(0, 76, report(76), at=later(150)), ended(1, 75, report(75), at=later(150)))
    over = tuple(replace(each, scheduled_at=later(20)) for each in over)
    view = at(view, 155, pods=over, trainers={})
    assert headings(view.status) == {"queue": 20, "startup": 30, "productive": 55, "stall": 45, "restart": 5}


def failed(seconds: float, code: int = 1, at_: float = 0.0) -> tuple[PodView, ...]:
    """All pods have ended then; they had their nodes after 20 s."""
    end = [ended(index, code, report(code), at=later(at_ or seconds)) for index in range(NODES)]
    return tuple(replace(each, scheduled_at=later(20)) for each in end)


def test_seconds_between_two_attempts_are_the_restart_s_and_hold_no_gpus() -> None:
    view = at(trained(), 110, pods=failed(105), trainers={})
    assert view.status.phase == "Restarting"
    assert headings(view.status) == {"queue": 20, "startup": 30, "productive": 55, "restart": 5}
    both = (*failed(105), *pods(NODES, "Pending", attempt=2))
    view = at(view, 114, pods=both)
    assert headings(view.status)["restart"] == 9
    both = (*failed(105), *placed(116, attempt=2))
    trainers = told([leading(21, ranks=GPUS, resumedFrom=20), answer(ranks=GPUS)], attempt=2)
    view = at(view, 130, pods=both, trainers=trainers)
    assert headings(view.status) == {"queue": 22, "startup": 44, "productive": 55, "restart": 9}
    assert account(view.status).gpu_seconds == NODES * GPUS * (85 + 14)


def test_without_a_word_of_the_ranks_steps_that_an_attempt_had_made_before_are_redone() -> None:
    view = at(trained(), 110, pods=failed(110), trainers={})
    assert view.status.attempts[0].to_iteration == 20
    both = placed(112, attempt=2)

    def resumed(iteration: int) -> dict[str, Any]:
        return told([leading(iteration, ranks=GPUS, resumedFrom=10), answer(ranks=GPUS)], attempt=2)

    view = at(view, 112, pods=both)
    view = at(view, 120, trainers=resumed(12))
    view = at(view, 140, trainers=resumed(16))
    assert headings(view.status)["redo"] == 20
    view = at(view, 160, trainers=resumed(24))  # half of these steps are new
    assert headings(view.status)["redo"] == 30
    view = at(view, 180, trainers=resumed(30))
    assert headings(view.status)["redo"] == 30


def test_a_suspended_job_loses_nothing() -> None:
    suspended = {"suspend": True, "nodes": NODES, "gpusPerNode": GPUS}
    view = at(trained(), 110, job=job(**suspended))
    view = at(view, 125, pods=failed(120, 143), trainers={})
    assert view.status.phase == "Suspended"
    assert headings(view.status) == {"queue": 20, "startup": 30, "productive": 70}
    assert (account(view.status).gpus, account(view.status).counted_until) == (0, later(120))
    view = at(view, 1000, job=job(**(suspended | {"suspend": False})), predecessors=FORMER)
    view = at(view, 1050, predecessors=())
    view = at(view, 1065, pods=pods(NODES, "Pending", attempt=2))
    assert headings(view.status) == {"queue": 85, "startup": 30, "productive": 70}


@pytest.mark.parametrize("late", [0, 3600], ids=["seen at once", "seen after an hour"])
def test_the_time_of_a_job_ends_with_its_last_pod(late: float) -> None:
    done = tuple(replace(each, scheduled_at=later(20)) for each in failed(200, 0))
    view = at(trained(), 200 + late, pods=done, trainers={})
    assert view.status.phase == "Succeeded"
    assert headings(view.status) == {"queue": 20, "startup": 30, "productive": 150}
    assert account(view.status).gpu_seconds == NODES * GPUS * 180
    assert at(view, 9000, generation=2).status.accounting == view.status.accounting


def test_pods_that_are_gone_without_a_trace_held_their_gpus_until_then() -> None:
    view = at(trained(), 160, pods=(), trainers={})
    assert view.status.phase == "Restarting"
    assert account(view.status).gpu_seconds == NODES * GPUS * 140


def test_a_job_on_cpus_holds_no_gpus_and_its_time_is_counted_all_the_same() -> None:
    view = at(made(gpusPerNode=0, procsPerNode=1), 50, pods=placed(20), trainers=told([leading(), answer()]))
    assert (headings(view.status), account(view.status).gpu_seconds) == ({"queue": 20, "startup": 30}, 0)


def test_the_account_alone_is_not_worth_a_write() -> None:
    view = trained()
    assert decide(view, later(5000)).status == view.status


def test_a_clock_that_is_set_back_counts_nothing_twice() -> None:
    view = at(trained(), 90, trainers=stepping(30, metrics={"top1": 0.5}))
    assert (headings(view.status)["productive"], account(view.status).counted_until) == (50, later(100))


def test_a_job_of_an_operator_that_did_not_count_is_counted_from_now_on() -> None:
    view = running()
    view = replace(view, status=replace(view.status, accounting=None))
    view = at(view, 100, trainers=told([leading(11)]))
    view = at(view, 130, trainers=told([leading(12)]))
    assert headings(view.status) == {"productive": 30}


SECONDS = st.integers(0, 400)
NUMBERS = st.one_of(st.integers(-5, 10**6), st.floats(-1.0, 1e300))
TOLD = st.dictionaries(st.sampled_from(["productiveSeconds", "redoSeconds", "stallSeconds", "other"]), NUMBERS)


@st.composite
def steps(draw: st.DrawFn) -> tuple[int, Callable[[Observed, int], Observed]]:
    """How many seconds go by, and what is seen then."""
    count, attempts = draw(st.integers(0, NODES)), draw(st.integers(0, 1))
    phases = draw(st.lists(st.sampled_from(["Pending", "Running", "Ended"]), min_size=count, max_size=count))
    codes = draw(st.lists(st.sampled_from([0, 1, 75, 76, 143]), min_size=count, max_size=count))
    moments = draw(st.lists(st.none() | st.integers(-500, 500), min_size=2 * count, max_size=2 * count))
    iteration, counts, stepped = draw(st.integers(0, 300)), draw(TOLD), draw(st.booleans())
    suspend, heard, idle = draw(st.booleans()), draw(st.booleans()), draw(st.sampled_from([0.1, 40.0, 700.0]))

    def change(view: Observed, now: int) -> Observed:
        attempt = max(1, view.status.attempt - attempts)
        there = []
        for index, (phase, code) in enumerate(zip(phases, codes, strict=True)):
            scheduled, end = (
                later(now + moment) if moment is not None else None for moment in moments[2 * index :][:2]
            )
            each = pod(index, phase, attempt=attempt)
            if phase == "Ended":
                each = ended(index, code, report(code), at=end, attempt=attempt)
            there.append(replace(each, scheduled_at=scheduled))
        still: dict[str, Any] = {"ranks": GPUS, "idle": idle, "section": "data", "stepped": stepped}
        answers = [leading(iteration, accounting=counts, **still), answer(**still)]
        spec = {"nodes": NODES, "gpusPerNode": GPUS, "suspend": suspend}
        trainers = told(answers, attempt=view.status.attempt) if heard else {}
        return replace(view, job=job(**spec), pods=tuple(there), trainers=trainers)

    return draw(SECONDS), change


@settings(max_examples=150)
@given(history=st.lists(steps(), max_size=8))
def test_productive_and_lost_seconds_are_exactly_the_time_of_the_job_whatever_happens(history: list[Any]) -> None:
    """And its pods never held more GPUs than it has."""
    view, now, passed = begun(spec={"nodes": NODES, "gpusPerNode": GPUS}), 0, 0.0
    for seconds, change in history:
        now += seconds
        before = view.status
        view = change(view, now)
        view = seen(view, decide(view, later(now)))
        counted, counted_before = account(view.status), account(before)
        assert None not in (counted.counted_until, counted_before.counted_until)
        if before.phase not in REST:
            passed += (counted.counted_until - counted_before.counted_until).total_seconds()
        assert counted_before.counted_until <= counted.counted_until <= later(now)
        assert view.status == before or view.status.phase in REST or counted.counted_until == later(now)
        lost = asdict(counted.lost_seconds).values()
        assert counted.productive_seconds + sum(lost) == passed
        assert min(counted.productive_seconds, *lost) >= 0
        assert counted_before.gpu_seconds <= counted.gpu_seconds <= NODES * GPUS * passed
