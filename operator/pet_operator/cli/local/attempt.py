"""One attempt of a local run: start the launchers, watch them, pass on a stop, and record how they ended."""

from __future__ import annotations

import shutil
import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pet.config import ConfigError
from pet.config.job import PetTrainingJob
from pet_operator.cli.local.folder import RunFolder
from pet_operator.cli.local.launchers import Launchers
from pet_operator.cli.local.nodes import command_of, environments_of
from pet_operator.cli.local.outcome import End, Outcome, judge, read_message, result_of
from pet_operator.cli.local.progress import Display, poll
from pet_operator.cli.local.record import RunRecord
from pet_operator.cli.local.stop import Order, Stop
from pet_operator.cli.output import Exit, count, report

POLL_SECONDS = 0.5


class LocalAttempt:
    """Made for a job, its folder and its record; `run` once."""

    def __init__(self, job: PetTrainingJob, folder: RunFolder, record: RunRecord, *, verbose: bool) -> None:
        self.job = job
        self.folder = folder
        self.record = record
        self.display = Display(nodes=job.spec.nodes, verbose=verbose)
        grace, active = job.spec.checkpoint.grace_period_seconds, job.spec.deadlines.active_seconds
        self.stop = Stop(grace=grace, active=active)

    def run(self, data: Path) -> Exit:
        """Run to the end or to a stop; the record then holds phase and result. Raises ConfigError."""
        self.record.attempt += 1
        self.record.phase = "Running"
        spec = self.job.spec
        environments = environments_of(self.job, self.folder, self.record, data)
        command, logs = command_of(self.job, self.folder), self.folder.begin(self.record, spec.nodes)
        launchers = Launchers(command, environments, spec.gpus_per_node, logs, self.display.line)
        self._announce()
        codes = self._watch(launchers, [Path(environment.run_dir) for environment in environments])
        ends = [End(code, read_message(self.folder.termination_log(index))) for index, code in enumerate(codes)]
        outcome = judge(ends, self.stop)
        self.record.phase = outcome.phase
        self.record.result = self._result(outcome, ends)
        try:
            self.folder.save(self.record)
        except ConfigError as error:
            report(error.problems)  # the result is told all the same; the next start goes on from the checkpoints
        return outcome.code

    def _result(self, outcome: Outcome, ends: Sequence[End]) -> dict[str, Any]:
        """What the launchers told, and of what they were killed over, what lies in the folder."""
        result = result_of(self.job.name, str(self.folder.path), outcome, ends)
        if result["checkpoint"] is None and (saved := self.folder.newest()):
            result |= {"checkpoint": saved, "iteration": result["iteration"] or saved["iteration"]}
        return result

    def _announce(self) -> None:
        """Addresses and folders are told by the launchers themselves."""
        spec = self.job.spec
        again = f", attempt {self.record.attempt}" if self.record.attempt > 1 else ""
        ranks = count(spec.world_size, "GPU rank" if spec.gpus_per_node else "CPU rank")
        self.display.say(f"{self.job.name}{again}: {ranks}")
        self.display.say(f"  numbers  {self.folder.numbers}")

    def _watch(self, launchers: Launchers, run_dirs: Sequence[Path]) -> list[int]:
        """Until all launchers have ended; returns their exit codes."""
        with self.signals(), self.display:
            try:
                launchers.start()
                while None in (codes := launchers.codes()):
                    self.display.update(poll(run_dirs, self.record.uid))
                    self._obey(self.stop.decide(codes), launchers)
                    time.sleep(POLL_SECONDS)
                return launchers.join()
            finally:
                launchers.kill()
                for run_dir in run_dirs:  # of launchers that were killed
                    shutil.rmtree(run_dir, ignore_errors=True)

    def _obey(self, order: Order | None, launchers: Launchers) -> None:
        if order is Order.STOP and self.stop.cause:
            hint = "another Ctrl-C ends it at once, with the newest checkpoint that there is"
            self.display.say(f"stopping, {self.stop.cause.value}: {hint}")
            launchers.stop()
        elif order is Order.KILL:
            self.display.say(f"{self.job.name} is {self.stop.killed}; the steps since the newest checkpoint are lost")
            launchers.kill()

    @contextmanager
    def signals(self) -> Iterator[None]:
        """SIGINT, SIGTERM and a terminal that is closed ask for a stop; what nohup ignores stays ignored."""
        asking = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        numbers = [number for number in asking if signal.getsignal(number) is not signal.SIG_IGN]
        previous = [signal.signal(number, lambda number, _frame: self.stop.interrupt(number)) for number in numbers]
        try:
            yield
        finally:
            for number, handler in zip(numbers, previous, strict=True):
                signal.signal(number, handler)
