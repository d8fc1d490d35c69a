"""What the kernel says of a process."""

from __future__ import annotations

from pathlib import Path

STOPPED = "T"
_WAITING = "D"
_WORDS = {
    STOPPED: "it was stopped by a signal",
    _WAITING: "it waits in the kernel, for storage or a device",
}


def state_of(pid: int) -> str:
    """One letter of /proc, empty where that is not to be had."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()[0]
    except OSError:
        return ""


def words_for(state: str) -> str:
    """What the state tells of a process that does nothing; empty if nothing."""
    return _WORDS.get(state, "")
