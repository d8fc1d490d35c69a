"""One launcher per checkpoint folder."""

from __future__ import annotations

import errno
import fcntl
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pet.config.errors import ConfigError
from pet.store.lock import FolderLock


def _run(program: str) -> subprocess.CompletedProcess[str]:
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=environ, check=False)


def test_a_held_lock_refuses_another_process_and_names_the_holder(tmp_path: Path) -> None:
    program = f"from pet.store.lock import FolderLock; FolderLock({str(tmp_path)!r}).acquire()"
    with FolderLock(tmp_path):
        refused = _run(program)
    allowed = _run(program)
    assert "ConfigError" in refused.stderr
    assert f"process {os.getpid()}" in refused.stderr
    assert allowed.returncode == 0, allowed.stderr


def test_the_lock_ends_with_the_process_that_holds_it_even_if_a_child_lives_on(tmp_path: Path) -> None:
    program = (
        "import os, signal, subprocess, sys\n"
        "from pet.store.lock import FolderLock\n"
        f"lock = FolderLock({str(tmp_path)!r}); lock.acquire()\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import sys; sys.stdin.read()'], stdin=subprocess.PIPE,\n"
        "                         stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    assert _run(program).returncode == -signal.SIGKILL
    FolderLock(tmp_path).acquire()


def test_a_released_lock_can_be_taken_again(tmp_path: Path) -> None:
    lock = FolderLock(tmp_path / "new" / "folder")
    for _ in range(2):
        with lock, pytest.raises(ConfigError, match="is in use by process"):
            FolderLock(tmp_path / "new" / "folder").acquire()


def test_a_volume_without_locks_is_used_with_a_warning(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:  # fmt: skip
    def unsupported(descriptor: int, operation: int) -> Any:
        raise OSError(errno.EOPNOTSUPP, "Operation not supported")

    monkeypatch.setattr(fcntl, "flock", unsupported)
    with FolderLock(tmp_path):
        assert "knows no locks" in caplog.text


def test_a_path_that_is_no_folder_is_a_config_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match=r"MISC\.CKPT"):
        FolderLock(tmp_path / "file").acquire()


def test_a_link_that_leads_nowhere_is_a_config_error(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("nowhere")
    with pytest.raises(ConfigError, match=r"MISC\.CKPT.*no link to one that is there"):
        FolderLock(tmp_path / "link").acquire()


def test_whoever_can_wait_is_told_the_holder_instead(tmp_path: Path) -> None:
    lock = FolderLock(tmp_path)
    with FolderLock(tmp_path):
        holder = lock.try_acquire()
    assert holder is not None
    assert holder.startswith(f"process {os.getpid()} on ")
    assert lock.try_acquire() is None
