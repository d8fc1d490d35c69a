"""From the ends of the ranks to one verdict: what was the cause, and which rank."""

from __future__ import annotations

import signal
import traceback
from collections.abc import Collection
from dataclasses import dataclass

from pet.launch.ranks import RankExit
from pet.runfiles.exits import ExitCode
from pet.runfiles.rundir import run_files_root
from pet.store.errors import NO_ROOM

# What a shell adds to the number of the signal that a program died of.
_SHELL = 128
# Ends that follow from something else: they can never be the cause.
_NO_CAUSE = (ExitCode.SUCCEEDED, ExitCode.PEER_LOST, ExitCode.PREEMPTED)


@dataclass(frozen=True)
class Verdict:
    """How a start of ranks, or the launcher, ended. `rank` is the cause, None where there is none on this node.
    `spent`: reason and words, where no other launcher is to try it again."""

    code: ExitCode
    type: str
    message: str
    rank: int | None = None
    iteration: int | None = None
    traceback: str = ""
    signalled: tuple[int, ...] = ()
    spent: tuple[str, str] | None = None

    @classmethod
    def plain(cls, code: ExitCode, message: str, signalled: tuple[int, ...] = ()) -> Verdict:
        """An end that no single rank of this node caused."""
        return cls(code, code.exit_class, message, signalled=signalled)

    @classmethod
    def on_launcher(cls, error: BaseException) -> Verdict:
        """The launcher itself failed. What it writes while ranks start are their files: without room there it is as if
        one of them had found none."""
        text = "".join(traceback.format_exception(error))
        code, message = ExitCode.APP_ERROR, f"in the launcher: {error}"
        if isinstance(error, OSError) and error.errno in NO_ROOM:
            code, message = ExitCode.STORAGE_FULL, f"{message}; is {run_files_root()} full?"
        return cls(code, type(error).__name__, message, traceback=text)

    def __str__(self) -> str:
        who = f"rank {self.rank}: " if self.rank is not None else ""
        return who + in_words(self.code, self.type, self.message)

    @property
    def is_cause(self) -> bool:
        """Whether a rank of this node started it."""
        return self.code not in _NO_CAUSE


def in_words(code: ExitCode, type_: str, message: str) -> str:
    """Class, type and message, and nothing twice."""
    known = type_ == code.exit_class or type_ in message
    return f"{code.exit_class if known else f'{code.exit_class}: {type_}'}: {message}"


def judge(exits: Collection[RankExit], *, stopping: bool) -> Verdict:
    """The verdict on ranks that have all ended; `stopping` says that this launcher was asked to stop.

    Of several causes the one seen first counts. Among those seen together a death by signal goes first: no error of
    another rank brings it about, while a lost peer may surface as any exception.
    """
    signalled = tuple(sorted(exit.rank for exit in exits if exit.by_us))
    causes = [exit for exit in exits if is_cause(exit)]
    if causes:
        return _verdict_on(min(causes, key=lambda exit: (exit.order, exit.code >= 0, exit.rank)), signalled)
    codes = {exit.exit_code for exit in exits if not exit.by_us}
    if codes == {ExitCode.SUCCEEDED} and not signalled:
        return Verdict.plain(ExitCode.SUCCEEDED, "all ranks finished")
    if stopping or ExitCode.PREEMPTED in codes:
        cut = sorted(exit.rank for exit in exits if exit.by_us or exit.exit_code is ExitCode.PEER_LOST)
        message = f"ranks {cut} ended before they could leave" if cut else "all ranks left at the same step"
        return Verdict.plain(ExitCode.PREEMPTED, message, signalled)
    return Verdict.plain(ExitCode.PEER_LOST, "the ranks of this node lost a peer", signalled)


def is_cause(exit: RankExit) -> bool:
    """Whether this end can be the cause of others."""
    return not exit.by_us and exit.exit_code not in _NO_CAUSE


def describe(exit: RankExit) -> tuple[str, str]:
    """Type and message of an end: the rank's own account, else what the exit code says."""
    if exit.failure is not None:
        return exit.failure.type, exit.failure.message
    if exit.exit_code is ExitCode.CRASH:
        name = _signal_name(-exit.code if exit.code < 0 else exit.code - _SHELL)
        return name, f"killed by {name}"
    if exit.early and exit.code in (ExitCode.SUCCEEDED, ExitCode.PREEMPTED):
        return "Exit", f"ended with code {exit.code} before its training was over"
    silent = f"exited with code {exit.code} and left no report"
    if exit.exit_code is ExitCode.STORAGE_FULL:  # a rank that has no room for its run files has none for a report
        return "Exit", f"{silent}; its log says whether {run_files_root()} is full"
    return "Exit", silent


def _verdict_on(exit: RankExit, signalled: tuple[int, ...]) -> Verdict:
    type_, message = describe(exit)
    return Verdict(
        code=exit.exit_code,
        type=type_,
        message=message,
        rank=exit.rank,
        iteration=exit.iteration,
        traceback=exit.failure.traceback if exit.failure else "",
        signalled=signalled,
    )


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
