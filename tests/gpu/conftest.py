"""Fixtures of the tests on a card. Without one none of them runs, and that is an error."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from harness.card import DEVICE
from harness.datasets import noise, write_mnist
from harness.exact import References
from harness.memory import memory_folder
from harness.training import Training

IMAGES = 768


def pytest_sessionstart(session: pytest.Session) -> None:
    """Say once what is missing."""
    if DEVICE == "cuda" and not torch.cuda.is_available():
        pytest.exit("tests/gpu needs a CUDA device, and torch sees none here", returncode=1)


@pytest.fixture
def card() -> None:
    """What only a card can do."""
    if DEVICE != "cuda":
        pytest.fail(f"needs a CUDA device; PET_TEST_DEVICE is {DEVICE}")


@pytest.fixture(scope="session")
def references() -> Iterator[References]:
    """Uninterrupted trainings, to be gone on from."""
    with memory_folder() as folder:
        yield References(folder, int(os.environ.get("PET_TEST_SEED", 0)))


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data root with noise in the form of Fashion-MNIST: nothing is to be fetched where a card is."""
    root = tmp_path_factory.mktemp("data")
    labels = [index % 10 for index in range(IMAGES)]
    write_mnist(root / "FashionMNIST", "train", noise(IMAGES, 28, 28), labels)
    return root


@pytest.fixture(scope="session")
def expected(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Training:
    """A training without a fault, from launcher to last checkpoint, that others are compared with."""
    training = Training(tmp_path_factory.mktemp("expected"), data, device=DEVICE,
                        overrides=("MISC.DETERMINISTIC", "True"))  # fmt: skip
    code, output = training.run()
    assert code == 0, output
    return training
