"""The disk refuses each call of a save in turn: what was acknowledged stays, nothing half-written does."""

from __future__ import annotations

import errno
import shutil
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from harness.failing import KINDS, Volume, failing
from harness.stores import content, draft, iteration_of, opened, overwrite, save, saved, temporary

from pet.store.errors import StorageFull
from pet.store.lock import FolderLock
from pet.store.names import manifest_of
from pet.store.tenure import Tenure

KEEP = 2


def _prepared(path: Path) -> Path:
    return saved(path, 10, 20)


def _each_call(where: Path, action: Callable[[Tenure], object], number: int, check: Callable[[Path, bool], None],
               last: Callable[[int], int | None]) -> int:  # fmt: skip
    """Run `action` on an opened folder once for each call, which is refused, and all later ones up to `last(call)`;
    `check` sees the folder and whether the action went through. Returns the number of calls."""
    prepared = _prepared(where / "prepared")
    tenure, _ = opened(shutil.copytree(prepared, where / "whole"))
    with failing() as disk:
        action(tenure)
    for call in range(1, disk.calls + 1):
        path = shutil.copytree(prepared, where / str(call))
        tenure, _ = opened(path)
        with failing(number, call, last(call)):
            refusal: OSError | None = None
            try:
                action(tenure)
            except OSError as error:
                refusal = error
        assert refusal is None or refusal.errno == number, call
        check(path, refusal is None)
    return disk.calls


def _without_manifest(path: Path) -> list[Path]:
    return [file for file in path.glob("model_iter*.pth") if not (path / manifest_of(file.name)).exists()]


@pytest.mark.parametrize("kind", KINDS)
def test_one_refused_call_loses_nothing_leaves_nothing_and_the_next_save_succeeds(memory_path: Path, kind: str) -> None:
    def check(path: Path, through: bool) -> None:
        left = temporary(path)
        assert through or not _without_manifest(path)
        tenure, selected = opened(path)
        assert iteration_of(selected) in ({30} if through else {20, 30})
        assert len(left) <= 1  # where the call that deletes it was the one that was refused
        save(tenure, 40, keep=KEEP)
        assert not temporary(path)
        assert iteration_of(opened(path)[1]) == 40

    calls = _each_call(
        memory_path, lambda tenure: save(tenure, 30, keep=KEEP), KINDS[kind], check, last=lambda call: call
    )
    assert calls > 20


@pytest.mark.parametrize("kind", KINDS)
def test_a_disk_that_refuses_everything_from_one_call_on_loses_nothing(memory_path: Path, kind: str) -> None:
    def check(path: Path, through: bool) -> None:
        tenure, selected = opened(path)
        assert iteration_of(selected) in ({30} if through else {20, 30})
        save(tenure, 40, keep=KEEP)
        assert not temporary(path)

    _each_call(memory_path, lambda tenure: save(tenure, 30, keep=KEEP), KINDS[kind], check, last=lambda call: None)


@pytest.mark.parametrize("kind", KINDS)
def test_an_error_in_saving_an_existing_iteration_again_loses_nothing(memory_path: Path, kind: str) -> None:
    def check(path: Path, through: bool) -> None:
        assert iteration_of(opened(path)[1]) == 20

    _each_call(memory_path, lambda tenure: save(tenure, 20), KINDS[kind], check, last=lambda call: call)


def test_the_first_error_is_told_although_nothing_can_be_deleted_after_it(tmp_path: Path) -> None:
    tenure, _ = opened(tmp_path)

    def write(stream: Any) -> None:
        refused.enter_context(failing(errno.EROFS, 1))
        raise OSError(errno.EDQUOT, "Disk quota exceeded")

    with ExitStack() as refused, pytest.raises(OSError, match="Disk quota exceeded"):
        tenure.commit(draft(tenure, 20), write)
    assert len(temporary(tmp_path)) == 1  # the disk let nobody delete it
    save(tenure, 30)
    assert not temporary(tmp_path)


def test_room_is_asked_for_before_a_byte_is_written(tmp_path: Path) -> None:
    tenure, _ = opened(saved(tmp_path, 10, 20))
    volume = Volume(tmp_path, 0)
    volume.capacity = volume.used + 1099
    with volume.mounted(), pytest.raises(OSError, match=r"0\.0 MiB of 0\.0 MiB that a checkpoint needs") as raised:
        tenure.commit(draft(tenure, 30), lambda stream: pytest.fail("it was written"), expected=1000)
    assert raised.value.errno == errno.ENOSPC
    volume.capacity += 1
    with volume.mounted():
        tenure.commit(draft(tenure, 30), lambda stream: stream.write(content(30)), expected=1000)


def test_a_run_begins_only_where_two_checkpoints_find_room_or_older_ones_may_go(tmp_path: Path) -> None:
    tenure, _ = opened(saved(tmp_path, 10, 20, 30))
    tenure.resumed = None  # what is resumed is one of the two
    volume, size = Volume(tmp_path, 0), len(content(10))
    volume.capacity = volume.used + 2.2 * size - 1
    with volume.mounted():
        tenure.require_room(size, deletable=True)
        with pytest.raises(OSError, match="No space left"):
            tenure.require_room(size, deletable=False)
        volume.capacity += 1
        tenure.require_room(size, deletable=False)
        volume.capacity -= 2 * size + 1
        with pytest.raises(OSError, match="No space left"):
            tenure.require_room(size, deletable=True)


def test_room_is_made_down_to_the_newest_that_verifies_and_the_best(tmp_path: Path) -> None:
    path = saved(tmp_path / "ckpt", 10, 20, 30, 40)
    tenure, _ = opened(path)
    save(tenure, 25, "model_epoch1-80.00.pth", link=False)
    overwrite(path / "model_iter40.pth", content(40)[:-1] + b"?")
    assert tenure.make_room()
    left = {file.name for file in path.glob("model_*.pth")}
    # The damaged one is left for the next start to be found.
    assert left == {"model_epoch1-80.00.pth", "model_iter30.pth", "model_iter40.pth", "model_latest.pth"}
    assert iteration_of(opened(path)[1]) == 30


@pytest.mark.parametrize("number", [errno.EROFS, errno.ENOSPC, errno.EDQUOT])
def test_a_volume_that_takes_no_writes_at_the_start_is_said_as_such(tmp_path: Path, number: int) -> None:
    path = saved(tmp_path / "ckpt", 10)
    with failing(number, 1), pytest.raises(StorageFull, match="takes no writes"):
        opened(path)
    with failing(number, 1), pytest.raises(StorageFull, match="takes no writes"):
        FolderLock(path).acquire()
    assert iteration_of(opened(path)[1]) == 10


def test_a_lock_is_held_although_its_holder_cannot_be_noted_on_a_full_volume(tmp_path: Path) -> None:
    with Volume(tmp_path, 0).mounted():
        lock = FolderLock(tmp_path)
        assert lock.try_acquire() is None
    assert FolderLock(tmp_path).try_acquire() == "another process"
    lock.release()
