"""Processes that die at a chosen call to the disk, and a disk that forgets what was not flushed."""

from __future__ import annotations

import json
import os
import stat
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

DEAD = 66
Report = Callable[[Any], None]

_real = {name: getattr(os, name) for name in ("open", "write", "fsync", "rename", "link", "unlink", "mkdir")}


@dataclass(frozen=True)
class Death:
    """Where a process dies and what the disk then loses.

    `call` counts open, write, fsync, rename, link, unlink and mkdir from 1; it dies before that call, or with `torn`
    when half of a write is done. `loses_names` undoes what happened to names since their folder was flushed,
    `loses_data` empties files that were not flushed. With `call` None it dies when all is done.
    """

    call: int | None = None
    torn: bool = False
    loses_names: bool = False
    loses_data: bool = False


@dataclass(frozen=True)
class Life:
    """What a child process told before its end, and how many disk calls it made."""

    reports: list[Any]
    calls: int
    died: bool


def live(action: Callable[[Report], object], death: Death | None = None) -> Life:
    """Run `action(report)` in a forked child, which ends by `death`; `report` takes what JSON takes.

    Raises AssertionError with the child's traceback if the action raised.
    """
    receiving, sending = os.pipe()
    child = os.fork()
    if child == 0:
        _run(action, death or Death(), sending)
    os.close(sending)
    with os.fdopen(receiving) as pipe:
        messages = [json.loads(line) for line in pipe]
    _, status = os.waitpid(child, 0)
    errors = [message["error"] for message in messages if "error" in message]
    assert not errors, errors[0]
    assert os.waitstatus_to_exitcode(status) in (0, DEAD)
    calls = [message["calls"] for message in messages if "calls" in message]
    reports = [message["report"] for message in messages if "report" in message]
    return Life(reports, calls[0] if calls else 0, died=not calls)


def _run(action: Callable[[Report], object], death: Death, sending: int) -> None:
    def send(message: dict[str, Any]) -> None:
        _real["write"](sending, json.dumps(message).encode() + b"\n")

    disk = _Disk(death)
    try:
        disk.install()
        action(lambda value: send({"report": value}))
        send({"calls": disk.calls})
        disk.forget()
        os._exit(0)
    except BaseException:
        send({"error": traceback.format_exc()})
        os._exit(0)


class _Disk:
    """Stands before the calls of `os`; knows which names and bytes were not flushed yet."""

    def __init__(self, death: Death) -> None:
        self._death = death
        self.calls = 0
        self._undo: list[Callable[[], object]] = []
        self._dirty: dict[int, int] = {}  # inode -> a descriptor of our own
        self._backups = 0

    def install(self) -> None:
        for name in _real:
            setattr(os, name, getattr(self, f"_{name}"))

    def forget(self) -> None:
        if self._death.loses_data:
            for descriptor in self._dirty.values():
                os.ftruncate(descriptor, 0)
        if self._death.loses_names:
            for undo in reversed(self._undo):
                undo()

    def _count(self) -> bool:
        """Whether this is the call to die at."""
        self.calls += 1
        return self.calls == self._death.call

    def _die(self) -> None:
        self.forget()
        os._exit(DEAD)

    def _open(self, path: Any, flags: int, *args: Any, **options: Any) -> int:
        if self._count():
            self._die()
        new = bool(flags & os.O_CREAT) and not os.path.lexists(path)
        descriptor: int = _real["open"](path, flags, *args, **options)
        if new:
            self._undo.append(lambda: _real["unlink"](path))
        return descriptor

    def _write(self, descriptor: int, data: Any) -> int:
        if self._count():
            if self._death.torn:
                _real["write"](descriptor, bytes(data)[: len(data) // 2])
            self._die()
        inode = os.fstat(descriptor).st_ino
        if inode not in self._dirty:
            self._dirty[inode] = os.dup(descriptor)
        written: int = _real["write"](descriptor, data)
        return written

    def _fsync(self, descriptor: int) -> None:
        if self._count():
            self._die()
        _real["fsync"](descriptor)
        status = os.fstat(descriptor)
        if stat.S_ISDIR(status.st_mode):
            self._undo.clear()
        elif status.st_ino in self._dirty:
            os.close(self._dirty.pop(status.st_ino))

    def _rename(self, source: Any, target: Any) -> None:
        if self._count():
            self._die()
        backup = self._backup(target)
        _real["rename"](source, target)
        self._undo.append(lambda: (_real["rename"](target, source), backup and _real["rename"](backup, target)))

    def _link(self, source: Any, target: Any) -> None:
        if self._count():
            self._die()
        _real["link"](source, target)
        self._undo.append(lambda: _real["unlink"](target))

    def _unlink(self, path: Any) -> None:
        if self._count():
            self._die()
        backup = self._backup(path)
        _real["unlink"](path)
        if backup:
            self._undo.append(lambda: _real["rename"](backup, path))

    def _mkdir(self, *args: Any, **options: Any) -> None:
        if self._count():
            self._die()
        _real["mkdir"](*args, **options)

    def _backup(self, path: Any) -> str | None:
        """A second name, outside the folder, for what is about to lose this one."""
        if not self._death.loses_names or not os.path.isfile(path):
            return None
        self._backups += 1
        backup = Path(path).parent.parent / f"backup-{os.getpid()}-{self._backups}"
        _real["link"](path, backup)
        return str(backup)
