from __future__ import annotations

import builtins
import errno
import io
import os
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from pet.engine.checkpoint.reading import read_checkpoint

READS = 12  # of a small file by torch.load and what comes before


class Refusing(io.BufferedReader):
    """A file whose disk refuses a read."""

    def __init__(self, path: str, refuses: Callable[[], bool]) -> None:
        super().__init__(io.FileIO(path))  # type: ignore[arg-type]
        self._refuses = refuses

    def read(self, size: int | None = -1, /) -> bytes:
        self._look()
        return super().read(size)

    def readinto(self, buffer: Any, /) -> int:
        self._look()
        return super().readinto(buffer)

    def _look(self) -> None:
        if self._refuses():
            raise OSError(errno.EIO, os.strerror(errno.EIO))


@pytest.fixture
def path(tmp_path: Path) -> str:
    torch.save({"a": torch.arange(5)}, tmp_path / "file")
    return str(tmp_path / "file")


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses that are made."""
    made: list[float] = []
    monkeypatch.setattr("time.sleep", made.append)
    return made


def refuse(path: str, monkeypatch: pytest.MonkeyPatch, *, first: int, last: int) -> None:
    """Reads of the file fail from the `first` to the `last`, counted from 1 over all times that it is opened."""
    reads = 0

    def refuses() -> bool:
        nonlocal reads
        reads += 1
        return first <= reads <= last

    real = builtins.open

    def opening(file: Any, *args: Any, **options: Any) -> Any:
        return Refusing(file, refuses) if file == path else real(file, *args, **options)

    monkeypatch.setattr("builtins.open", opening)


@pytest.mark.parametrize("number", range(1, READS + 1))
def test_a_read_that_the_disk_refuses_once_is_tried_again(
    path: str, pauses: list[float], monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    refuse(path, monkeypatch, first=number, last=number)
    assert read_checkpoint(path)["a"].tolist() == [0, 1, 2, 3, 4]
    assert pauses == [1.0]


def test_a_file_whose_reads_are_refused_for_good_cannot_be_read(
    path: str, pauses: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    refuse(path, monkeypatch, first=1, last=10**6)
    with pytest.raises(ValueError, match=r"file cannot be read: Corrupt: it cannot be read: .*Input/output error"):
        read_checkpoint(path)
    assert pauses == [1.0, 1.0, 1.0]


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
def test_damage_of_a_file_without_a_checksum_is_never_an_error_of_the_program(zipped: bool, tmp_path: Path) -> None:
    state = {"model": {"weight": torch.ones(4, 4), "bias": torch.arange(5)}, "scheduler": {"iteration": 5}}
    path, dice, outcomes = tmp_path / "file", random.Random(5), set()
    torch.save(state, path, _use_new_zipfile_serialization=zipped)
    whole = path.read_bytes()
    for _ in range(300):
        damaged = bytearray(whole[: dice.randrange(len(whole))] if dice.random() < 0.2 else whole)
        for _ in range(3):
            if damaged:
                damaged[dice.randrange(min(400, len(damaged)))] = dice.randrange(256)
        path.write_bytes(damaged)
        try:
            read_checkpoint(str(path))
            outcomes.add("read")
        except (ValueError, OSError, MemoryError) as error:
            outcomes.add(type(error).__name__)
    assert {"read", "ValueError"} <= outcomes
