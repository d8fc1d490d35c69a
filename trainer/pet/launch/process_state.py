"""What the kernel says of a process."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

_PROC = Path("/proc")
STOPPED = "T"
_WAITING = "D"
_WORDS = {
    STOPPED: "it was stopped by a signal",
    _WAITING: "it waits in the kernel, for storage or a device",
}


def state_of(pid: int) -> str:
    """One letter of /proc, empty where that is not to be had."""
    try:
        return (_PROC / str(pid) / "stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()[0]
    except OSError:
        return ""


def words_for(state: str) -> str:
    """What the state tells of a process that does nothing; empty if nothing."""
    return _WORDS.get(state, "")


def members_of(session: int) -> Iterator[int]:
    """The processes of a session, none where there is no /proc."""
    names = os.listdir(_PROC) if _PROC.is_dir() else []
    for pid in map(int, filter(str.isdecimal, names)):
        with suppress(OSError):  # it has ended meanwhile
            if os.getsid(pid) == session:
                yield pid
