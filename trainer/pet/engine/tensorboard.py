"""The writer for TensorBoard (TRAIN.USE_TENSORBOARD), which needs the package of that name."""

from __future__ import annotations

import importlib.util
import math
from pathlib import Path

from pet.config import ConfigError
from pet.engine.events import WINDOW, get_event_storage
from pet.engine.writers import EventWriter


def require_tensorboard() -> None:
    """Raise ConfigError unless the package is installed."""
    if importlib.util.find_spec("tensorboard") is None:
        raise ConfigError.of(
            "TRAIN.USE_TENSORBOARD",
            "needs the package tensorboard, which is not installed: pip install 'pet-training[tensorboard]', or set it "
            "to False",
        )


class TensorboardXWriter(EventWriter):
    """One event file per start in a folder that is never emptied; the file's name ends with job and attempt.

    TensorBoard shows none of the older values from the first step of this start on: they are done again.
    """

    def __init__(self, folder: str | Path, *, uid: str, attempt: int, resumed_from: int) -> None:
        """Raises OSError."""
        from torch.utils.tensorboard import SummaryWriter  # not everybody has the package

        self.file = SummaryWriter(str(folder), purge_step=resumed_from + 1, filename_suffix=f".{uid}.{attempt}")

    def write(self) -> None:
        """Append the newest values; on the disk when it returns."""
        storage = get_event_storage()
        for name, value in storage.latest_with_smoothing_hint(WINDOW).items():
            if math.isfinite(value):
                self.file.add_scalar(name, value, storage.iter)
        self.file.flush()

    def close(self) -> None:
        """Close the file."""
        self.file.close()
