"""The folder that a data set is fetched into: one process at a time, and nothing half-written under a final name."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

_LOCK = ".fetch.lock"
_STAGING = ".fetch-"


@contextmanager
def alone_in(folder: Path, report: Callable[[str], None]) -> Iterator[None]:
    """Make the folder and hold it against other fetches; waits for them. The lock ends with the process.

    What a fetch left that was killed is removed. Raises OSError if the folder cannot be made or written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lock = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        _wait_for(lock, folder, report)
        for left in folder.glob(f"{_STAGING}*"):
            shutil.rmtree(left)
        yield
    finally:
        os.close(lock)


@contextmanager
def staging_in(folder: Path) -> Iterator[Path]:
    """An empty folder on the same volume, from which files can be moved into place at once; it goes afterwards."""
    with tempfile.TemporaryDirectory(prefix=_STAGING, dir=folder) as name:
        yield Path(name)


def _wait_for(lock: int, folder: Path, report: Callable[[str], None]) -> None:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        report(f"waiting for another fetch into {folder} …")
        fcntl.flock(lock, fcntl.LOCK_EX)
