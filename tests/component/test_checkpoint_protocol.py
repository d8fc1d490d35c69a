"""The real CheckPointer in real processes: they die at every disk call, are killed, replaced, and find damage."""

from __future__ import annotations

import os
import random
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, TextIO

import pytest
import torch
from harness.corruption import DAMAGES
from harness.deaths import every_death
from harness.dying import Report
from harness.runs import ANOTHER, JOB, begin, files, trained
from harness.solo import Starter, starter
from harness.stores import Picture, hidden, temporary
from harness.training import differences

from pet.engine.checkpointer import CheckPointer
from pet.engine.errors import CheckpointUnusable
from pet.store.files import ChecksumWriter
from pet.store.manifest import Manifest, encode_manifest
from pet.store.tenure import Tenure, Write

States = dict[int, dict[str, Any]]

KILLS = 12
SEED = 3


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> None:
    """A forked child must not wait for threads that only its parent has."""
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def states() -> States:
    """What the checkpoint of each step must hold."""
    run, states = begin(""), {}
    for step in (1, 2, 3):
        run.reach(step)
        states[step] = run.state()
    return states


def _loaded(path: Path, states: States) -> int:
    """The iteration that a new start goes on from, 0 for none; all its bits are those that were saved."""
    checkpointer = CheckPointer(str(path), environment=JOB)
    assert not temporary(path)
    assert not hidden(path, "bad")
    if checkpointer.checkpoint is not None:
        loaded = {part: checkpointer.checkpoint[part] for part in ("model", "optimizer", "scheduler")}
        assert differences(states[checkpointer.iteration], loaded) == []
    return checkpointer.iteration


def _dying_in_a_save(where: Path, states: States, kind: str, before: tuple[int, ...], step: int) -> int:
    """A run that saved the steps `before` starts again and saves `step`; the number of disk calls in that."""
    newest = begin("")
    newest.reach(step)

    def action(path: Path, report: Report) -> None:
        checkpointer = CheckPointer(str(path / "ckpt"), environment=JOB, keep=2)
        checkpointer.save(newest.model, newest.optimizer, newest.scheduler)
        report(step)

    def check(path: Path, reports: list[int]) -> None:
        former = max(before, default=0)
        assert _loaded(path / "ckpt", states) in ({step} if reports else {former, step})

    return every_death(lambda path: before and trained(path / "ckpt", *before), action, where, kind, check)


@pytest.mark.parametrize("kind", ["torn", "both lost"])
def test_death_at_any_disk_call_of_a_save_loses_no_committed_checkpoint(
        memory_path: Path, states: States, kind: str) -> None:  # fmt: skip
    assert _dying_in_a_save(memory_path, states, kind, before=(1, 2), step=3) > 100


def test_death_at_any_disk_call_of_the_first_start_leaves_nothing_or_a_checkpoint(
        memory_path: Path, states: States) -> None:  # fmt: skip
    assert _dying_in_a_save(memory_path, states, "torn", before=(), step=1) > 20


def test_death_in_saving_the_resumed_step_again_loses_nothing(memory_path: Path, states: States) -> None:
    assert _dying_in_a_save(memory_path, states, "both lost", before=(1, 2), step=2) > 0


