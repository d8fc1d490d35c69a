"""Tests of the tests: without any one of the safeguards, the fault that it is there for goes unnoticed."""

from __future__ import annotations

import os
import random
import shutil
import stat
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from harness.corruption import DAMAGES
from harness.deaths import saving_a_new_iteration, saving_an_existing_iteration
from harness.stores import attempt, content, iteration_of, old_checkpoint, opened, overwrite, save, temporary

from pet.store.errors import CheckpointUnusable, Corrupt, Fenced
from pet.store.files import digest_of
from pet.store.folder import Entry

SEEDS = range(40)


def _notices_flips_in_manifests(path: Path) -> None:
    tenure, _ = opened(path / "prepared")
    save(tenure, 10, link=False)
    saved = save(tenure, 20, link=False)
    for seed in SEEDS:
        folder = path / str(seed)
        shutil.copytree(path / "prepared", folder)
        DAMAGES["flipped bit"](folder, "model_iter20.pth", "", True, random.Random(seed))
        _, selected = opened(folder)
        assert selected is not None
        assert selected.manifest is not None
        assert selected.manifest == saved or selected.manifest.iteration == 10


def _notices_a_pair_of_another_iteration(path: Path) -> None:
    tenure, _ = opened(path)
    for iteration in (10, 20, 30):
        save(tenure, iteration, link=False)
    DAMAGES["pair of another"](path, "model_iter30.pth", "model_iter10.pth", False, random.Random(0))
    assert iteration_of(opened(path)[1]) == 20


def _notices_flips_in_data(path: Path) -> None:
    tenure, _ = opened(path)
    for iteration in (10, 20):
        save(tenure, iteration, link=False)
    DAMAGES["flipped bit"](path, "model_iter20.pth", "", False, random.Random(0))
    assert iteration_of(opened(path)[1]) == 10


def _keeps_an_acknowledged_iteration_that_is_saved_again(path: Path) -> None:
    saving_an_existing_iteration(path, "clean")


def _keeps_what_was_acknowledged_when_names_are_lost(path: Path) -> None:
    saving_a_new_iteration(path, "names lost")


def _keeps_what_was_acknowledged_when_data_is_lost(path: Path) -> None:
    saving_a_new_iteration(path, "data lost")


def _keeps_a_zombie_out(path: Path) -> None:
    zombie, _ = opened(path)
    opened(path, attempt(2))
    with pytest.raises(Fenced):
        save(zombie, 10)


def _stops_at_a_checkpoint_that_lost_its_manifest(path: Path) -> None:
    tenure, _ = opened(path)
    save(tenure, 10)
    (path / "model_iter10.manifest.json").unlink()
    with pytest.raises(CheckpointUnusable):
        opened(path)


def _reaches_no_bad_bytes_through_the_link(path: Path) -> None:
    tenure, _ = opened(path)
    save(tenure, 10)
    overwrite(path / "model_iter10.pth", content(10)[:-1] + b"?")
    with pytest.raises(CheckpointUnusable):
        opened(path)
    assert not (path / "model_latest.pth").exists()


def _finds_a_damaged_legacy_file(path: Path) -> None:
    old_checkpoint(path / "model_latest.pth")
    overwrite(path / "model_latest.pth", (path / "model_latest.pth").read_bytes().replace(b"weights", b"weighty"))
    with pytest.raises(CheckpointUnusable):
        opened(path)


def _goes_back_behind_a_step_that_was_not_finite(path: Path) -> None:
    tenure, _ = opened(path)
    for iteration in (10, 20):
        save(tenure, iteration, link=False)
    tenure.order_rollback(20, [20])
    assert iteration_of(opened(path, attempt(2))[1]) == 10


def _makes_room_down_to_one_that_is_whole(path: Path) -> None:
    tenure, _ = opened(path)
    for iteration in (10, 20):
        save(tenure, iteration, link=False)
    DAMAGES["flipped bit"](path, "model_iter20.pth", "", False, random.Random(0))
    tenure.make_room()
    assert iteration_of(opened(path)[1]) == 10


