"""Fixtures of the store's tests."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def log_reaches_caplog(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pet's logger keeps its messages to itself once a test in the same process has set it up."""
    monkeypatch.setattr(logging.getLogger("pet"), "propagate", True)


@pytest.fixture
def memory_path() -> Iterator[Path]:
    """An empty folder, in memory where the system has such a place: thousands of flushes to a disk would be slow."""
    shared = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=shared if shared.is_dir() else None) as path:
        yield Path(path)
