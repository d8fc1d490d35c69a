"""The writer for TensorBoard (TRAIN.USE_TENSORBOARD), which needs the package of that name."""

from __future__ import annotations

import importlib.util
import math
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from pet.config import ConfigError
from pet.engine.events import WINDOW, get_event_storage
from pet.engine.writers import EventWriter

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

_PROBE_BYTES = 1 << 16


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

    TensorBoard shows none of the older values from the first step of this start on: they are done again. A file whose
    disk has refused a write takes no more, and its last record may be cut off: once the disk writes again there is
    another one.
    """

    def __init__(self, folder: str | Path, *, uid: str, attempt: int, resumed_from: int) -> None:
        """Raises OSError."""
        self._folder = folder
        self._suffix = f".{uid}.{attempt}"
        self.file: SummaryWriter | None = self._open(purge_step=resumed_from + 1)

    def write(self) -> None:
        """Append the newest values; on the disk when it returns. Raises OSError."""
        storage = get_event_storage()
        if self.file is None:
            with tempfile.TemporaryFile(dir=self._folder) as probe:  # for a try of the package leaves a thread behind
                probe.write(bytes(_PROBE_BYTES))
            self.file = self._open()
        try:
            for name, value in storage.latest_with_smoothing_hint(WINDOW).items():
                if math.isfinite(value):
                    self.file.add_scalar(name, value, storage.iter)
            self.file.flush()
        except OSError:
            self._abandon(self.file)
            raise

    def close(self) -> None:
        """Close the file."""
        if self.file is not None:
            self.file.close()

    def _open(self, purge_step: int | None = None) -> SummaryWriter:
        from torch.utils.tensorboard import SummaryWriter  # not everybody has the package

        return SummaryWriter(str(self._folder), purge_step=purge_step, filename_suffix=self._suffix)

    def _abandon(self, file: SummaryWriter) -> None:
        self.file = None
        with suppress(OSError):  # the same again
            # Ends its thread. Its own `close` begins with a flush, and would end there.
            file._get_file_writer().close()  # type: ignore[no-untyped-call]
