"""Which rank was the cause, and what the whole start counts as."""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass

import pytest

from pet.launch.ranks import RankExit
from pet.launch.verdict import Verdict, judge
from pet.runfiles.exits import ExitCode
from pet.runfiles.failure import Failure
from pet.runfiles.rundir import run_files_root


@dataclass(frozen=True)
class End:
    """One rank's end: its code, when it was seen, whether it died of our signal."""

    code: int
    order: int = 1
    by_us: bool = False
    early: bool = False


def ours(order: int = 2) -> End:
    return End(-9, order, by_us=True)


def exits(*ends: End) -> list[RankExit]:
    return [
        RankExit(rank, end.code, end.order, by_us=end.by_us, failure=None, iteration=None, early=end.early)
        for rank, end in enumerate(ends)
    ]


# ends of ranks 0, 1, … → class, the rank that is named
RUNNING: list[tuple[list[End], str, int | None]] = [
    ([End(0), End(0)], "Succeeded", None),
    ([End(1), End(75)], "AppError", 0),
    # Whoever lost a peer often ends before the one that it lost.
    ([End(75, 1), End(1, 2)], "AppError", 1),
    ([End(75), End(-9)], "Crash", 1),
    ([End(75), End(80)], "CheckpointUnusable", 1),
    # The first of several causes counts.
    ([End(78, 2), End(93, 1)], "NoRestart", 1),
    ([End(78, 1), End(93, 2)], "ConfigError", 0),
    # Seen together: a death by signal first, then the lower rank.
    ([End(1), End(-11)], "Crash", 1),
    ([End(1), End(78)], "AppError", 0),
    # What we ended ourselves is never the cause.
    ([ours(1), End(1, 2)], "AppError", 1),
    ([ours(), End(75, 1)], "PeerLost", None),
    ([End(75), End(75)], "PeerLost", None),
    # Some finished, others did not: no success.
    ([End(0), End(75)], "PeerLost", None),
    ([End(0), ours()], "PeerLost", None),
    ([End(0), End(1)], "AppError", 1),
    # One that leaves with a good code in the middle of its training is the cause, even if all of them do.
    ([End(0, 1, early=True), End(75, 2)], "AppError", 0),
    ([End(0, early=True), End(0, early=True)], "AppError", 0),
    ([End(0), End(-9, early=True)], "Crash", 1),
    ([End(143, early=True), End(75, early=True)], "AppError", 0),
    # A rank that left with its checkpoint saved makes the whole start preempted.
    ([End(143), End(143)], "Preempted", None),
    ([End(143), ours()], "Preempted", None),
    ([End(143), End(75)], "Preempted", None),
    ([End(143), End(1)], "AppError", 1),
]

STOPPING: list[tuple[list[End], str, int | None]] = [
    ([End(0), End(0)], "Succeeded", None),
    ([End(143), End(143)], "Preempted", None),
    ([ours(), ours()], "Preempted", None),
    ([End(75), End(75)], "Preempted", None),
    ([End(1), End(143)], "AppError", 0),
    ([End(-9), End(143)], "Crash", 0),
]


@pytest.mark.parametrize(("ends", "exit_class", "rank"), RUNNING)
def test_cause_of_an_end(ends: list[End], exit_class: str, rank: int | None) -> None:
    verdict = judge(exits(*ends), stopping=False)
    assert (verdict.code.exit_class, verdict.rank) == (exit_class, rank)
    assert verdict.is_cause == (rank is not None)
    assert verdict.signalled == tuple(number for number, end in enumerate(ends) if end.by_us)


@pytest.mark.parametrize(("ends", "exit_class", "rank"), STOPPING)
def test_cause_of_an_end_after_a_stop_was_asked_for(ends: list[End], exit_class: str, rank: int | None) -> None:
    verdict = judge(exits(*ends), stopping=True)
    assert (verdict.code.exit_class, verdict.rank) == (exit_class, rank)


def test_ranks_that_could_not_leave_are_listed() -> None:
    assert (
        judge(exits(End(143), ours(), End(75)), stopping=True).message == "ranks [1, 2] ended before they could leave"
    )
    assert judge(exits(End(143), End(143)), stopping=True).message == "all ranks left at the same step"


def test_own_account_of_a_rank_is_taken_over() -> None:
    failure = Failure(
        attempt=1, restart=0, rank=4, iteration=7, exit_code=1, exit_class="AppError", type="KeyError",
        message="'boxes'", traceback="Traceback …",
    )  # fmt: skip
    exit = RankExit(rank=4, code=1, order=1, by_us=False, failure=failure, iteration=6)
    verdict = judge([exit], stopping=False)
    assert (verdict.type, verdict.message, verdict.traceback) == ("KeyError", "'boxes'", "Traceback …")
    assert verdict.iteration == 6, "the last finished one, as everywhere"
    assert str(verdict) == "rank 4: AppError: KeyError: 'boxes'"


@pytest.mark.parametrize(
    ("code", "type_", "message"),
    [
        (-11, "SIGSEGV", "killed by SIGSEGV"),
        (-64, "SIGRTMAX", "killed by SIGRTMAX"),
        (-40, "signal 40", "killed by signal 40"),
        (3, "Exit", "exited with code 3 and left no report"),
        (79, "Exit", f"exited with code 79 and left no report; its log says whether {run_files_root()} is full"),
    ],
)
def test_end_without_an_account_says_what_the_code_says(code: int, type_: str, message: str) -> None:
    verdict = judge(exits(End(code)), stopping=False)
    assert (verdict.type, verdict.message, verdict.traceback) == (type_, message, "")


@pytest.mark.parametrize("code", [0, 143])
def test_good_code_of_a_rank_that_was_not_done_is_named(code: int) -> None:
    verdict = judge(exits(End(75, 2), End(code, 1, early=True)), stopping=False)
    assert str(verdict) == f"rank 1: AppError: Exit: ended with code {code} before its training was over"


def test_text_of_a_verdict_says_nothing_twice() -> None:
    assert str(Verdict.plain(ExitCode.PEER_LOST, "gone")) == "PeerLost: gone"
    assert str(Verdict(ExitCode.CRASH, "SIGKILL", "killed by SIGKILL", rank=1)) == "rank 1: Crash: killed by SIGKILL"


def test_error_of_the_launcher_itself_is_no_ranks_fault() -> None:
    try:
        raise RuntimeError("broken")
    except RuntimeError as error:
        verdict = Verdict.on_launcher(error)
    assert (verdict.code, verdict.rank, verdict.type) == (ExitCode.APP_ERROR, None, "RuntimeError")
    assert (verdict.message, "broken" in verdict.traceback) == ("in the launcher: broken", True)


@pytest.mark.parametrize(("number", "code"), [(errno.ENOSPC, 79), (errno.EDQUOT, 79), (errno.ENOENT, 1)])
def test_a_launcher_without_room_for_the_ranks_files_ends_as_they_would(number: int, code: int) -> None:
    verdict = Verdict.on_launcher(OSError(number, os.strerror(number)))
    assert verdict.code == code
    assert verdict.message.startswith(f"in the launcher: [Errno {number}]")
    assert (str(run_files_root()) in verdict.message) is (code == 79)
