"""Tests of the tests: without any one of the safeguards, the fault that it is there for goes unnoticed."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from harness.peers import DictStore

from pet.launch import budget, peers, verdict, watchdog
from pet.launch.budget import RestartBudget
from pet.launch.memory import MemoryGroup, MemoryWatch
from pet.launch.peers import Peers
from pet.launch.ranks import RankExit
from pet.launch.verdict import Verdict, judge
from pet.launch.watchdog import Watchdog
from pet.runfiles.exits import ExitCode, classify
from pet.runfiles.heartbeat import HeartbeatWriter, Section, read_heartbeat


def _ended(rank: int, code: int, order: int = 1, *, by_us: bool = False) -> RankExit:
    return RankExit(rank=rank, code=code, order=order, by_us=by_us, failure=None, iteration=7)


def _names_who_failed_and_not_who_lost_it(_: Path) -> None:
    assert judge([_ended(0, 75, 1), _ended(1, 1, 2)], stopping=False).rank == 1


def _never_names_whom_it_ended_itself(_: Path) -> None:
    assert judge([_ended(0, -9, by_us=True), _ended(1, 75)], stopping=False).rank is None


def _lets_a_pause_of_the_machine_pass(folder: Path) -> None:
    heartbeat = HeartbeatWriter(folder / "beat", attempt=1, restart=0, rank=0, local_rank=0)
    heartbeat.enter(Section.STEP)
    for number in range(3):
        heartbeat.step(number, 0.1, 0.0)
    now = [0.0]
    dog = Watchdog(None, clock=lambda: now[0])
    beats = {0: read_heartbeat(folder / "beat")}
    assert dog.look(beats) is None
    now[0] = 3600.0
    assert dog.look(beats) is None


def _names_who_is_waited_for_in_a_hook_before_a_save(folder: Path) -> None:
    writers = [HeartbeatWriter(folder / f"{rank}", attempt=1, restart=0, rank=rank, local_rank=rank) for rank in (0, 1)]
    for writer in writers:
        writer.enter(Section.STEP)
        writer.step(7, 0.1, 0.0)
    writers[1].enter(Section.SAVE)
    writers[1].begin_collective()
    lowest = Watchdog(None).lowest({rank: read_heartbeat(folder / f"{rank}") for rank in (0, 1)})
    assert lowest is not None
    assert lowest.ranks == (0,)


def _hears_answers_to_this_suspicion_only(_: Path) -> None:
    store = DictStore()
    first, second = (Peers(store, node, nodes=2) for node in range(2))
    for place in ((1, 1, 1), (9, 9, 9)):
        first.suspect()
        heard = first.compare(place)
        second.compare(place)
    assert heard == {}


def _stops_after_memory_ran_out_twice(_: Path) -> None:
    granted = RestartBudget(9, 3600.0)
    assert granted.refuse(Verdict(ExitCode.OOM, "SIGKILL", "", rank=0, iteration=7), None) is None
    assert granted.refuse(Verdict(ExitCode.OOM, "SIGKILL", "", rank=0, iteration=8), None) is not None


def _stops_after_a_second_error_before_the_first_step(_: Path) -> None:
    granted = RestartBudget(9, 3600.0)
    assert granted.refuse(Verdict(ExitCode.APP_ERROR, "KeyError", "", rank=0), None) is None
    assert granted.refuse(Verdict(ExitCode.APP_ERROR, "ValueError", "", rank=0), None) is not None


def _takes_an_older_kill_for_none_of_this_start(folder: Path) -> None:
    (folder / "events").write_text("oom_kill 3\n")
    assert MemoryWatch(MemoryGroup(folder, "events", "max", "peak")).account(1) is None


def _takes_a_good_end_in_the_middle_for_none(_: Path) -> None:
    early = RankExit(rank=0, code=0, order=1, by_us=False, failure=None, iteration=7, early=True)
    assert judge([early, _ended(1, 75)], stopping=False).rank == 0


def _forgotten(self: Any) -> None:
    """In the place of something that is to be counted."""


# What is taken away: where, its name, what stands there instead; and what then is not noticed.
SAFEGUARDS: dict[str, tuple[Any, str, Any, Callable[[Path], None]]] = {
    "a lost peer is no cause": (
        verdict, "_NO_CAUSE", (ExitCode.SUCCEEDED, ExitCode.PREEMPTED), _names_who_failed_and_not_who_lost_it,
    ),
    "whom we ended is no cause": (
        verdict, "is_cause", lambda exit: exit.exit_code not in verdict._NO_CAUSE, _never_names_whom_it_ended_itself,
    ),
    "a pause counts for nothing": (watchdog, "_LONGEST_LOOK_SECONDS", math.inf, _lets_a_pause_of_the_machine_pass),
    "collectives are counted": (
        HeartbeatWriter, "begin_collective", _forgotten, _names_who_is_waited_for_in_a_hook_before_a_save,
    ),
    "answers belong to a suspicion": (
        peers, "_place_key", lambda node, suspicion: f"{node}", _hears_answers_to_this_suspicion_only,
    ),
    "memory has its own budget": (budget, "_OWN", {}, _stops_after_memory_ran_out_twice),
    "the first step has its own budget": (
        budget, "_BEFORE_THE_FIRST_STEP", 9, _stops_after_a_second_error_before_the_first_step,
    ),
    "kills are counted from the start on": (
        MemoryWatch, "_kills", property(lambda self: 0, lambda self, told: None),
        _takes_an_older_kill_for_none_of_this_start,
    ),
    "a good code of a rank at work is none": (
        RankExit, "exit_code", property(lambda self: classify(self.code)),
        _takes_a_good_end_in_the_middle_for_none,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", SAFEGUARDS)
def test_with_it_the_fault_is_noticed(name: str, tmp_path: Path) -> None:
    SAFEGUARDS[name][3](tmp_path)


@pytest.mark.parametrize("name", SAFEGUARDS)
def test_without_it_the_fault_is_missed(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    where, attribute, instead, check = SAFEGUARDS[name]
    monkeypatch.setattr(where, attribute, instead, raising=False)
    with pytest.raises(AssertionError):
        check(tmp_path)
