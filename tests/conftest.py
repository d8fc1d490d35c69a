"""Fixtures that any tier may use."""

from __future__ import annotations

from pathlib import Path

import pytest

from pet.data.fetch import fetch

CACHE = Path.home() / ".cache" / "pet" / "data"


@pytest.fixture(scope="session")
def fashion_mnist() -> Path:
    """A data root with the real Fashion-MNIST, fetched once per machine."""
    fetch("fashion-mnist", CACHE)
    return CACHE
