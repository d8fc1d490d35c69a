"""When a local run's launchers are asked to stop, and when nobody waits for them any longer; no time passes here."""

from __future__ import annotations

import signal

import pytest

from pet_operator.cli.local.stop import MARGIN_SECONDS, ORPHAN_SECONDS, Cause, Order, Stop

RUNNING = (None, None)


class Clock:
    """Shows what the test sets."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def stop(clock: Clock) -> Stop:
    """With a grace period of 10 s and without a deadline."""
    return Stop(grace=10.0, clock=clock)


def test_without_a_reason_it_goes_on_for_ever(stop: Stop, clock: Clock) -> None:
    clock.now += 1e9
    assert (stop.decide(RUNNING), stop.cause) == (None, None)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_asks_the_launchers_once(stop: Stop, number: int) -> None:
    stop.interrupt(number)
    assert (stop.decide(RUNNING), stop.cause) == (Order.STOP, Cause.USER)
    assert stop.decide(RUNNING) is None


def test_signals_that_come_together_are_one(stop: Stop) -> None:
    stop.interrupt(signal.SIGINT)
    stop.interrupt(signal.SIGINT)
    assert [stop.decide(RUNNING), stop.decide(RUNNING)] == [Order.STOP, None]


def test_another_ctrl_c_ends_them_once_they_were_asked(stop: Stop) -> None:
    stop.interrupt(signal.SIGTERM)
    stop.decide(RUNNING)
    stop.interrupt(signal.SIGTERM)
    assert stop.decide(RUNNING) is None, "whoever sends SIGTERM twice does not mean it"
    stop.interrupt(signal.SIGINT)
    assert [stop.decide(RUNNING), stop.decide(RUNNING)] == [Order.KILL, None]
    assert stop.killed == "killed by another Ctrl-C"


def test_launchers_that_do_not_end_in_time_are_killed(stop: Stop, clock: Clock) -> None:
    stop.interrupt(signal.SIGINT)
    stop.decide(RUNNING)
    clock.now += 10.0 + MARGIN_SECONDS
    assert stop.decide(RUNNING) is None
    clock.now += 0.1
    assert stop.decide((0, None)) is Order.KILL
    assert stop.killed == "killed, for it had not ended 40 s after it was asked to stop"


def test_the_deadline_counts_from_the_start_of_the_attempt(clock: Clock) -> None:
    stop = Stop(grace=10.0, active=60.0, clock=clock)
    clock.now += 59.9
    assert stop.decide(RUNNING) is None
    clock.now += 0.1
    assert (stop.decide(RUNNING), stop.cause) == (Order.STOP, Cause.DEADLINE)
    stop.interrupt(signal.SIGINT)
    assert stop.decide(RUNNING) is Order.KILL


def test_nodes_that_do_not_notice_the_end_of_another_one_are_asked_to_stop(stop: Stop, clock: Clock) -> None:
    assert stop.decide((0, None)) is None
    clock.now += 1000.0
    assert stop.decide((0, None)) is None, "a good end is nobody's failure"
    assert stop.decide((1, None)) is None
    clock.now += ORPHAN_SECONDS + 0.1
    assert (stop.decide((1, None)), stop.cause) == (Order.STOP, Cause.LOST_NODE)