def _leaves_nothing_half_written(path: Path) -> None:
    tenure, _ = opened(path)
    (path / f".tmp-10-1-0-{os.getpid()}.pth").write_bytes(b"what could not be deleted")
    save(tenure, 20)
    assert not temporary(path)


class _OsWithout:
    """The module `os` whose fsync does nothing for files, or for folders."""

    def __init__(self, folders: bool) -> None:
        self._folders = folders

    def __getattr__(self, name: str) -> Any:
        return self._fsync if name == "fsync" else getattr(os, name)

    def _fsync(self, descriptor: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode) is not self._folders:
            os.fsync(descriptor)


def _unverified(self: Any, entry: Entry) -> Any:
    if entry.manifest is None:
        raise Corrupt(entry.problem)
    return entry.manifest


SAFEGUARDS: dict[str, tuple[Callable[[Path], None], str, Any]] = {
    "crc of the manifest": (
        _notices_flips_in_manifests, "pet.store.sealed.zlib", SimpleNamespace(crc32=lambda data: None),
    ),
    "name in the manifest": (_notices_a_pair_of_another_iteration, "pet.store.manifest.check_name", lambda *args: None),
    "crc of the data": (_notices_flips_in_data, "pet.store.folder.Folder.verify", _unverified),
    "a committed name is never written again": (
        _keeps_an_acknowledged_iteration_that_is_saved_again, "pet.store.tenure.Tenure._already_saved",
        lambda *args: None,
    ),
    "flush of the folder": (
        _keeps_what_was_acknowledged_when_names_are_lost, "pet.store.files.os", _OsWithout(folders=True),
    ),
    "flush of the file": (
        _keeps_what_was_acknowledged_when_data_is_lost, "pet.store.files.os", _OsWithout(folders=False),
    ),
    "fence": (_keeps_a_zombie_out, "pet.store.tenure.Tenure.fence", lambda self: None),
    "generation in the fence": (
        _keeps_a_zombie_out, "pet.store.tenure.is_own", lambda found, mine: found.uid == mine.uid,
    ),
    "rollback": (
        _goes_back_behind_a_step_that_was_not_finite, "pet.store.tenure.Tenure.obey_rollback", lambda self: None,
    ),
    "verifying before room is made": (
        _makes_room_down_to_one_that_is_whole, "pet.store.retention._verifies", lambda folder, entry: True,
    ),
    "sweep": (_leaves_nothing_half_written, "pet.store.folder.Folder.sweep", lambda self, mark="": None),
    "legacy rule": (
        _stops_at_a_checkpoint_that_lost_its_manifest, "pet.store.opening.legacy_digest",
        lambda folder, owner: digest_of(folder.at("model_latest.pth")),
    ),
    "link is dropped with what it leads to": (
        _reaches_no_bad_bytes_through_the_link, "pet.store.latest.LatestLink.drop", lambda self, file: None,
    ),
    "archive's own checksums": (_finds_a_damaged_legacy_file, "pet.store.legacy.check_archive", lambda path: None),
}  # fmt: skip


@pytest.mark.parametrize("name", SAFEGUARDS)
def test_with_its_safeguard_the_fault_is_noticed(memory_path: Path, name: str) -> None:
    SAFEGUARDS[name][0](memory_path)


@pytest.mark.parametrize("name", SAFEGUARDS)
def test_without_its_safeguard_the_fault_goes_unnoticed(
        memory_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:  # fmt: skip
    check, target, replacement = SAFEGUARDS[name]
    monkeypatch.setattr(target, replacement)
    # A start that stops where a whole checkpoint should be found breaks the promise as well.
    with pytest.raises((AssertionError, pytest.fail.Exception, CheckpointUnusable)):
        check(memory_path)
