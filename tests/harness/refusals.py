"""One training whose disk refuses, or is slow, for some steps, and all that must hold during and after it."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import torch

from harness.failing import KINDS, failing
from harness.stores import hidden, temporary
from harness.toy import Toy, short_toy, weights
from pet.engine.errors import StorageFull
from pet.engine.events import EventStorage
from pet.engine.hooks.base import LoopHook
from pet.store.folder import Folder

STEPS, PERIOD, SLOW_SECONDS = 16, 2, 5.0
_CALLS = 100  # to the disk in a save, about


@dataclass(frozen=True)
class Case:
    """From the beginning of step `since` to that of step `until`, between which there is a save, the `call`-th call to
    the disk and all after it are refused; a slow disk takes five seconds for one write instead."""

    kind: str  # full, broken, read-only, slow
    since: int
    until: int
    call: int
    background: bool

    def __str__(self) -> str:
        how = "in-background" if self.background else "in-caller"
        return f"{self.kind}-{self.since}-to-{self.until}-from-call-{self.call}-{how}"


def cases(seed: int, number: int) -> list[Case]:
    """So many, every kind alike."""
    dice = random.Random(seed)
    kinds = [*KINDS, "slow"]
    made = []
    for position in range(number):
        since = dice.randrange(1, STEPS)
        until = dice.randrange(since + PERIOD, STEPS + 3)
        call = dice.randrange(1, (until - since) // PERIOD * _CALLS + 1)
        made.append(Case(kinds[position % len(kinds)], since, until, call, dice.random() < 0.5))
    return made


def check(case: Case, folder: Path) -> str:
    """Train, again if it ended by the disk, and compare with a training on a good disk. Returns how it ended."""
    expected = weights(_toy(folder / "whole", case).run())
    training = _toy(folder / "part", case)
    fault = _During(case)
    training.hooks = [fault]
    ending = "finished"
    try:
        loop = training.run()
    except StorageFull:
        # The last save was refused: what was acknowledged is what the next start goes on from.
        assert case.kind != "slow"
        assert case.until > STEPS
        ending = "79"
        again = training.again(hooks=[])
        loop = again.build()
        told = training.session.metrics.checkpoint if training.session else None
        assert loop.iteration >= (told.iteration if told else 0)
        loop.run()
    assert fault.disk.refused > 0, "the fault was not met"
    found = weights(loop)
    assert all(torch.equal(value, found[name]) for name, value in expected.items())
    _sound(training.checkpoints)
    return ending


def _toy(folder: Path, case: Case) -> Toy:
    keys = (
        "SOLVER.SNAPSHOT_ITER",
        PERIOD,
        "SOLVER.SNAPSHOT_FAILURES",
        0,
        "SOLVER.SNAPSHOT_BACKGROUND",
        case.background,
    )
    return short_toy(folder, STEPS, *keys)


def _sound(checkpoints: Path) -> None:
    """The last step is there, everything that is there verifies, nothing half-written is left."""
    folder = Folder(str(checkpoints))
    entries = folder.entries()
    assert entries[0].file == f"model_iter{STEPS}.pth"
    for entry in entries:
        folder.verify(entry)
    assert not temporary(checkpoints)
    assert not hidden(checkpoints, "bad")


class _During(LoopHook):
    """Has the fault act during the case's steps."""

    def __init__(self, case: Case) -> None:
        self.case = case
        self.stack = ExitStack()
        self.disk: Any = None

    def before_step(self, storage: EventStorage) -> None:
        if storage.iter == self.case.since:
            self.disk = self.stack.enter_context(_fault(self.case))
        if storage.iter == self.case.until:
            self.trainer.checkpointer._writer.join()  # what is written in the background meets it too
            self.stack.close()

    def on_exception(self, exc: BaseException) -> None:
        self.stack.close()

    def after_train(self, storage: EventStorage) -> None:
        self.stack.close()


def _fault(case: Case) -> AbstractContextManager[Any]:
    return _slow() if case.kind == "slow" else failing(KINDS[case.kind], case.call)


@contextmanager
def _slow() -> Iterator[SimpleNamespace]:
    write, disk = os.write, SimpleNamespace(refused=0)

    def slowly(descriptor: int, data: Any) -> int:
        if not disk.refused:
            disk.refused = 1
            time.sleep(SLOW_SECONDS)
        return write(descriptor, data)

    with patch.object(os, "write", slowly):
        yield disk
