"""From the ends of a local run's launchers to its phase, its result and the exit code of `pet run`."""

from __future__ import annotations

import json
import signal
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pet.runfiles.exits import ExitCode, classify
from pet_operator.cli.local.stop import Cause, Stop
from pet_operator.cli.output import Exit

Message = dict[str, Any]

_FAILURE = ("rank", "class", "exitCode", "type", "message", "traceback", "iteration")


@dataclass(frozen=True)
class End:
    """How one launcher ended. Without a message it was killed before it had left one."""

    code: int
    message: Message | None

    @property
    def failed(self) -> bool:
        """Neither at its good end nor stopped with a checkpoint."""
        return self.code not in (ExitCode.SUCCEEDED, ExitCode.PREEMPTED)


@dataclass(frozen=True)
class Outcome:
    """`phase` is Succeeded, Suspended or Failed; `failure` is there in the last case.

    Suspended with Exit.FAILED: the user did not wait for the save.
    """

    phase: str
    code: Exit
    failure: Message | None = None


def read_message(path: Path) -> Message | None:
    """A termination message, None if there is no whole one."""
    try:
        message: Message = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return None
    return message


def judge(ends: Sequence[End], stop: Stop) -> Outcome:
    """The outcome of launchers that have all ended."""
    if stop.cause and not stop.killed:  # one that had just been started may not have been ready to catch the signal
        ends = [End(ExitCode.PREEMPTED, end.message) if end.code == -signal.SIGTERM else end for end in ends]
    if all(end.code == ExitCode.SUCCEEDED for end in ends):
        return Outcome("Succeeded", Exit.GOOD)
    failure = _failure(ends, stop)
    if failure is None:
        saved = all(end.code != -signal.SIGKILL for end in ends)
        return Outcome("Suspended", Exit.STOPPED if saved else Exit.FAILED)
    code = Exit.INVALID if failure["exitCode"] == ExitCode.CONFIG_ERROR else Exit.FAILED
    return Outcome("Failed", code, failure)


def result_of(name: str, output: str, outcome: Outcome, ends: Sequence[End]) -> Message:
    """The object of `-o json`, with what the launcher of rank 0 told last."""
    told = [end.message for end in ends if end.message]
    newest = max(told, key=lambda message: message.get("iteration") or 0, default={})
    return {
        "name": name,
        "phase": outcome.phase,
        "iteration": newest.get("iteration"),
        "metrics": newest.get("metrics") or {},
        "checkpoint": newest.get("checkpoint"),
        "resumedFrom": (newest.get("progress") or {}).get("resumedFrom"),
        "failure": outcome.failure,
        "output": output,
    }


def _failure(ends: Sequence[End], stop: Stop) -> Message | None:
    """What is to blame. A node that only lost its peers is never the cause if there is another one."""
    killed = [end for end in ends if stop.killed and end.code == -signal.SIGKILL]
    failed = [end for end in ends if end.failed and end not in killed]
    if causes := [end for end in failed if end.code != ExitCode.PEER_LOST]:
        return _account(causes[0])
    lost = f"{stop.killed}; the steps since the newest checkpoint are lost"
    if stop.cause is Cause.DEADLINE:
        text = f"{stop.cause.value}; {lost}" if killed else stop.cause.value
        return _report("DeadlineExceeded", ExitCode.PREEMPTED, "DeadlineExceeded", text)
    if killed and not stop.cut_short:
        return _report(ExitCode.CRASH.exit_class, ExitCode.CRASH, "SIGKILL", lost)
    return _account(failed[0]) if failed and not killed else None


def _account(end: End) -> Message:
    if end.message is not None:
        return {key: end.message.get(key) for key in _FAILURE}
    code = classify(end.code)
    text = f"it ended with exit code {end.code} and left no word; its output is in the logs"
    return _report(code.exit_class, code, "launcher", text)


def _report(kind: str, code: ExitCode, type_: str, message: str) -> Message:
    return dict.fromkeys(_FAILURE) | {"class": kind, "exitCode": int(code), "type": type_, "message": message}
