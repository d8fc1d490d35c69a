"""Hooks that have a card fail, named by tests under TRAIN.HOOKS."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

# At 2 GHz five minutes: it ends, should nobody end it.
_CYCLES = 600 * 10**9
_TOO_MUCH = 2**50  # bytes


class CardFault:
    """`kind`: memory (every time), assertion or kernel (once; the mark keeps the restarted run from doing it again)."""

    def __init__(self, kind: str, step: int, folder: str) -> None:
        self.kind = kind
        self.step = step
        self.mark = Path(folder) / "fault-fired"

    def before_step(self, storage: Any) -> None:
        """Fire if this is the step. The last two show only where the host waits for the card next."""
        if storage.iter != self.step or (self.mark.exists() and self.kind != "memory"):
            return
        self.mark.touch()
        getattr(self, self.kind)()

    def memory(self) -> None:
        """Ask for more than any card has."""
        torch.empty(_TOO_MUCH, dtype=torch.uint8, device="cuda")

    def assertion(self) -> None:
        """An index that is out of bounds: the kernel asserts, and the process can use the card no more."""
        torch.zeros(4, device="cuda")[torch.tensor([10], device="cuda")]

    def kernel(self) -> None:
        """A kernel that does not end."""
        torch.cuda._sleep(_CYCLES)
