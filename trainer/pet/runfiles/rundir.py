"""Where run files lie: a launcher's run folder, in it one folder for each start of ranks, with names per local rank."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

_MEMORY = Path("/dev/shm")


def run_files_root() -> Path:
    """Where run folders are made: in memory where possible, else among the temporary files."""
    return _MEMORY if os.access(_MEMORY, os.W_OK) else Path(tempfile.gettempdir())


class RunDirectory:
    """The folder that ranks write their state into and the launcher reads it from.

    The launcher makes a new one for every start of ranks, so a file of an earlier start can never pass for a new one.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)

    def create(self) -> None:
        """Make the folder and its parents."""
        self.path.mkdir(parents=True, exist_ok=True)

    def heartbeat(self, local_rank: int) -> Path:
        """The rank's heartbeat: binary, stored into at every step."""
        return self.path / f"heartbeat-{local_rank}"

    def metrics(self, local_rank: int) -> Path:
        """The job's numbers: JSON, replaced once per log window; only rank 0 writes one."""
        return self.path / f"metrics-{local_rank}.json"

    def failure(self, local_rank: int) -> Path:
        """Why the rank ended, if it ended badly and could still say so."""
        return self.path / f"failure-{local_rank}.json"

    def stacks(self, local_rank: int) -> Path:
        """Where the rank's threads were, each time the launcher asked; there only while it may ask."""
        return self.path / f"stacks-{local_rank}"

    @property
    def patience(self) -> Path:
        """What the launcher has learnt to wait for, told to the ranks."""
        return self.path / "patience"
