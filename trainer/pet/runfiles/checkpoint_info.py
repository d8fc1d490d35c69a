"""What is known of a checkpoint, as ranks report it and the launcher shows it."""

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
