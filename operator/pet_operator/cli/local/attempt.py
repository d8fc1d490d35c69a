"""One attempt of a local run: start the launchers, watch them, pass on a stop, and judge how they ended."""

from __future__ import annotations

import json
import signal
import threading
import time
from pathlib import Path
from types import FrameType
from typing import Any

from pet.config.job import PetTrainingJob
from pet_operator.cli.local.folder import RunFolder, RunRecord
from pet_operator.cli.local.launchers import Launchers, command_of, environments_of
from pet_operator.cli.local.progress import Display, poll
from pet_operator.cli.output import Exit

# Exit codes of launchers that are no failure of their own.
PREEMPTED, PEER_LOST, CONFIG_ERROR = 143, 75, 78

POLL_SECONDS = 0.5
# After one node has failed the others notice by themselves; this is for those that do not.
ORPHAN_SECONDS = 30.0


class LocalAttempt:
    """Made for a job, its folder and its record; `run` once."""

    def __init__(self, job: PetTrainingJob, folder: RunFolder, record: RunRecord, *, verbose: bool) -> None:
        self.job = job
        self.folder = folder
        self.record = record
        self.display = Display(nodes=job.spec.nodes, verbose=verbose)
        self.stop = threading.Event()

    def run(self, data: Path) -> Exit:
        """Run to the end or to a stop; the record then holds phase and result. Raises ConfigError."""
        self.record.attempt += 1
        self.record.phase = "Running"
        command = command_of(self.job, self.folder)
        environments = environments_of(self.job, self.folder, self.record, data)
        logs = [Path(environment.termination_log) for environment in environments]
        for log in logs:
            log.unlink(missing_ok=True)
        self.folder.save(self.record)
        ports = [environment.metrics_port or 0 for environment in environments]
        self._announce(ports)
        launchers = Launchers(command, environments, self.job.spec.gpus_per_node, self.folder.logs, self.display.line)
        codes = self._watch(launchers, ports)
        code = self._conclude(codes, [_read_message(log) for log in logs])
        self.folder.save(self.record)
        return code

    def _announce(self, ports: list[int]) -> None:
        spec, say = self.job.spec, self.display.say
        again = f", attempt {self.record.attempt}" if self.record.attempt > 1 else ""
        say(f"{self.job.name}{again}: {spec.world_size} {'GPU' if spec.gpus_per_node else 'CPU'} ranks")
        say(f"  checkpoints  {self.folder.checkpoints}")
        say(f"  numbers      {self.folder.checkpoints / 'metrics.json'}")
        for index, port in enumerate(ports):
            node = f" (node {index})" if len(ports) > 1 else ""
            say(f"  live         http://127.0.0.1:{port}/status  http://127.0.0.1:{port}/metrics{node}")
        say("  Ctrl-C saves a checkpoint and stops")

    def _watch(self, launchers: Launchers, ports: list[int]) -> list[int]:
        """Until all launchers have ended; returns their exit codes."""
        signals = (signal.SIGINT, signal.SIGTERM)
        previous = [signal.signal(number, self._interrupt) for number in signals]
        try:
            with self.display:
                launchers.start()
                self._wait(launchers, ports)
                return launchers.join()
        finally:
            launchers.kill()
            for number, handler in zip(signals, previous, strict=True):
                signal.signal(number, handler)

    def _wait(self, launchers: Launchers, ports: list[int]) -> None:
        asked, failed_at = False, None
        while None in (codes := launchers.codes()):
            self.display.update(poll(ports))
            if any(codes) and failed_at is None:
                failed_at = time.monotonic()
            orphans = failed_at is not None and time.monotonic() - failed_at > ORPHAN_SECONDS
            if not asked and (self.stop.is_set() or orphans):
                asked = True
                self.display.say("stopping: a checkpoint is being saved")
                launchers.stop()
            time.sleep(POLL_SECONDS)

    def _interrupt(self, _number: int, _frame: FrameType | None) -> None:
        self.stop.set()

    def _conclude(self, codes: list[int], messages: list[dict[str, Any] | None]) -> Exit:
        """Set phase and result from the launchers' exit codes and termination messages."""
        if self.stop.is_set():  # one that had just been started may not have been ready to catch the signal
            codes = [PREEMPTED if code == -signal.SIGTERM else code for code in codes]
        told = [message for message in messages if message]
        newest = max(told, key=lambda message: message.get("iteration") or 0, default={})
        failure = None
        if not any(codes):
            self.record.phase, code = "Succeeded", Exit.GOOD
        elif all(code in (0, PREEMPTED) for code in codes):
            self.record.phase, code = "Suspended", Exit.STOPPED
        else:
            self.record.phase = "Failed"
            failure = _root(codes, messages)
            code = Exit.INVALID if failure["exitCode"] == CONFIG_ERROR else Exit.FAILED
        self.record.result = {
            "name": self.job.name,
            "phase": self.record.phase,
            "iteration": newest.get("iteration"),
            "metrics": newest.get("metrics") or {},
            "checkpoint": newest.get("checkpoint"),
            "resumedFrom": (newest.get("progress") or {}).get("resumedFrom"),
            "failure": failure,
            "output": str(self.folder.path),
        }
        return code


def _root(codes: list[int], messages: list[dict[str, Any] | None]) -> dict[str, Any]:
    """The failure to blame: a node that only lost its peers is never the cause if another one is there."""
    failed = [(code, message) for code, message in zip(codes, messages, strict=True) if code not in (0, PREEMPTED)]
    code, message = next(((code, message) for code, message in failed if code != PEER_LOST), failed[0])
    if message is None:
        text = f"it ended with exit code {code} and left no word; its output is in the logs"
        return {"rank": None, "class": "Crash", "exitCode": code, "type": "launcher", "message": text}
    keys = ("rank", "class", "exitCode", "type", "message", "traceback", "iteration")
    return {key: message.get(key) for key in keys}


def _read_message(path: Path) -> dict[str, Any] | None:
    """A termination message; None if the launcher was killed before it had written one."""
    try:
        message: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return None
    return message
