"""Pet's log: `[mm-dd HH:MM:SS] INFO: …` on standard output, and in a file beside the checkpoints, which has details
(level DEBUG) as well."""

from __future__ import annotations

import logging
import logging.handlers
import os
import sys
from datetime import timedelta
from pathlib import Path

ROOT = "pet"
_plain = {"pet_plain": True}


def setup_logger(rank: int) -> None:
    """Log to standard output: everything but details on rank 0, warnings and up on the others.

    Rank 0 also keeps its messages in memory until `open_log_file` says where the file is: nothing may be written into
    a checkpoint folder before it is known to be this job's own.
    """
    root = logging.getLogger(ROOT)
    root.setLevel(logging.DEBUG)
    root.propagate = False
    root.handlers.clear()
    stream = logging.StreamHandler(sys.stdout)
    stream.setLevel(logging.INFO if rank == 0 else logging.WARNING)
    stream.setFormatter(PetFormatter())
    root.addHandler(stream)
    if rank == 0:
        root.addHandler(logging.handlers.MemoryHandler(capacity=10_000, flushLevel=logging.CRITICAL + 1))


def open_log_file(directory: str) -> Path | None:
    """Write the log, with what was logged so far, to `<directory>/log/train_<CURRENT_TIME>.txt`.

    With an empty directory, where nothing is saved, there is no file and the result is None. Raises OSError; then the
    log goes on without a file.
    """
    root = logging.getLogger(ROOT)
    kept = next((handler for handler in root.handlers if isinstance(handler, logging.handlers.MemoryHandler)), None)
    if kept is None:  # not rank 0, or the file is open already
        return None
    root.removeHandler(kept)
    if not directory:
        return None
    path = Path(directory) / "log" / f"train_{os.environ.get('CURRENT_TIME') or 'by-hand'}.txt"
    path.parent.mkdir(parents=True, exist_ok=True)
    file = _LogFile(path, encoding="utf-8")
    file.setFormatter(PetFormatter())
    root.addHandler(file)
    kept.setTarget(file)
    kept.close()  # hands its messages on
    return path


def log_rows(rows: list[str]) -> None:
    """One message of several rows without a level, each row after the first below the text of the first."""
    logging.getLogger(ROOT).info(f"\n{' ' * PREFIX_WIDTH}".join(rows), extra=_plain)


def clock(seconds: float) -> str:
    """H:MM:SS of a duration in seconds."""
    return str(timedelta(seconds=int(seconds)))


class PetFormatter(logging.Formatter):
    """The time, the level unless the message is one of Pet's own rows, and the traceback of an error."""

    def __init__(self) -> None:
        super().__init__(datefmt="%m-%d %H:%M:%S")

    def format(self, record: logging.LogRecord) -> str:
        """One message, ready to print."""
        level = "" if getattr(record, "pet_plain", False) else f"{record.levelname}: "
        text = f"[{self.formatTime(record, self.datefmt)}] {level}{record.getMessage()}"
        return f"{text}\n{self.formatException(record.exc_info)}" if record.exc_info else text


PREFIX_WIDTH = len("[mm-dd HH:MM:SS] ")


class _LogFile(logging.FileHandler):
    """A file whose disk may refuse lines. That is said once; the log goes on elsewhere, and training with it."""

    _told = False

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802
        """Called by `logging` in the place of raising."""
        error = sys.exc_info()[1]
        if not isinstance(error, OSError):
            super().handleError(record)
        elif not self._told:
            self._told = True
            logging.getLogger(__name__).warning("%s lacks lines: %s; training goes on", self.baseFilename, error)
