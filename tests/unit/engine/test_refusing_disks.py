"""What training does while the disk refuses its checkpoints."""

from __future__ import annotations

import errno
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import torch
from harness.failing import KINDS, Volume, failing
from harness.hooks import Bad
from harness.refusals import Case, cases, check
from harness.stores import temporary
from harness.toy import Toy, short_toy, weights

from pet.engine.errors import StorageFull, exit_code
from pet.engine.events import EventStorage
from pet.engine.loop import TrainLoop
from pet.runfiles.metrics import read_metrics_file

PERIOD = 2


class Refused:
    """Enters a context of faults at the beginning of one step and leaves it at that of another."""

    def __init__(self, fault: Any, since: int, until: int) -> None:
        self.fault, self.since, self.until = fault, since, until
        self.stack = ExitStack()

    def before_step(self, storage: EventStorage) -> None:
        if storage.iter == self.since:
            self.stack.enter_context(self.fault)
        if storage.iter == self.until:
            self.stack.close()

    def after_train(self, storage: EventStorage) -> None:
        self.stack.close()


class Published:
    """What the metric file says at the end of each step."""

    priority = 99

    def __init__(self, folder: Path) -> None:
        self.path = folder / "run" / "metrics-0.json"
        self.failures: list[Any] = []

    def after_step(self, storage: EventStorage) -> None:
        metrics = read_metrics_file(self.path)
        failure = metrics.checkpoint_failure if metrics else None
        self.failures.append(failure and (failure.iteration, failure.reason))


def toy(folder: Path, *hooks: Any, keys: tuple[Any, ...] = ()) -> Toy:
    return short_toy(folder, 12, "SOLVER.SNAPSHOT_ITER", PERIOD, *keys, hooks=[*hooks])


def same(loop: TrainLoop, other: TrainLoop) -> bool:
    expected = weights(other)
    return all(torch.equal(value, expected[name]) for name, value in weights(loop).items())


@pytest.mark.parametrize("kind", KINDS)
def test_training_outlives_two_refused_saves_and_tells_of_them(tmp_path: Path, kind: str) -> None:
    number = KINDS[kind]
    told = Published(tmp_path)
    training = toy(tmp_path, Refused(failing(number, 1), since=4, until=8), told)
    loop = training.run()
    assert same(loop, toy(tmp_path / "whole").run())
    name = errno.errorcode[number]
    assert loop.session.metrics.checkpoint_failures == {name: 2}
    refused = [*[(4, name)] * 2, *[(6, name)] * 2]
    assert told.failures == [None] * 3 + refused + [None] * 5
    assert training.files == ["model_iter10.pth", "model_iter12.pth", "model_iter8.pth"]
    assert not temporary(training.checkpoints)


def test_the_older_ones_are_whole_after_a_refused_save(tmp_path: Path) -> None:
    with pytest.raises(StorageFull):
        toy(tmp_path, Refused(failing(errno.EIO, 1), since=5, until=99)).run()
    again = toy(tmp_path).build()
    assert again.iteration == 4
    again.run()
    assert same(again, toy(tmp_path / "whole").run())


@pytest.mark.parametrize(("limit", "reached"), [(1, 6), (2, 8), (3, 10), (0, 12)])
def test_so_many_refused_saves_in_a_row_end_training(tmp_path: Path, limit: int, reached: int) -> None:
    told = Published(tmp_path)
    keys = ("SOLVER.SNAPSHOT_FAILURES", limit)
    training = toy(tmp_path, Refused(failing(errno.EIO, 1), since=5, until=99), told, keys=keys)
    with pytest.raises(StorageFull, match=rf"iteration {reached} was not written.*Input/output error") as raised:
        training.run()
    assert exit_code(raised.value) == 79
    assert len(told.failures) == reached - 1  # it raised before the last of them
    assert training.files == ["model_iter2.pth", "model_iter4.pth"]  # and no weights are left for a look


def test_failures_that_are_not_in_a_row_do_not_add_up(tmp_path: Path) -> None:
    faults = [Refused(failing(errno.EIO, 1), since=step, until=step + 1) for step in (2, 4, 8, 10)]
    for number, fault in enumerate(faults):
        fault.name = f"fault {number}"  # type: ignore[attr-defined]
    loop = toy(tmp_path, *faults, keys=("SOLVER.SNAPSHOT_FAILURES", 3)).run()
    assert loop.session.metrics.checkpoint_failures == {"EIO": 4}


def _size(folder: Path) -> int:
    training = toy(folder)
    training.run()
    return (training.checkpoints / training.files[0]).stat().st_size


@pytest.mark.parametrize("room", [2.6, 3.2])
def test_on_a_small_volume_older_ones_give_way_and_training_goes_on(tmp_path: Path, room: float) -> None:
    size = _size(tmp_path / "whole")
    training = toy(tmp_path, keys=("MISC.DISPLAY_ITER", 100, "TRAIN.SAVE_AS_JSON", False))
    loop = training.build()
    volume = Volume(training.checkpoints, 0)
    volume.capacity = volume.used + room * size
    with volume.mounted():
        loop.run()
    assert loop.session.metrics.checkpoint_failures == {}
    assert "model_iter12.pth" in training.files
    assert len(training.files) <= room
    assert training.again().build().iteration == 12


def test_where_all_are_to_be_kept_none_is_deleted_for_room(tmp_path: Path) -> None:
    size = _size(tmp_path / "whole")
    keys = ("MISC.DISPLAY_ITER", 100, "TRAIN.SAVE_AS_JSON", False, "SOLVER.SNAPSHOT_KEEP", 0)
    training = toy(tmp_path, keys=keys)
    loop = training.build()
    volume = Volume(training.checkpoints, 0)
    volume.capacity = volume.used + 3.3 * size
    with volume.mounted(), pytest.raises(StorageFull, match="iteration 12 was not written"):
        loop.run()
    assert training.files == ["model_iter2.pth", "model_iter4.pth", "model_iter6.pth"]
    assert loop.session.metrics.checkpoint_failures == {"ENOSPC": 3}


def test_a_volume_that_is_too_small_is_found_after_the_first_step(tmp_path: Path) -> None:
    training = toy(tmp_path)
    loop = training.build()
    volume = Volume(training.checkpoints, 0)
    # Two momenta and two copies of the weights, 108 numbers each, are what a checkpoint has at least.
    volume.capacity = volume.used + 2.2 * 2 * 108 * 4 - 1
    with volume.mounted(), pytest.raises(StorageFull, match="no room for checkpoints"):
        loop.run()
    assert loop.iteration == 1


def test_a_volume_that_a_training_has_filled_is_large_enough_to_go_on_in(tmp_path: Path) -> None:
    size = _size(tmp_path / "whole")
    training = toy(tmp_path, Bad(6, KeyError("oh")), keys=("MISC.DISPLAY_ITER", 100, "TRAIN.SAVE_AS_JSON", False))
    with pytest.raises(KeyError):
        training.run()
    assert "model_iter4.pth" in training.files
    for name in set(training.files) - {"model_iter4.pth"}:
        (training.checkpoints / name).unlink()
    loop = training.again(hooks=[]).build()
    volume = Volume(training.checkpoints, 0)
    volume.capacity = volume.used + 1.3 * size
    with volume.mounted():
        loop.run()
    assert "model_iter12.pth" in training.files


# The suite has a slow disk as well, which takes its time.
@pytest.mark.parametrize("case", [case for case in cases(seed=1, number=12) if case.kind != "slow"], ids=str)
def test_a_sample_of_the_suite(tmp_path: Path, case: Case) -> None:
    check(case, tmp_path)
