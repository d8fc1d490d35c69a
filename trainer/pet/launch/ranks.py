"""The processes of one start of ranks on this node: started, polled, signalled, reaped."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO, cast

from pet.launch.memory import MemoryGroup, MemoryWatch
from pet.launch.output import RankOutput
from pet.launch.process_state import members_of, state_of, words_for
from pet.runfiles.exits import ExitCode, classify
from pet.runfiles.failure import WORKER_KILLED, Failure, read_failure
from pet.runfiles.heartbeat import Heartbeat, HeartbeatReader, Section
from pet.runfiles.rundir import RunDirectory
from pet.runfiles.stacks import Stacks, ask_stacks

_RANK_MAIN = str(Path(__file__).with_name("rank_main.py"))
# Where rank_main only execs, its own interpreter can start without site packages and user settings.
_FLAGS = ("-I", "-S") if sys.platform == "linux" else ("-u",)
_OUTPUT_SECONDS = 5.0
_GOOD = (ExitCode.SUCCEEDED, ExitCode.PREEMPTED)


@dataclass(frozen=True)
class RankExit:
    """How one rank ended. `code` is as `subprocess` reports it: negative, it names the signal that killed the rank."""

    rank: int
    code: int
    order: int  # of being seen, among the ranks of this start; those seen together share it
    by_us: bool  # it died of a signal that this launcher sent
    failure: Failure | None  # its own account
    iteration: int | None  # of its last finished step
    early: bool = False  # by its heartbeat it had not come to its end, nor was it asked to leave
    found: ExitCode | None = None  # what this launcher knows of it beside its code

    @property
    def exit_code(self) -> ExitCode:
        """The class of the end. A good code tells nothing of a rank that was still at work: it has saved nothing."""
        if self.found is not None:
            return self.found
        return ExitCode.APP_ERROR if self.early and self.code in _GOOD else classify(self.code)


class RankGroup:
    """Each rank runs in a session of its own: a terminal's Ctrl-C reaches the launcher alone.

    The thread that calls `start` must outlive the ranks (see `rank_main`). `terminate` may be called from another.
    """

    def __init__(self, directory: RunDirectory, ranks: Mapping[int, int], memory: MemoryGroup | None = None) -> None:
        """`ranks` maps local ranks to global ones; `memory` is the control group that they will be in."""
        self.directory = directory
        self.ranks = dict(ranks)
        self.exits: dict[int, RankExit] = {}  # by local rank
        self.undead: dict[int, str] = {}  # ranks (global) that were killed and did not end, with what is known of each
        self.killed_at: float | None = None  # monotonic seconds
        self._processes: dict[int, subprocess.Popen[bytes]] = {}
        self._outputs: list[RankOutput] = []
        self._beats = {local_rank: HeartbeatReader(directory.heartbeat(local_rank)) for local_rank in ranks}
        self._sent: dict[int, set[int]] = {}
        self._hung: dict[int, Failure] = {}
        self._memory = MemoryWatch(memory)
        self._polls = 0
        self._lock = threading.Lock()

    def start(self, command: Callable[[int], Sequence[str]], environ: Callable[[int], Mapping[str, str]]) -> None:
        """Start every rank; both functions take a local rank. Raises OSError and then leaves none running."""
        try:
            for local_rank, rank in self.ranks.items():
                self._start(local_rank, rank, command(local_rank), environ(local_rank))
        except BaseException:
            self.kill()
            raise

    @property
    def pids(self) -> dict[int, int]:
        """Process ids by local rank."""
        return {local_rank: process.pid for local_rank, process in self._processes.items()}

    @property
    def running(self) -> list[int]:
        """The local ranks that have not ended, as of the last poll."""
        return [local_rank for local_rank in self._processes if local_rank not in self.exits]

    def poll(self) -> None:
        """Look which ranks have ended since the last poll."""
        with self._lock:
            self._polls += 1
            for local_rank in self.running:
                code = self._processes[local_rank].poll()
                if code is not None:
                    self._ended(local_rank, code)
            self._memory.look(self._processes[local_rank].pid for local_rank in self.running)
        if not self.running:
            self._drain()

    def terminate(self) -> None:
        """Ask every rank to save and leave: SIGTERM, at most once to each, and not to its children."""
        with self._lock:
            for local_rank in self.running:
                if signal.SIGTERM not in self._sent[local_rank]:
                    self._signal(local_rank, signal.SIGTERM)

    def heartbeats(self) -> dict[int, Heartbeat | None]:
        """The newest one of every rank that runs, by local rank; None before its first."""
        return {local_rank: self.heartbeat(local_rank) for local_rank in self.running}

    def heartbeat(self, local_rank: int) -> Heartbeat | None:
        """The newest one of a rank, whether it runs or not; None before its first."""
        return self._beats[local_rank].read()

    def ask_stacks(self) -> dict[int, Stacks]:
        """Have every rank that runs write its threads' stacks, if it can; by local rank."""
        with self._lock:
            asked = {local_rank: Stacks(self.directory.stacks(local_rank)) for local_rank in self.running}
            for local_rank, stacks in asked.items():
                if stacks.offered:
                    ask_stacks(self._processes[local_rank].pid)
        return asked

    def wake(self, local_rank: int) -> None:
        """Let a stopped rank run: what it was sent meanwhile reaches it only then."""
        with self._lock:
            if local_rank not in self.exits:
                self._processes[local_rank].send_signal(signal.SIGCONT)

    def told(self) -> dict[int, Failure]:
        """The ranks (local) that run and have told the error by which they end, with it; not of a peer they lost."""
        reports = {local_rank: read_failure(self.directory.failure(local_rank)) for local_rank in self.running}
        return {local_rank: failure for local_rank, failure in reports.items()
                if failure is not None and failure.exit_code != ExitCode.PEER_LOST}  # fmt: skip

    def condemn(self, accounts: Mapping[int, Failure]) -> None:
        """These ranks (local) hang, or have failed and do not end, and are about to be killed for it: however they end,
        they are the cause, by these accounts."""
        self._hung |= accounts

    def kill(self) -> None:
        """End every rank that is left, with its children."""
        self.killed_at = self.killed_at or time.monotonic()
        with self._lock:
            for local_rank in self.running:
                self._signal(local_rank, signal.SIGKILL)
                _kill_session(self._processes[local_rank].pid)

    def give_up(self, *, as_cause: bool) -> None:
        """Take the ranks that were killed and do not end for ended: they hang in the kernel. `as_cause`: unless another
        rank ended before, they are what ended this start."""
        with self._lock:
            for local_rank in self.running:
                rank, pid = self.ranks[local_rank], self._processes[local_rank].pid
                known = words_for(state_of(pid))
                self.undead[rank] = f"rank {rank} (process {pid}) does not end{known and f': {known}'}"
                if as_cause and local_rank not in self._hung:
                    heartbeat = self.heartbeat(local_rank)
                    self._hung[local_rank] = Failure.seen(
                        ExitCode.HANG, ExitCode.HANG.exit_class, self.undead[rank], rank=rank, heartbeat=heartbeat
                    )
                self._ended(local_rank, -signal.SIGKILL)
        self._drain()

    def _drain(self) -> None:
        """What a rank wrote last must be out before anybody speaks about its end; who does not end writes no more."""
        deadline = time.monotonic() + _OUTPUT_SECONDS  # for all: what a rank has left behind may hold its output open
        for output in self._outputs:
            if output.rank not in self.undead:
                output.join(max(0.0, deadline - time.monotonic()))

    def _start(self, local_rank: int, rank: int, command: Sequence[str], environ: Mapping[str, str]) -> None:
        process = subprocess.Popen(
            [sys.executable, *_FLAGS, _RANK_MAIN, str(os.getpid()), *command],
            env=dict(environ),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        self._processes[local_rank] = process
        self._sent[local_rank] = set()
        for source, sink in ((process.stdout, 1), (process.stderr, 2)):
            self._outputs.append(RankOutput(cast("BinaryIO", source), sink, rank))

    def _signal(self, local_rank: int, number: int) -> None:
        self._sent[local_rank].add(number)
        self._processes[local_rank].send_signal(number)

    def _ended(self, local_rank: int, code: int) -> None:
        pid = self._processes[local_rank].pid
        # Loader workers of a rank that crashed would hold its memory, and its output open.
        _kill_session(pid)
        heartbeat = self.heartbeat(local_rank)
        by_us = -code in self._sent[local_rank]
        left = code == ExitCode.PREEMPTED and signal.SIGTERM in self._sent[local_rank]
        # A rank that was woken to write its stacks may have gone on meanwhile: what it was found at counts.
        failure, account = read_failure(self.directory.failure(local_rank)), self._hung.get(local_rank)
        if account is None and not by_us:
            account = self._out_of_memory(local_rank, code, failure, heartbeat)
        self.exits[local_rank] = RankExit(
            rank=self.ranks[local_rank],
            code=code,
            order=self._polls,
            by_us=by_us and account is None,
            failure=account or failure,
            iteration=account.iteration if account is not None else _iteration(heartbeat),
            early=heartbeat is not None and heartbeat.section is not Section.DONE and not left,
            found=ExitCode(account.exit_code) if account is not None else None,
        )

    def _out_of_memory(self, local_rank: int, code: int, failure: Failure | None,
                       heartbeat: Heartbeat | None) -> Failure | None:  # fmt: skip
        """If the kernel has killed the rank for want of memory, or the worker whose loss the rank tells of."""
        oom = ExitCode.OOM
        if code == -signal.SIGKILL and (message := self._memory.account(self._processes[local_rank].pid)):
            return Failure.seen(oom, "SIGKILL", message, rank=self.ranks[local_rank], heartbeat=heartbeat)
        if failure is not None and failure.type == WORKER_KILLED and (want := self._memory.want()):
            return replace(failure, exit_code=int(oom), exit_class=oom.exit_class, iteration=_iteration(heartbeat),
                           message=f"{failure.message}; {want}")  # fmt: skip
        return None


def _iteration(heartbeat: Heartbeat | None) -> int | None:
    return heartbeat.iteration if heartbeat is not None and heartbeat.steps else None


def _kill_session(pid: int) -> None:
    with suppress(ProcessLookupError, PermissionError):  # it has no member left; macOS says EPERM if all are zombies
        os.killpg(pid, signal.SIGKILL)
    with suppress(OSError):  # there may be no descriptor left to look with
        for member in members_of(pid):  # what `timeout` or a shell starts has a process group of its own
            with suppress(ProcessLookupError, PermissionError):
                os.kill(member, signal.SIGKILL)
