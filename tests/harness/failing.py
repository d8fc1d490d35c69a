"""A disk that refuses a chosen call, and a volume that is small: errors, where `harness.dying` has deaths."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

CALLS = ("open", "write", "fsync", "rename", "link", "unlink")
KINDS = {"full": errno.ENOSPC, "broken": errno.EIO, "read-only": errno.EROFS}


class FailingDisk:
    """Counts the calls to the disk from 1; those from `first` to `last` (None: and all later ones) are refused."""

    def __init__(self, number: int, first: int | None, last: int | None) -> None:
        self.calls = 0
        self.refused = 0
        self._number = number
        self._first, self._last = first, last

    def call(self, name: str, *args: Any, **options: Any) -> Any:
        """One of `CALLS`."""
        self.calls += 1
        refused = self._first is not None and self._first <= self.calls and self.calls <= (self._last or self.calls)
        if refused and not (name == "open" and self._number == errno.EROFS and _reads(args)):
            self.refused += 1
            raise OSError(self._number, os.strerror(self._number))
        return _real[name](*args, **options)


@contextmanager
def failing(number: int = errno.EIO, first: int | None = None, last: int | None = None) -> Iterator[FailingDisk]:
    """A context in which the calls of this process go through such a disk; without `first` it only counts."""
    disk = FailingDisk(number, first, last)
    with _replaced({name: _bound(disk, name) for name in CALLS}):
        yield disk


class Volume:
    """A volume of `capacity` bytes, for the files below one folder; more may be given to it at any time."""

    def __init__(self, folder: Path, capacity: float) -> None:
        self.folder = folder
        self.capacity = capacity
        self.most_used = 0

    @property
    def used(self) -> int:
        """What the files take, each counted once whatever its names."""
        files = (file.lstat() for file in self.folder.rglob("*") if file.is_file())
        return sum({status.st_ino: status.st_size for status in files}.values())

    @contextmanager
    def mounted(self) -> Iterator[Volume]:
        """A context in which this process may write no more than fits."""

        def write(descriptor: int, data: Any) -> int:
            room = int(self.capacity) - self.used
            if room <= 0:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            written: int = _real["write"](descriptor, memoryview(data)[:room])
            self.most_used = max(self.most_used, self.used)
            return written

        def statvfs(path: str) -> Any:
            return SimpleNamespace(f_bavail=max(0, int(self.capacity) - self.used), f_frsize=1, f_blocks=1)

        with _replaced({"write": write, "statvfs": statvfs}):
            yield self


_real: dict[str, Callable[..., Any]] = {name: getattr(os, name) for name in CALLS}


def _bound(disk: FailingDisk, name: str) -> Callable[..., Any]:
    return lambda *args, **options: disk.call(name, *args, **options)


def _reads(args: tuple[Any, ...]) -> bool:
    return len(args) > 1 and not args[1] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)


@contextmanager
def _replaced(calls: dict[str, Callable[..., Any]]) -> Iterator[None]:
    with patch.multiple(os, **calls):
        yield
