"""When the pods of the next attempt are made: later each time, unless something was saved."""

from __future__ import annotations

from dataclasses import replace

import pytest
from harness.observing import UID, later
from harness.timeless import NOON

from pet_operator.domain.decision import Validation
from pet_operator.domain.events import Event, transitions
from pet_operator.domain.policy.backoff import not_before, often_disrupted, seconds_left
from pet_operator.domain.status import AttemptRecord, Failure, JobStatus


def delay(status: JobStatus, uid: str = UID) -> float | None:
    """In seconds."""
    time = not_before(status, uid)
    return None if time is None else (time - NOON).total_seconds()


@pytest.mark.parametrize(
    ("began", "seconds"),
    [
        ([None], None),
        ([100, 150], None),
        ([100] * 2, 1),
        ([100] * 3, 2),
        ([100] * 4, 4),
        ([100] * 7, 32),
        ([100] * 8, 60),
        ([100] * 10, 60),
        ([100] * 6 + [150], None),
        ([100] * 6 + [150] * 2, 1),
        ([None, 10], None),
        ([None, None], 1),
        ([100, 50], 1),
    ],
)
def test_attempts_that_begin_where_the_one_before_did_come_later_each_time(
    began: list[int | None], seconds: float | None
) -> None:
    """However far they came: what is not saved is no progress."""
    records = [AttemptRecord(started_at=NOON, from_iteration=iteration, to_iteration=200) for iteration in began]
    waited = delay(JobStatus(attempts=tuple(records)))
    assert waited is None if seconds is None else seconds <= (waited or 0) <= 1.25 * seconds


@pytest.mark.parametrize("reason", ["Suspended", "RestartRequested"])
def test_an_attempt_that_somebody_ended_is_no_fruitless_one(reason: str) -> None:
    asked, failed = AttemptRecord(started_at=NOON, reason=reason), AttemptRecord(started_at=NOON, reason="Crash")
    assert delay(JobStatus(phase="Restarting", attempts=(failed, failed, asked, asked))) is None
    assert 1 <= (delay(JobStatus(phase="Restarting", attempts=(failed, asked, failed, failed))) or 0) <= 1.25


def test_a_job_that_goes_on_as_somebody_wished_does_so_at_once() -> None:
    failed = AttemptRecord(started_at=NOON, reason="Crash")
    assert delay(JobStatus(phase="Pending", attempts=(failed, failed, failed))) is None


def test_jobs_that_fail_together_do_not_come_back_together() -> None:
    status = JobStatus(attempts=(AttemptRecord(started_at=NOON),) * 8)
    assert len({delay(status, f"uid-{number}") for number in range(20)}) == 20
    assert delay(status) == delay(status), "another operator comes to the same"


@pytest.mark.parametrize("reason", ["Crash", "StorageFull"])
def test_nobody_waits_for_the_clock_to_be_again_where_it_was_before_it_was_set_back(reason: str) -> None:
    """Be it since another operator's clock is right."""
    status = JobStatus(attempts=(AttemptRecord(started_at=NOON, reason=reason), AttemptRecord(started_at=NOON)))
    assert 1 <= (seconds_left(status, UID, NOON) or 0) <= 60
    assert [seconds_left(status, UID, later(seconds)) for seconds in (-3600, -1, 60)] == [None, None, None]


def test_a_full_disk_is_tried_again_each_minute() -> None:
    for times in (1, 5):
        full = AttemptRecord(started_at=NOON, reason="StorageFull")
        assert delay(JobStatus(attempts=(*[full] * times, AttemptRecord(started_at=NOON)))) == 60


def disrupted(*ages: float, reason: str = "Preempted") -> JobStatus:
    """Attempts that were taken away so many seconds ago, each after it had saved; the next one begins now."""
    ended: list[AttemptRecord] = []
    for number, age in enumerate(ages):
        ended.append(AttemptRecord(number + 1, NOON, ended_at=later(-age), from_iteration=100 * number, reason=reason))
    return JobStatus(
        attempt=len(ages) + 1,
        phase="Restarting",
        reason=reason,
        attempts=(*ended, AttemptRecord(len(ages) + 1, NOON, from_iteration=100 * len(ages))),
    )


@pytest.mark.parametrize(
    ("ages", "reason", "seconds"),
    [
        ((500, 400, 300, 200, 0), "Preempted", None),
        ((500, 400, 300, 200, 100, 0), "Preempted", 1),
        ((500, 400, 300, 200, 100, 0), "Disrupted", 1),
        ((500, 400, 300, 200, 100, 0), "NodeLost", 1),
        ((500, 400, 300, 200, 100, 0), "Crash", None),
        ((500, 400, 300, 200, 100, 50, 0), "Preempted", 2),
        ((600, 400, 300, 200, 100, 0), "Preempted", None),
    ],
)
def test_more_than_five_disruptions_in_ten_minutes_make_the_next_attempts_wait(
    ages: tuple[float, ...], reason: str, seconds: float | None
) -> None:
    """Although each of them has saved."""
    waited = delay(disrupted(*ages, reason=reason))
    assert waited is None if seconds is None else seconds <= (waited or 0) <= 1.25 * seconds


def test_an_attempt_that_ends_otherwise_is_not_held_up_by_disruptions_before_it() -> None:
    status = disrupted(500, 400, 300, 200, 100, 0)
    crash = AttemptRecord(7, NOON, ended_at=NOON, from_iteration=600, reason="Crash")
    attempts = (*status.attempts[:-1], crash, AttemptRecord(8, NOON, from_iteration=700))
    assert often_disrupted(JobStatus(attempts=attempts)) == 0


def test_they_are_told_of() -> None:
    new = disrupted(500, 400, 300, 200, 100, 0)
    new = replace(new, failure=Failure("Preempted", message="all ranks left", rank=0))
    old = JobStatus(attempt=6, phase="Running", attempts=new.attempts[:-1])
    words = "6 disruptions within 10 minutes: the next attempts come later each time"
    assert transitions(old, new, Validation())[-1] == Event("OftenDisrupted", words, warning=True)
