"""Folders for what is written often and kept for a moment."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

SHARED = "/dev/shm"  # where the launcher lets ranks write, too


@contextmanager
def memory_folder() -> Iterator[Path]:
    """An empty folder, in memory where the system has such a place: thousands of flushes to a disk would be slow."""
    with tempfile.TemporaryDirectory(dir=SHARED if os.access(SHARED, os.W_OK) else None) as path:
        yield Path(path)
