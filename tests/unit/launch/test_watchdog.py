"""Who hangs, and when, on a clock of the test's own and with heartbeats that it makes up."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import pytest

from pet.launch.watchdog import Stall, Watchdog
from pet.runfiles.heartbeat import Heartbeat, Section

LOOK = 0.5  # seconds between two looks
BEAT = Heartbeat(
    attempt=1, restart=0, rank=0, local_rank=0, pid=1, iteration=10, section=Section.STEP, collective=10, steps=10,
    monotonic_seconds=0.0, last_step_seconds=0.0, step_seconds=1.0, data_seconds=0.1,
)  # fmt: skip


@dataclass
class Node:
    """A watchdog over some ranks; the test moves its clock and their heartbeats."""

    stall_seconds: float | None = None
    now: float = 0.0
    beats: dict[int, Heartbeat | None] = field(default_factory=lambda: {0: BEAT, 1: BEAT})
    watchdog: Watchdog = field(init=False)

    def __post_init__(self) -> None:
        self.watchdog = Watchdog(self.stall_seconds, clock=lambda: self.now)
        self.watchdog.begin()
        self.watchdog.look(self.beats)

    def beat(self, *ranks: int, **changes: object) -> None:
        """New heartbeats of these ranks, of both if none is named."""
        for rank in ranks or self.beats:
            before = self.beats[rank] or BEAT
            self.beats[rank] = replace(before, monotonic_seconds=self.now, **changes)  # type: ignore[arg-type]

    def stalls_after(self, limit: float = 10_000, **options: bool) -> tuple[float, Stall | None]:
        """Let time pass without a heartbeat until somebody hangs, or the limit: seconds, and who."""
        begin, stall = self.now, None
        while stall is None and self.now - begin < limit:
            self.now += LOOK
            stall = self.watchdog.look(self.beats, **options)
        return self.now - begin, stall

    def lasts(self, section: Section, seconds: float) -> None:
        """Both ranks are in this section for so long, without a sign, and then in a step."""
        self.beat(section=section)
        assert self.stalls_after(seconds)[1] is None, f"{seconds} s in {section} are no hang"
        self.beat(section=Section.STEP)
        self.watchdog.look(self.beats)


@pytest.mark.parametrize(
    ("section", "seconds"),
    [(Section.STEP, 30), (Section.DATA, 30), (Section.EVAL, 600), (Section.SAVE, 600), (Section.DONE, 60)],
)
def test_limits_before_anything_was_learnt(section: Section, seconds: float) -> None:
    node = Node()
    node.beat(section=section)
    assert node.stalls_after()[0] == pytest.approx(seconds, abs=2 * LOOK)


@pytest.mark.parametrize(
    "beat",
    [None, replace(BEAT, section=Section.INIT, steps=0), replace(BEAT, steps=0), replace(BEAT, steps=1)],
    ids=["before a sign of life", "loading", "the first step", "the second step, which may compile anew"],
)
@pytest.mark.parametrize("stall_seconds", [None, 5.0])
def test_the_beginning_has_ten_minutes_whatever_the_job_demands(
    beat: Heartbeat | None, stall_seconds: float | None
) -> None:
    node = Node(stall_seconds, beats={0: beat})
    assert node.stalls_after()[0] == pytest.approx(600, abs=2 * LOOK)


@pytest.mark.parametrize(
    ("section", "longest", "limit"),
    [
        (Section.STEP, 20.0, 100.0),
        (Section.DATA, 20.0, 100.0),
        (Section.STEP, 2.0, 30.0),
        (Section.EVAL, 500.0, 2500.0),
        (Section.EVAL, 3.0, 120.0),
        (Section.SAVE, 400.0, 2000.0),
        (Section.SAVE, 3.0, 600.0),
    ],
)
def test_five_times_the_longest_silence_seen_in_a_section(section: Section, longest: float, limit: float) -> None:
    node = Node()
    node.lasts(section, longest)
    node.beat(section=section)
    assert node.stalls_after()[0] == pytest.approx(limit, abs=6 * LOOK)


def test_what_was_learnt_is_kept_over_a_start_of_the_ranks() -> None:
    node = Node()
    node.lasts(Section.STEP, 20.0)
    node.watchdog.begin()
    node.beat()
    assert node.stalls_after()[0] == pytest.approx(100.0, abs=6 * LOOK)


def test_what_is_no_hang_in_any_section_is_what_ranks_are_told_to_wait_for() -> None:
    node = Node()
    assert node.watchdog.patience == 600.0
    node.lasts(Section.EVAL, 500.0)
    node.watchdog.begin()
    assert node.watchdog.patience == pytest.approx(2500.0, abs=6 * LOOK)
    assert Node(stall_seconds=7.0).watchdog.patience == 600.0
    assert Node(stall_seconds=700.0).watchdog.patience == 700.0


@pytest.mark.parametrize("section", [Section.DATA, Section.STEP, Section.EVAL, Section.SAVE])
def test_the_job_may_demand_a_limit(section: Section) -> None:
    node = Node(stall_seconds=7.0)
    node.beat(section=section)
    assert node.stalls_after()[0] == pytest.approx(7.0, abs=2 * LOOK)


def test_signs_within_a_long_evaluation_are_enough() -> None:
    node = Node()
    for _ in range(100):
        node.beat(section=Section.EVAL)
        assert node.stalls_after(100)[1] is None


def test_two_hours_of_steps_are_no_hang() -> None:
    node = Node()
    for step in range(1000):
        node.beat(section=Section.DATA, iteration=11 + step, steps=11 + step)
        assert node.stalls_after(4)[1] is None
        node.beat(section=Section.STEP)
        assert node.stalls_after(4)[1] is None


def test_a_machine_that_is_paused_has_lost_nothing() -> None:
    node = Node()
    node.stalls_after(20)
    node.now += 3600
    assert node.watchdog.look(node.beats) is None
    assert node.stalls_after()[0] == pytest.approx(10, abs=4 * LOOK)


def test_the_rank_that_is_behind_is_named_and_not_the_one_that_waits_longer() -> None:
    node = Node()
    node.stalls_after(10)
    node.beat(1, section=Section.DATA, iteration=11)
    node.stalls_after(5)
    node.beat(0, section=Section.DATA, iteration=12)
    seconds, stall = node.stalls_after()
    assert stall is not None
    assert (stall.ranks, stall.seconds) == ((1,), pytest.approx(30, abs=2 * LOOK))
    assert seconds == pytest.approx(25, abs=4 * LOOK), "its own silence counts"


def test_of_ranks_at_one_place_all_are_named_if_all_are_silent() -> None:
    node = Node()
    node.stalls_after(5)
    node.beat(1)
    seconds, stall = node.stalls_after()
    assert stall is not None
    assert (stall.ranks, seconds) == ((0, 1), pytest.approx(30, abs=2 * LOOK))


def test_a_rank_that_goes_on_an_hour_after_others_have_finished_is_waited_for_a_minute() -> None:
    node = Node(beats={1: BEAT})
    for _ in range(11):
        node.beat(1)
        assert node.stalls_after(5, others_ended=True)[1] is None
    seconds, stall = node.stalls_after(others_ended=True)
    assert stall is not None
    assert (stall.ranks, seconds) == ((1,), pytest.approx(5, abs=2 * LOOK))
    assert "after others were" in stall.why


def test_what_was_no_hang_has_twice_the_time_next() -> None:
    node = Node()
    _, stall = node.stalls_after()
    assert stall is not None
    node.watchdog.excuse(node.beats, stall)
    node.watchdog.begin()
    node.beat()
    assert node.stalls_after()[0] == pytest.approx(60, abs=4 * LOOK)


def test_without_ranks_nobody_hangs() -> None:
    assert Node(beats={}).stalls_after(1000)[1] is None
