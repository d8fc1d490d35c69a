"""What is known of checkpoints, as ranks report it and the launcher shows it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class CheckpointInfo:
    """One committed checkpoint: its file name, its size, when it was saved (seconds since the epoch)."""

    iteration: int
    file: str
    bytes: int
    saved_at: float
    verified: bool


@dataclass(frozen=True)
class SaveFailure:
    """The newest save that the disk refused: after which iteration, the error's name (`ENOSPC`), and its text."""

    iteration: int
    reason: str
    message: str
