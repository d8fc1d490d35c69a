"""The launcher's run folder, removed in the end; and those of launchers that were killed before they could do so."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from contextlib import ExitStack, suppress
from pathlib import Path

from pet.config import ConfigError, JobEnvironment
from pet.runfiles.rundir import run_files_root

_PREFIX = "pet-run-"
_HELD = "launcher"  # in a folder without a name of its own: locked as long as its launcher lives


def run_folder(environment: JobEnvironment, stack: ExitStack) -> Path:
    """The run folder. One that did not exist is removed when `stack` closes."""
    if not environment.run_dir:
        path = _new_folder(run_files_root(), stack)
    elif (path := Path(environment.run_dir)).is_dir():
        return path
    else:
        try:
            path.mkdir(parents=True)
        except OSError as error:
            raise ConfigError.of("PETJOB_RUN_DIR", f"cannot be made ({error}): give another folder, or none") from error
    stack.callback(shutil.rmtree, path, ignore_errors=True)
    return path


def _new_folder(root: Path, stack: ExitStack) -> Path:
    """One that no other launcher takes for left behind, in place of those that are."""
    for left in root.glob(f"{_PREFIX}*"):
        _remove_if_left(left)
    path = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=root))
    descriptor, name = tempfile.mkstemp(dir=path)
    stack.callback(os.close, descriptor)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    os.rename(name, path / _HELD)  # only now is it looked at
    return path


def _remove_if_left(path: Path) -> None:
    """Not those of other users, and none in which nothing says whether its launcher lives."""
    with suppress(OSError), open(path / _HELD, "r+b") as held:
        if os.fstat(held.fileno()).st_uid == os.geteuid():
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(path, ignore_errors=True)
