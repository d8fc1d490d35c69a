"""Fixtures of the tests with real processes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from harness.launcher import ROOT, Bench


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    monkeypatch.setenv("PYTHONPATH", str(ROOT / "trainer"))
    monkeypatch.setenv("FAKE_FOLDER", str(tmp_path))
    made = Bench(tmp_path)
    yield made
    made.close()
