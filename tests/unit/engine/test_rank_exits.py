from __future__ import annotations

import errno
import os
import re
from pathlib import Path

import pytest
from harness.scripts import run_script

from pet.engine import entry
from pet.engine.session import Session
from pet.runfiles.failure import WORKER_KILLED
from pet.runfiles.heartbeat import Section

CFG = "--cfg=cfgs/tasks/toy/toy.yaml"


def test_a_script_that_returns_has_succeeded(tmp_path: Path) -> None:
    ended = run_script(tmp_path, CFG, "--local_rank=0")
    assert (ended.code, ended.output, ended.failure) == (0, "", None)
    assert ended.heartbeat is not None
    assert ended.heartbeat.section is Section.DONE


@pytest.mark.parametrize(("error", "code", "exit_class", "type_"), [
    ("config", 78, "ConfigError", "ConfigError"),
    ("value", 1, "AppError", "ValueError"),
    ("loss", 77, "NumericGuard", "NonFiniteLoss"),
    ("peer", 75, "PeerLost", "PeerLost"),
    ("unusable", 80, "CheckpointUnusable", "CheckpointUnusable"),
    ("fenced", 93, "NoRestart", "Fenced"),
    ("interrupt", 1, "AppError", "KeyboardInterrupt"),
    ("exit", 1, "AppError", "SystemExit"),
    ("no-restart", 93, "NoRestart", "SystemExit"),
])  # fmt: skip
def test_an_error_ends_the_rank_with_the_code_of_its_class(
    tmp_path: Path, error: str, code: int, exit_class: str, type_: str
) -> None:
    ended = run_script(tmp_path, CFG, error)
    assert ended.code == code, ended.output
    failure = ended.failure
    assert failure is not None
    assert (failure.exit_code, failure.exit_class, failure.type) == (code, exit_class, type_)
    assert (failure.attempt, failure.rank, failure.iteration) == (4, 0, None)
    assert "raise ERRORS[what]()" in failure.traceback


def test_a_stop_is_no_failure(tmp_path: Path) -> None:
    ended = run_script(tmp_path, CFG, "stop")
    assert (ended.code, ended.failure) == (143, None)
    assert ended.heartbeat is not None
    assert ended.heartbeat.section is Section.DONE


def test_a_configuration_error_is_told_without_a_traceback(tmp_path: Path) -> None:
    ended = run_script(tmp_path, CFG, "config")
    assert ended.output == "TRAIN.BATCH_SIZE: is odd\n"


@pytest.mark.parametrize(
    ("error", "line"),
    [
        ("peer", "PeerLost: Connection closed by peer"),
        ("loss", "NumericGuard: NonFiniteLoss: loss 'cls_loss' is nan at iteration 7: lower SOLVER"),
        ("sample", "AppError: SampleError: sample 3 of birds, a.png: truncated"),
        ("worker-sample", "AppError: SampleError: sample 3 of birds, a.png: truncated"),
        ("full", "AppError: OSError: [Errno 28] No space left on device"),
    ],
)
def test_an_error_whose_message_says_all_is_one_line(tmp_path: Path, error: str, line: str) -> None:
    ended = run_script(tmp_path, CFG, error)
    assert len(ended.output.splitlines()) == 1
    assert f"rank 0 ends: {line}" in ended.output
    assert ended.failure is not None
    assert ended.failure.message in ended.output
    assert "Traceback" in ended.failure.traceback


def test_the_traceback_of_an_error_of_the_script_itself_is_shown_once(tmp_path: Path) -> None:
    ended = run_script(tmp_path, CFG, "value")
    assert ended.output.count("Traceback") == 1
    assert "raise ERRORS[what]()" in ended.output


@pytest.mark.parametrize(
    ("argv", "field"),
    [
        ((), "command line"),
        ((CFG, "--gpus", "2"), "command line or spec.scriptArgs"),
        ((CFG, "--local_rank=first"), "command line"),
    ],
)
def test_a_usage_error_is_a_configuration_error(tmp_path: Path, argv: tuple[str, ...], field: str) -> None:
    # The 2 of argparse would be restarted.
    ended = run_script(tmp_path, *argv)
    assert ended.code == 78, ended.output
    assert ended.failure is not None
    assert ended.failure.message.startswith(f"{field}: ")


def test_the_end_of_a_worker_at_work_is_no_error(tmp_path: Path) -> None:
    # torch watches its workers, and raises in whatever line the rank is at when one of them is killed.
    ended = run_script(tmp_path, CFG, "end-workers")
    assert ended.code == 0, ended.output


def test_a_worker_that_was_killed_is_named_with_its_signal(tmp_path: Path) -> None:
    ended = run_script(tmp_path, CFG, "lose-worker")
    assert ended.code == 1, ended.output
    assert ended.failure is not None
    assert ended.failure.type == WORKER_KILLED
    assert re.match(r"a worker of the data loader \(process \d+\) was killed by SIGKILL; ", ended.failure.message)
    assert ended.output.count("was killed by SIGKILL") == 1


def test_a_report_finds_room_where_no_new_file_does(tmp_path: Path) -> None:
    ended = run_script(tmp_path, CFG, "no-room-for-new-files")
    assert ended.code == 1
    assert ended.failure is not None
    assert (ended.failure.type, ended.failure.message) == ("ValueError", "oh")


def test_where_run_files_find_no_room_the_code_says_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(script: str) -> Session:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(entry, "open_session", full)
    with pytest.raises(SystemExit) as caught:
        entry._open_session("tools/tasks/toy/train_net.py")
    assert caught.value.code == 79


@pytest.mark.parametrize(("error", "code"), [("value", 1), ("config", 78), ("peer", 75), ("stop", 143)])
def test_workers_that_are_still_loading_do_not_change_the_end(tmp_path: Path, error: str, code: int) -> None:
    ended = run_script(tmp_path, CFG, f"training-{error}")
    assert ended.code == code, ended.output
    assert "DataLoader worker" not in ended.output
    if ended.failure is not None:
        assert ended.failure.iteration == 3
