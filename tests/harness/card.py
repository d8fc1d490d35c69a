"""The card of `make test-gpu`."""

from __future__ import annotations

import os
from typing import Any

import torch

# PET_TEST_DEVICE=cpu rehearses on a machine without a card: what only a card can do fails there.
DEVICE = os.environ.get("PET_TEST_DEVICE", "cuda")


class NeverWaits:
    """A hook under which a step that does not log may not wait for the device: torch refuses the operation that would,
    with a RuntimeError. Steps from `first` on are `watched`, but for each `period`th and the `last`, which log."""

    name = "NeverWaits"
    priority = 0

    def __init__(self, first: int, period: int, last: int) -> None:
        self.watched = 0
        self._first, self._period, self._last = first, period, last

    def before_step(self, storage: Any) -> None:
        watch = self._first <= storage.iter < self._last and storage.iter % self._period != 0
        self.watched += watch
        torch.cuda.set_sync_debug_mode("error" if watch else "default")

    def after_train(self, storage: Any) -> None:
        torch.cuda.set_sync_debug_mode("default")