def _save_in_place(self: Tenure, draft: Manifest, write: Write, expected: int) -> Manifest:
    """What most trainers do: the file under its final name at once, and nothing flushed."""
    descriptor = os.open(self.folder.at(draft.file), os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    writer = ChecksumWriter(descriptor)
    write(writer)
    manifest = replace(draft, bytes=writer.digest.bytes, crc32=writer.digest.crc32)
    Path(self.folder.at(manifest.name)).write_bytes(encode_manifest(manifest))
    return manifest


@pytest.mark.parametrize(
    ("target", "replacement", "kind"),
    [
        ("pet.store.tenure.Tenure.commit", _save_in_place, "both lost"),
        ("pet.store.folder.Folder.sweep", lambda self, mark="": None, "torn"),
    ],
    ids=["order of a write", "sweep"],
)
def test_without_its_safeguard_a_death_is_not_survived(
        memory_path: Path, states: States, monkeypatch: pytest.MonkeyPatch, target: str, replacement: Any,
        kind: str) -> None:  # fmt: skip
    monkeypatch.setattr(target, replacement)
    with pytest.raises((AssertionError, CheckpointUnusable)):
        _dying_in_a_save(memory_path, states, kind, before=(1, 2), step=3)


def test_a_sigkill_at_a_random_moment_loses_nothing_that_was_acknowledged(memory_path: Path) -> None:
    """Each child goes on from where the one before was killed; its weights tell the number of the step."""
    folder, dice, acknowledged = memory_path / "ckpt", random.Random(SEED), 0
    for _ in range(KILLS):
        child, pipe = _saving_without_end(folder)
        reports = [int(pipe.readline()) for _ in range(dice.randrange(1, 8))]
        os.kill(child, signal.SIGKILL)
        reports += [int(line) for line in pipe]
        os.waitpid(child, 0)
        pipe.close()
        # The one that was killed before may have committed what it did not tell any more.
        assert reports[0] in (acknowledged + 1, acknowledged + 2)
        acknowledged = reports[-1]
    run = begin(folder)
    assert run.checkpointer.iteration in (acknowledged, acknowledged + 1)
    assert (run.model.head.weight == run.checkpointer.iteration).all()
    assert not temporary(folder)
    assert not hidden(folder, "bad")


def _saving_without_end(folder: Path) -> tuple[int, TextIO]:
    """A child that saves step after step, and the pipe in which it names each that is committed."""
    receiving, sending = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            run = begin(folder, keep=2)
            assert (run.model.head.weight == run.checkpointer.iteration).all() or not run.checkpointer.resume
            while True:
                step = run.scheduler.iteration
                run.scheduler.step()
                torch.nn.init.constant_(run.model.head.weight, step)
                run.save()
                os.write(sending, b"%d\n" % step)
        finally:
            os._exit(1)
    os.close(sending)
    return child, os.fdopen(receiving)


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Starter]:
    """Starts jobs on the folder `ckpt`."""
    with starter(tmp_path) as start:
        yield start


def test_a_job_that_is_replaced_while_it_runs_ends_with_93_and_writes_nothing_more(
        tmp_path: Path, start: Starter) -> None:  # fmt: skip
    older = start(JOB)
    assert older.saved() == (1, 0)
    newer = start(replace(JOB, attempt=2))
    assert newer.saved() == (2, 1)
    before = Picture.of(tmp_path / "ckpt")
    older.go_on()
    assert older.saved() is None
    assert older.end() == 93
    assert (older.failure.exit_class, older.failure.type) == ("NoRestart", "Fenced")
    assert Picture.of(tmp_path / "ckpt") == before
    late = start(JOB)
    assert late.end() == 93
    assert Picture.of(tmp_path / "ckpt") == before
    newer.go_on()
    assert newer.saved() == (3, 1)


def test_its_own_restart_takes_the_folder_over_from_a_rank_that_still_runs(tmp_path: Path, start: Starter) -> None:
    stuck = start(JOB)
    assert stuck.saved() == (1, 0)
    assert start(JOB).saved() == (2, 1)
    stuck.go_on()
    assert stuck.end() == 93
    assert stuck.failure.restart == 0


def test_another_job_ends_with_78_names_the_remedies_and_changes_nothing(tmp_path: Path, start: Starter) -> None:
    trained(tmp_path / "ckpt", 1)
    before = Picture.of(tmp_path / "ckpt")
    other = start(ANOTHER)
    assert other.end() == 78
    assert (other.failure.exit_class, other.failure.type) == ("ConfigError", "ForeignOwner")
    for remedy in ("checkpoint.path", "checkpoint.resume", "pet.dev/take-over: uid-1"):
        assert remedy in other.failure.message
    assert Picture.of(tmp_path / "ckpt") == before


def test_a_damaged_newest_is_set_aside_and_where_all_are_damaged_the_run_ends_with_80(
        tmp_path: Path, start: Starter) -> None:  # fmt: skip
    folder = tmp_path / "ckpt"
    trained(folder, 1, 2)
    DAMAGES["flipped bit"](folder, "model_iter2.pth", "", False, random.Random(SEED))
    assert start(JOB).saved() == (2, 1)
    assert len(hidden(folder, "bad")) == 2
    for step in (1, 2):
        DAMAGES["truncated"](folder, f"model_iter{step}.pth", "", False, random.Random(SEED))
    for _ in range(2):
        stopped = start(JOB)
        assert stopped.saved() is None
        assert stopped.end() == 80
        assert (stopped.failure.exit_class, stopped.failure.type) == ("CheckpointUnusable", "CheckpointUnusable")
    assert files(folder) == []
    assert len(hidden(folder, "bad")) == 6
