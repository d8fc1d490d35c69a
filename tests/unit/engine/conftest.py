"""What several tests of the engine are run in."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest

from pet.engine.signals import catch_stop_signals


@pytest.fixture
def stop_signals(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Stop signals are caught, as in a rank."""
    monkeypatch.setattr("pet.engine.signals._requested", [])
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    catch_stop_signals()
    yield
    for number, handler in before.items():
        signal.signal(number, handler)
