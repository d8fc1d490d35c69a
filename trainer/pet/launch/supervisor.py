"""The life of this node's ranks: start, watch, stop, settle after a failure, decide on a restart.

The agent's thread calls everything; the main thread calls `request_stop` alone, when a signal comes. Knows nothing of
torch.
"""

from __future__ import annotations

import os
import shutil
import threading
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from pet.launch.budget import Refusal, RestartBudget
from pet.launch.hang import end_hang
from pet.launch.memory import MemoryGroup
from pet.launch.patience import ERROR_SECONDS, PEER_SECONDS, death_seconds, patience, stop_seconds
from pet.launch.peers import Peers, Report
from pet.launch.plan import Plan
from pet.launch.ranks import RankExit, RankGroup
from pet.launch.reaper import reap_orphans
from pet.launch.record import Phase, Record
from pet.launch.talk import say
from pet.launch.verdict import Verdict, judge
from pet.launch.watchdog import Watchdog
from pet.runfiles.exits import ExitCode
from pet.runfiles.heartbeat import Section
from pet.runfiles.patience import write_patience
from pet.runfiles.rundir import RunDirectory
from pet.store.folder import Folder

_POLL_SECONDS = 0.05
_FINISH_SECONDS = 300.0


class StoppedBeforeStart(Exception):
    """A stop was asked for while no rank was running: none is started."""


class NodeGivenUp(Exception):
    """A rank of this node cannot be ended: none is started beside it."""


@dataclass(frozen=True)
class Outcome:
    """All ranks of a start are over."""

    verdict: Verdict
    restart: bool


