"""A launcher that starts nothing: its exit code and its last word."""

from __future__ import annotations

import errno
import json
import os
import sys
from pathlib import Path

import pytest

from pet.launch import main
from pet.launch.main import launch
from pet.runfiles.exits import ExitCode


@pytest.fixture
def last_word(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the termination message goes."""
    monkeypatch.setenv("PETJOB_TERMINATION_LOG", str(tmp_path / "last"))
    return tmp_path / "last"


def test_help_is_answered_and_no_failure(last_word: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert launch(["--help"], Path("tools")) is ExitCode.SUCCEEDED
    assert "usage: train_net_all.py" in capfd.readouterr().out
    assert not last_word.exists()


def test_a_wrong_command_line_is_refused_in_one_line(last_word: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert launch(["--script=tools/tasks/cls/train_net.py"], Path("tools")) is ExitCode.CONFIG_ERROR
    message = json.loads(last_word.read_text())
    assert (message["exitCode"], message["class"], message["type"]) == (78, "ConfigError", "ConfigError")
    assert capfd.readouterr().err == f"pet: {message['message']}\n"


def test_an_exit_while_it_prepares_is_no_success(last_word: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(main, "make_plan", lambda *arguments: sys.exit(0))
    assert launch(["--cfg", "a.yaml"], Path("tools")) is ExitCode.APP_ERROR
    assert json.loads(last_word.read_text())["type"] == "SystemExit"


def test_a_checkpoint_folder_on_a_read_only_volume_is_waited_for_and_no_mistake_of_the_file(
    tmp_path: Path, last_word: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    cfg = tmp_path / "cfgs/tasks/cls/fake.yaml"
    cfg.parent.mkdir(parents=True)
    cfg.write_text(f"MISC: {{DEVICE: cpu, CKPT: {tmp_path}/ckpt}}\nTRAIN: {{DATASETS: [fashion_mnist_train]}}\n")
    monkeypatch.chdir(tmp_path)
    tools = Path(__file__).resolve().parents[3] / "trainer/tools"

    def refuse(path: str) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), path)

    monkeypatch.setattr("pet.store.lock.make_directory", refuse)
    assert launch(["--cfg", "cfgs/tasks/cls/fake.yaml", "--nproc", "1"], tools) is ExitCode.STORAGE_FULL
    message = json.loads(last_word.read_text())
    assert (message["exitCode"], message["class"]) == (79, "StorageFull")
    assert "takes no writes ([Errno 30] Read-only file system" in capfd.readouterr().err


def test_run_files_without_room_are_waited_for(
    last_word: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def refuse(*arguments: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(main, "make_plan", refuse)
    assert launch(["--cfg", "a.yaml"], Path("tools")) is ExitCode.STORAGE_FULL
    message = json.loads(last_word.read_text())
    assert (message["exitCode"], message["class"]) == (79, "StorageFull")
    assert capfd.readouterr().err == f"pet: {message['message']}\n"
