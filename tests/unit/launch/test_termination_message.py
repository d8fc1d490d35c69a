"""The last word of a launcher: whole JSON in at most 4096 bytes, whatever was told."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pet.launch.plan import Plan
from pet.launch.ranks import RankGroup
from pet.launch.record import Record, Snapshot
from pet.launch.termination import (
    LIMIT_BYTES,
    reserve_termination_message,
    termination_message,
    write_termination_message,
)
from pet.launch.verdict import Verdict
from pet.runfiles.checkpoint_info import CheckpointInfo
from pet.runfiles.exits import ExitCode
from pet.runfiles.heartbeat import HeartbeatWriter, Section
from pet.runfiles.metrics import JobMetrics, write_metrics_file
from pet.runfiles.rundir import RunDirectory

FIELDS = {
    "schema", "class", "exitCode", "attempt", "restart", "restartsLeft", "spent", "rank", "iteration", "type",
    "message", "traceback", "signalledByUs", "savedIteration", "checkpoint", "metrics", "progress",
}  # fmt: skip


def snapshot(folder: Path, terms: int = 1) -> Snapshot:
    """One rank that resumed at 20, has done 5 steps, and saved the last one."""
    directory = RunDirectory(folder)
    directory.create()
    heart = HeartbeatWriter(directory.heartbeat(0), attempt=3, restart=2, rank=0, local_rank=0)
    for iteration in range(21, 26):
        heart.step(iteration, 0.5, 0.1)
    heart.enter(Section.DONE)
    metrics = JobMetrics(
        attempt=3, restart=2, world_size=1, iteration=25, max_iterations=100, resumed_from=20,
        losses={f"loss_of_a_long_name_{term}": float("nan") for term in range(terms)},
        metrics={f"metric_of_a_long_name_{term}": 0.1234567890123 for term in range(terms)},
        checkpoint=CheckpointInfo(iteration=25, file="model_iter25.pth", bytes=9, saved_at=0.0, verified=True),
    )  # fmt: skip
    write_metrics_file(directory.metrics(0), metrics)
    record = Record()
    record.started(RankGroup(directory, {0: 0}))
    return record.snapshot()


def message_of(verdict: Verdict, plan: Plan | None = None, seen: Snapshot | None = None) -> dict[str, Any]:
    text = termination_message(verdict, plan, seen, restarts_left=1)
    assert len(text.encode()) <= LIMIT_BYTES == 4096
    message: dict[str, Any] = json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    assert set(message) == FIELDS
    return message


def test_message_of_a_run(plan: Plan, tmp_path: Path) -> None:
    message = message_of(Verdict.plain(ExitCode.PREEMPTED, "left", signalled=(1,)), plan, snapshot(tmp_path / "run"))
    progress = message.pop("progress")
    assert message == {
        "schema": 1, "class": "Preempted", "exitCode": 143, "attempt": 3, "restart": 2, "restartsLeft": 1, "rank": None,
        "spent": None, "iteration": 25, "type": "Preempted", "message": "left", "traceback": "",
        "signalledByUs": [1], "savedIteration": 25,
        "checkpoint": {"iteration": 25, "file": "model_iter25.pth", "bytes": 9, "verified": True,
                       "savedAt": "1970-01-01T00:00:00Z"},
        "metrics": {"metric_of_a_long_name_0": 0.1234567890123},
    }  # fmt: skip
    assert (progress["iteration"], progress["maxIterations"], progress["resumedFrom"]) == (25, 100, 20)
    assert progress["losses"] == {"loss_of_a_long_name_0": None}


def test_message_of_a_launcher_that_started_nothing() -> None:
    message = message_of(Verdict(ExitCode.CONFIG_ERROR, "ConfigError", "MISC.SEED: wrong"))
    assert (message["class"], message["message"], message["attempt"]) == ("ConfigError", "MISC.SEED: wrong", None)
    assert (message["iteration"], message["progress"]) == (None, None)


def test_iteration_is_that_of_the_cause_if_it_told_one(plan: Plan, tmp_path: Path) -> None:
    verdict = Verdict(ExitCode.APP_ERROR, "ValueError", "no", rank=1, iteration=23)
    assert message_of(verdict, plan, snapshot(tmp_path / "run"))["iteration"] == 23


def test_traceback_is_cut_first_and_its_end_is_kept(plan: Plan, tmp_path: Path) -> None:
    trace = "line\n" * 2000 + "ValueError: the end"
    verdict = Verdict(ExitCode.APP_ERROR, "ValueError", "m" * 900, rank=0, traceback=trace)
    message = message_of(verdict, plan, snapshot(tmp_path / "run"))
    assert message["message"] == "m" * 900
    assert message["traceback"].startswith("…")
    assert message["traceback"].endswith("ValueError: the end")
    assert len(message["traceback"]) > 1000


def test_too_many_names_of_a_user_go_before_what_happened(plan: Plan, tmp_path: Path) -> None:
    signalled = tuple(range(2000))
    verdict = Verdict(ExitCode.CRASH, "SIGKILL", "killed by SIGKILL", rank=7, iteration=3, signalled=signalled)
    message = message_of(verdict, plan, snapshot(tmp_path / "run", terms=500))
    assert (message["class"], message["rank"], message["iteration"]) == ("Crash", 7, 3)
    assert (message["message"], message["savedIteration"]) == ("killed by SIGKILL", 25)
    assert message["progress"]["losses"] is None
    assert message["signalledByUs"] == list(signalled[: len(message["signalledByUs"])])


@given(
    message=st.text(max_size=3000),
    traceback=st.text(max_size=5000),
    signalled=st.lists(st.integers(0, 10**6), max_size=1000),
)
def test_no_text_makes_it_too_long(message: str, traceback: str, signalled: list[int]) -> None:
    verdict = Verdict(ExitCode.APP_ERROR, "E", message, rank=0, traceback=traceback, signalled=tuple(signalled))
    whole = message_of(verdict)
    assert (whole["class"], whole["rank"]) == ("AppError", 0)
    assert whole["message"].startswith(message[:16])


def test_a_name_that_is_no_text_does_not_keep_the_rest_from_being_told() -> None:
    """As Python has file names in, whose bytes are no UTF-8."""
    verdict = Verdict(ExitCode.APP_ERROR, "E", "no \udcff", rank=0, traceback="in \udcff\n" * 1000 + "the end")
    assert message_of(verdict)["traceback"].endswith("the end")


def test_file_is_written_in_place_since_it_may_be_a_mount(tmp_path: Path) -> None:
    path = tmp_path / "termination-log"
    path.write_text("a longer text of an earlier container")
    inode = path.stat().st_ino
    write_termination_message("{}", {"PETJOB_TERMINATION_LOG": str(path)})
    assert (path.read_text(), path.stat().st_ino) == ("{}", inode)


def test_room_for_it_is_kept_on_a_disk_that_fills_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "log"
    environ = {"PETJOB_TERMINATION_LOG": str(path)}
    reserve_termination_message(environ)
    real = os.write

    def write_on_a_full_disk(descriptor: int, data: bytes) -> int:
        if os.lseek(descriptor, 0, os.SEEK_CUR) + len(data) > os.fstat(descriptor).st_size:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(descriptor, data)

    monkeypatch.setattr(os, "write", write_on_a_full_disk)
    write_termination_message('{"class": "AppError"}', environ)
    assert path.read_text() == '{"class": "AppError"}'


def test_file_that_cannot_be_written_is_said_and_changes_nothing(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    write_termination_message("{}", {"PETJOB_TERMINATION_LOG": str(tmp_path / "away" / "log")})
    assert "the termination message was not written" in capfd.readouterr().err


def test_without_a_container_nothing_is_written(capfd: pytest.CaptureFixture[str]) -> None:
    assert not os.access("/dev/termination-log", os.W_OK)
    write_termination_message("{}", {})
    assert capfd.readouterr().err == ""


def test_message_says_what_was_tried_in_vain() -> None:
    spent = ("OOM", "OOM 2 times")
    verdict = Verdict(ExitCode.OOM, "SIGKILL", "killed for want of memory", rank=1, spent=spent)
    assert message_of(verdict)["spent"] == {"reason": "OOM", "message": "OOM 2 times"}