class Supervisor:
    """One per launcher; `verdict` is how it all ended, None while it goes on."""

    def __init__(self, plan: Plan, record: Record, run_dir: Path, memory: MemoryGroup | None = None) -> None:
        """`memory` is the control group that the ranks will be in, where that is known."""
        self.plan = plan
        self.record = record
        self.budget = RestartBudget(plan.environment.restarts_left, plan.environment.restart_window_seconds)
        self.verdict: Verdict | None = None
        self.peers: Peers | None = None
        self._watchdog = Watchdog(plan.environment.stall_seconds)
        self._run_dir = run_dir
        self._memory = memory
        self._starts = 0
        self._lock = threading.Lock()
        self._group: RankGroup | None = None  # from its start until another may be started
        self._ended: RankGroup | None = None  # the last one whose ranks are all over
        self._stop_deadline: float | None = None
        self._first_bad_at: float | None = None

    @property
    def stopping(self) -> bool:
        """Whether a stop was asked for."""
        return self._stop_deadline is not None

    def request_stop(self) -> bool:
        """Ask all ranks to save and leave, once. Returns False if there is none that the launcher has to wait for."""
        with self._lock:
            if self._stop_deadline is None:
                self._stop_deadline = time.monotonic() + stop_seconds(self.plan.environment.grace_seconds)
                self.record.enter(Phase.STOPPING)
            if self._group is not None:
                self._group.terminate()
            return self._group is not None or self.verdict is not None

    def start(
        self, ranks: Mapping[int, int], variables: Mapping[int, Mapping[str, str]], peers: Peers
    ) -> dict[int, int]:
        """Start `ranks` (local to global) with their own environment variables. Returns their pids by local rank."""
        directory = RunDirectory(self._run_dir / f"start{self._starts}")
        shutil.rmtree(directory.path, ignore_errors=True)  # of an earlier launcher that was given the same folder
        directory.create()
        write_patience(directory.patience, self._watchdog.patience)
        self._starts += 1
        environ = self.plan.rank_environ(os.environ, directory.path)
        group = RankGroup(directory, ranks, self._memory)
        with self._lock:
            if self.stopping:
                raise StoppedBeforeStart
            group.start(self.plan.command, lambda local_rank: {**environ, **variables[local_rank]})
            self.peers, self._group, self._first_bad_at = peers, group, None
        self._watchdog.begin()
        self.record.started(group)
        return group.pids

    def watch(self) -> Outcome | None:
        """Look at the ranks; None while nothing has happened. After a bad end it returns when all ranks are over."""
        group, peers = self._current()
        self._poll(group)
        if not self._disturbed(group, peers) and not self._hung(group, peers):
            return None
        self._settle(group, peers)
        return self._conclude(group, peers)

    def end_ranks(self) -> None:
        """See to it that no rank is left: other nodes are starting anew, or the rendezvous is lost.

        Raises StoppedBeforeStart, and NodeGivenUp with the verdict made.
        """
        if self._group is not None and self._group is not self._ended:
            group, peers = self._current()
            self._first_bad_at = self._first_bad_at or time.monotonic()
            self._settle(group, peers)
            if group.undead:
                self._conclude(group, peers)
                raise NodeGivenUp
            self._record_end(group)
        with self._lock:
            if self.stopping and self.verdict is None:
                raise StoppedBeforeStart
            self._group = None

    def await_peers(self) -> None:
        """All ranks here finished: wait for those of the other nodes, whose end decides the job's.

        If the launcher of node 0 is gone meanwhile, this node's end is a good one: that node tells of its own.
        """
        _, peers = self._current()
        peers.wait(_FINISH_SECONDS, until=lambda: self.stopping or any(map(_is_bad, peers.reports())))
        bad = next(filter(_is_bad, peers.reports()), None)
        if bad is not None:
            self.conclude(Verdict.plain(ExitCode.PEER_LOST, f"finished here, but not everywhere: {bad}"))

    def conclude(self, verdict: Verdict) -> None:
        """This is how it all ends."""
        self.verdict = verdict
        if verdict.code is not ExitCode.PREEMPTED:
            self.record.enter(Phase.FINISHED if verdict.code is ExitCode.SUCCEEDED else Phase.FAILED)

    def lost(self, why: str) -> None:
        """The launchers do not meet again. A cause on this node is how it ends, otherwise the peers are."""
        last = judge(self._ended.exits.values(), stopping=self.stopping) if self._ended is not None else None
        if last is None or not last.is_cause:
            last = Verdict.plain(ExitCode.PEER_LOST, why)
        self.conclude(last)

    def _current(self) -> tuple[RankGroup, Peers]:
        if self._group is None or self.peers is None:
            raise RuntimeError("no ranks were started")
        return self._group, self.peers

    def _poll(self, group: RankGroup) -> None:
        group.poll()
        reap_orphans(group.pids.values())
        if self._first_bad_at is None and any(_end(exit) is not ExitCode.SUCCEEDED for exit in group.exits.values()):
            self._first_bad_at = time.monotonic()

    def _disturbed(self, group: RankGroup, peers: Peers) -> bool:
        if self._first_bad_at is None and any(map(_is_bad, peers.reports())):
            self._first_bad_at = time.monotonic()
        return self.stopping or self._first_bad_at is not None or not group.running

    def _hung(self, group: RankGroup, peers: Peers) -> bool:
        ended = bool(group.exits) or any(not _is_bad(report) for report in peers.reports())
        return end_hang(self._watchdog, group, peers, others_ended=ended)

    def _settle(self, group: RankGroup, peers: Peers) -> None:
        """Wait until every rank is over, and end those that have no more reason to go on."""
        while group.running:
            time.sleep(_POLL_SECONDS)
            self._poll(group)
            now = time.monotonic()
            waited = now - (self._first_bad_at if self._first_bad_at is not None else now)
            preempted = any(report.exit_code is ExitCode.PREEMPTED for report in peers.reports())
            if preempted and not self.stopping and waited > ERROR_SECONDS:
                self.request_stop()  # the ranks of the other node have saved and left; ours did not notice
            leaving = preempted or self.stopping
            late = self._stop_deadline is not None and now > self._stop_deadline
            if late or waited > self._patience(group, leaving=leaving):
                if not (late or leaving):
                    group.condemn(group.told())
                group.kill()
            if group.killed_at is not None and now - group.killed_at > death_seconds(leaving=leaving):
                group.give_up(as_cause=not leaving)

    def _record_end(self, group: RankGroup) -> None:
        self.record.ended(group)
        self._ended = group

    def _patience(self, group: RankGroup, *, leaving: bool) -> float:
        codes = {_end(exit) for exit in group.exits.values()} - {ExitCode.SUCCEEDED}
        return patience(codes, saving=_saving(group), leaving=leaving, grace=self.plan.environment.grace_seconds)

    def _conclude(self, group: RankGroup, peers: Peers) -> Outcome:
        self._record_end(group)
        verdict = judge(group.exits.values(), stopping=self.stopping)
        remote = None
        if verdict.code is ExitCode.PEER_LOST:
            peers.wait(PEER_SECONDS, until=lambda: any(report.explains for report in peers.reports()))
            remote = next((report for report in peers.reports() if report.explains), None)
        if remote is not None:
            code = ExitCode.PREEMPTED if remote.exit_code is ExitCode.PREEMPTED else ExitCode.PEER_LOST
            verdict = replace(verdict, code=code, message=f"{verdict.message}: {remote}")
        refusal = self._refusal(group, verdict, remote, peers.reports())
        peers.publish(verdict, restarts=refusal is None)
        if refusal is None:
            self.record.restarting(verdict.code)
            say(f"{verdict}; starting all ranks again ({self.budget.left} restarts left)")
            return Outcome(verdict, restart=True)
        if verdict.code.restarts_in_place:
            say(f"no restart: {refusal}")
        if refusal.reason:
            verdict = replace(verdict, spent=(refusal.reason, refusal.message))
        self.conclude(verdict)
        return Outcome(verdict, restart=False)

    def _refusal(self, group: RankGroup, verdict: Verdict, remote: Report | None,
                 reports: Collection[Report]) -> Refusal | None:  # fmt: skip
        """Why the ranks are not started again, None if they are."""
        if group.undead:  # it may hold a device, memory or files that the next rank needs
            return Refusal(f"{'; '.join(group.undead.values())}; this node is given up")
        if verdict.code.restarts_in_place and self.stopping:
            return Refusal("a stop was asked for")
        if over := next((report for report in reports if not report.restarts), None):
            return Refusal(f"node {over.node} is over: {over}")
        saved, folder = self.record.snapshot().checkpoint, self.plan.checkpoint_dir
        if verdict.code.restarts_in_place and saved is not None and Folder(folder).deserted:
            # Ranks would begin from scratch there, and nobody would know.
            return Refusal(f"iteration {saved} was saved, and nothing of it is in {folder!r} any more: put it back")
        cause = replace(verdict, code=remote.exit_code) if remote is not None else verdict
        return self.budget.refuse(cause, saved)


def _end(exit: RankExit) -> ExitCode:
    return ExitCode.PREEMPTED if exit.by_us else exit.exit_code


def _is_bad(report: Report) -> bool:
    return report.exit_code is not ExitCode.SUCCEEDED


def _saving(group: RankGroup) -> bool:
    beats = group.heartbeats().values()
    return any(beat is not None and (beat.section is Section.SAVE or beat.writing) for beat in beats)
