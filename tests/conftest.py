"""Fixtures that any tier may use."""

from __future__ import annotations

import logging
import signal
import warnings
from collections.abc import Generator, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from harness.launcher import ROOT, Bench
from harness.memory import memory_folder
from harness.training import Training
from hypothesis import HealthCheck, settings

from pet.data.fetch import fetch

# No test says anything of time; the first example may be the one that imports half of torch.
settings.register_profile("pet", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("pet")

# A shell has what it runs in the background ignore SIGINT, and so would every program that a test starts.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)  # which nohup has them ignore

CACHE = Path.home() / ".cache" / "pet" / "data"


@pytest.hookimpl(wrapper=True)
def pytest_report_to_serializable() -> Generator[None, Any, Any]:
    """A report in which half of a surrogate pair stands, as in fuzzed texts, cannot be sent to another process: the
    whole run would end there, and nobody would see what failed."""
    return _sendable((yield))


@pytest.hookimpl(tryfirst=True)
def pytest_warning_recorded(warning_message: warnings.WarningMessage) -> None:
    """Nor can a warning."""
    text = str(warning_message.message)
    if (sendable := _sendable(text)) != text:
        warning_message.message = warning_message.category(sendable)


def _sendable(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode(errors="backslashreplace").decode()
    if isinstance(value, Mapping):
        return {_sendable(key): _sendable(content) for key, content in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(map(_sendable, value))
    return value


@pytest.fixture(scope="session")
def fashion_mnist() -> Path:
    """A data root with the real Fashion-MNIST, fetched once per machine."""
    fetch("fashion-mnist", CACHE)
    return CACHE


class Uninterrupted(dict[int, Training]):
    """Trainings without a fault by number of ranks, each run when it is first asked for."""

    def __init__(self, folder: Path, data: Path) -> None:
        self.folder, self.data = folder, data

    def __missing__(self, ranks: int) -> Training:
        training = self[ranks] = Training(self.folder / str(ranks), self.data, ranks=ranks)
        code, output = training.run()
        assert code == 0, output
        return training


@pytest.fixture(scope="session")
def uninterrupted(fashion_mnist: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[int, Training]:
    """The same training without a fault, by number of ranks: what interrupted ones are compared with."""
    return Uninterrupted(tmp_path_factory.mktemp("uninterrupted"), fashion_mnist)


@pytest.fixture
def memory_path() -> Iterator[Path]:
    """An empty folder in memory."""
    with memory_folder() as path:
        yield path


@pytest.fixture(autouse=True)
def _log_reaches_caplog(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pet's logger keeps its messages to itself once a test in the same process has set it up."""
    monkeypatch.setattr(logging.getLogger("pet"), "propagate", True)


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    """A folder for a launcher's parts over a small training script, of which no process is left behind."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT / "trainer"))
    monkeypatch.setenv("FAKE_FOLDER", str(tmp_path))
    made = Bench(tmp_path)
    yield made
    made.close()
