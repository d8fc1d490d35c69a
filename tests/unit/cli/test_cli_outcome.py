"""From the ends of launchers to phase, exit code and the failure that is to blame."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

import pytest

from pet.runfiles.exits import ExitCode
from pet_operator.cli.local.outcome import End, judge, read_message, result_of
from pet_operator.cli.local.stop import Cause, Stop

KILLED = "killed by another Ctrl-C"
LATE = "killed, for it had not ended 31 s after it was asked to stop"
LOST = f"{KILLED}; the steps since the newest checkpoint are lost"


def end(code: int, **message: Any) -> End:
    """A launcher that left a message, if it was able to."""
    if code < 0:
        return End(code, None)
    exit_class = ExitCode(code).exit_class
    return End(code, {"class": exit_class, "exitCode": code, "type": exit_class, "message": "", **message})


def stopped(cause: Cause | None = None, killed: str | None = None) -> Stop:
    stop = Stop(grace=1.0)
    stop.cause, stop.killed = cause, killed
    return stop


# ends by node, what made them stop, whether they were killed → phase, exit code, class and message of the failure
TABLE: list[tuple[tuple[int, ...], Cause | None, str | None, str, int, str | None]] = [
    ((0, 0), None, None, "Succeeded", 0, None),
    ((0, 0), Cause.DEADLINE, None, "Succeeded", 0, None),
    ((143, 143), Cause.USER, None, "Suspended", 130, None),
    ((143,), None, None, "Suspended", 130, None),
    # One that had just been started does not catch the signal yet.
    ((143, -15), Cause.USER, None, "Suspended", 130, None),
    ((-15,), None, None, "Failed", 1, "Crash"),
    ((1,), None, None, "Failed", 1, "AppError"),
    ((78,), None, None, "Failed", 78, "ConfigError"),
    ((75, 139), None, None, "Failed", 1, "Crash"),
    ((75, 143), Cause.LOST_NODE, None, "Failed", 1, "PeerLost"),
    ((-9,), None, None, "Failed", 1, "Crash"),
    # The user did not wait for the save: nobody's failure, and not the code of a stop that saved.
    ((-9,), Cause.USER, KILLED, "Suspended", 1, None),
    ((75, -9), Cause.USER, KILLED, "Suspended", 1, None),
    ((143,), Cause.USER, KILLED, "Suspended", 130, None),
    ((-9,), Cause.USER, LATE, "Failed", 1, f"Crash: {LATE}; the steps since"),
    ((1, -9), Cause.USER, KILLED, "Failed", 1, "AppError"),
    ((143,), Cause.DEADLINE, None, "Failed", 1, "DeadlineExceeded: spec.deadlines.activeSeconds is over"),
    ((-9,), Cause.DEADLINE, KILLED, "Failed", 1, f"DeadlineExceeded: spec.deadlines.activeSeconds is over; {LOST}"),
    ((1,), Cause.DEADLINE, None, "Failed", 1, "AppError"),
]


@pytest.mark.parametrize(("codes", "cause", "killed", "phase", "code", "failure"), TABLE)
def test_outcome(
    codes: tuple[int, ...], cause: Cause | None, killed: str | None, phase: str, code: int, failure: str | None
) -> None:
    outcome = judge([end(each) for each in codes], stopped(cause, killed))
    assert (outcome.phase, outcome.code) == (phase, code)
    said = outcome.failure and f"{outcome.failure['class']}: {outcome.failure['message']}"
    assert (said or "").startswith(failure or "")
    assert (said is None) == (failure is None)


def test_every_failure_has_the_same_fields() -> None:
    ends = [[end(1)], [end(-9)], [end(143)]]
    failures = [judge(each, stopped(Cause.DEADLINE)).failure for each in ends]
    fields = ["rank", "class", "exitCode", "type", "message", "traceback", "iteration"]
    assert [list(failure or ()) for failure in failures] == [fields] * 3


def test_a_launcher_that_left_no_word_is_reported_by_its_class() -> None:
    failure = judge([end(-signal.SIGSEGV)], stopped()).failure
    assert failure is not None
    assert (failure["class"], failure["exitCode"]) == ("Crash", 139)
    assert "exit code -11" in failure["message"]


def test_the_result_holds_what_the_node_that_came_farthest_told() -> None:
    checkpoint = {"iteration": 40, "file": "model_iter40.pth"}
    far: dict[str, Any] = {"iteration": 40, "metrics": {"top1": 0.5}, "progress": {"resumedFrom": 20}}
    ends = [end(143, iteration=None, metrics=None), end(143, checkpoint=checkpoint, **far)]
    assert result_of("job", "runs/job", judge(ends, stopped(Cause.USER)), ends) == {
        "name": "job", "phase": "Suspended", "iteration": 40, "metrics": {"top1": 0.5}, "checkpoint": checkpoint,
        "resumedFrom": 20, "failure": None, "output": "runs/job",
    }  # fmt: skip
    nothing = result_of("job", "runs/job", judge([end(-9)], stopped()), [end(-9)])
    assert (nothing["iteration"], nothing["metrics"], nothing["checkpoint"]) == (None, {}, None)


def test_a_message_that_is_not_whole_is_none(tmp_path: Path) -> None:
    assert read_message(tmp_path / "message") is None
    (tmp_path / "message").write_text('{"class": ')
    assert read_message(tmp_path / "message") is None
    (tmp_path / "message").write_text(json.dumps({"class": "Succeeded"}))
    assert read_message(tmp_path / "message") == {"class": "Succeeded"}
