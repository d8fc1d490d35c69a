"""Faults on command: whoever runs the bed writes a file for each, and the process node looks for it when it matters."""

from __future__ import annotations

import asyncio
from enum import Enum
from pathlib import Path

_POLL_SECONDS = 0.1


class Fault(Enum):
    """What may be wrong, and with what."""

    CUT_OFF = "cut-off"  # a node: it neither hears nor is heard, and its processes live on
    OUT_OF_MEMORY = "out-of-memory"  # a pod, by its uid: the kernel ends its container
    DEAF = "deaf"  # a pod, by its uid: its container never gets SIGTERM


class Faults:
    """Those of one process node. `folder` is theirs alone."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def begin(self, fault: Fault, subject: str) -> None:
        """From now on."""
        self._folder.mkdir(parents=True, exist_ok=True)
        self._file(fault, subject).touch()

    def end(self, fault: Fault, subject: str) -> None:
        """All is well again."""
        self._file(fault, subject).unlink(missing_ok=True)
        self._confirmation(fault, subject).unlink(missing_ok=True)

    def confirm(self, fault: Fault, subject: str) -> None:
        """By the process node: it has taken effect."""
        self._confirmation(fault, subject).touch()

    def confirmed(self, fault: Fault, subject: str) -> bool:
        """Whether it has taken effect; of cut nodes alone it is told."""
        return self._confirmation(fault, subject).exists()

    def holds(self, fault: Fault, subject: str) -> bool:
        """Whether it was begun and has not ended."""
        return self._file(fault, subject).exists()

    async def wait(self, fault: Fault, subject: str, *, until: bool = True) -> None:
        """Until it holds, or does not any more."""
        while self.holds(fault, subject) is not until:
            await asyncio.sleep(_POLL_SECONDS)

    def _confirmation(self, fault: Fault, subject: str) -> Path:
        return self._folder / f"confirmed.{fault.value}.{subject}"

    def _file(self, fault: Fault, subject: str) -> Path:
        return self._folder / f"{fault.value}.{subject}"
