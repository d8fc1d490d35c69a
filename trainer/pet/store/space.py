"""Room for checkpoints, asked for before bytes are written: a write that fails half-way has cost its time."""

from __future__ import annotations

import errno
import os

# What has to be free, in sizes of a checkpoint: before each write, since a file has more than its tensors; and where a
# run begins, since a second one is written before the first may go.
WRITE_FACTOR = 1.1
START_FACTOR = 2.2


def free_bytes(path: str) -> int | None:
    """What this process may still write to the volume of a folder; None where the volume does not tell."""
    volume = os.statvfs(path)
    # Volumes without a size of their own, such as some network ones, tell of no blocks at all.
    return volume.f_bavail * volume.f_frsize if volume.f_blocks else None


def require_room(path: str, needed: float, deletable: int = 0) -> None:
    """Raise OSError (ENOSPC) unless `needed` bytes are free on the volume of a folder, or would be without the
    `deletable` ones."""
    free = free_bytes(path)
    if free is not None and free + deletable < needed:
        text = f"{os.strerror(errno.ENOSPC)}: {_mib(free + deletable)} of {_mib(needed)} that a checkpoint needs"
        raise OSError(errno.ENOSPC, text, path)


def _mib(size: float) -> str:
    return f"{size / 2**20:.1f} MiB"
