"""Which checkpoints are deleted after a commit."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from harness.stores import JOB, draft, opened, overwrite, save

from pet.store.sealed import seal

SUCCESSOR = replace(JOB, uid="uid-2")


def _files(path: Path) -> list[str]:
    return sorted(name for name in os.listdir(path) if name.startswith("model_") and name.endswith(".pth"))


def _iterations(path: Path) -> list[int]:
    return sorted(int(name[10:-4]) for name in _files(path) if name.startswith("model_iter"))


def test_the_newest_are_kept_and_manifests_go_with_their_data(tmp_path: Path) -> None:
    tenure, _ = opened(tmp_path)
    for iteration in (5, 10, 100, 1000):
        save(tenure, iteration, keep=2)
    assert _iterations(tmp_path) == [100, 1000]
    assert len(list(tmp_path.glob("*.manifest.json"))) == 2


def test_zero_keeps_all(tmp_path: Path) -> None:
    tenure, _ = opened(tmp_path)
    for iteration in range(1, 8):
        save(tenure, iteration, keep=0)
    assert len(_iterations(tmp_path)) == 7


def test_epochs_and_iterations_are_one_row(tmp_path: Path) -> None:
    tenure, _ = opened(tmp_path)
    save(tenure, 10, "model_epoch1.pth", keep=2)
    save(tenure, 15, keep=2)
    save(tenure, 20, "model_epoch2.pth", keep=2)
    assert _files(tmp_path) == ["model_epoch2.pth", "model_iter15.pth", "model_latest.pth"]


def test_the_last_one_that_a_load_verified_stays(tmp_path: Path) -> None:
    tenure, _ = opened(tmp_path)
    for iteration in (10, 20):
        save(tenure, iteration)
    tenure, _ = opened(tmp_path)
    for iteration in (30, 40, 50):
        save(tenure, iteration, keep=2)
    assert _iterations(tmp_path) == [20, 40, 50]


def test_another_uids_checkpoints_stay(tmp_path: Path) -> None:
    tenure, _ = opened(tmp_path)
    for iteration in (1, 2, 3):
        save(tenure, iteration)
    tenure, _ = opened(tmp_path, SUCCESSOR)
    for iteration in (4, 5, 6):
        save(tenure, iteration, keep=2)
    assert _iterations(tmp_path) == [1, 2, 3, 5, 6]


def test_best_models_and_what_was_moved_aside_stay(tmp_path: Path) -> None:
    tenure, _ = opened(tmp_path)
    save(tenure, 1, "model_epoch1-80.00.pth", link=False)
    (tmp_path / ".bad-uid-1-0-model_iter1.pth").write_bytes(b"")
    (tmp_path / "model_error2.pth").write_bytes(b"")
    for iteration in (3, 4, 5):
        save(tenure, iteration, keep=2)
    assert {"model_epoch1-80.00.pth", "model_error2.pth"} < set(_files(tmp_path))
    assert (tmp_path / ".bad-uid-1-0-model_iter1.pth").exists()


def test_what_was_just_committed_stays_although_higher_numbers_are_there(tmp_path: Path) -> None:
    tenure, _ = opened(tmp_path)
    for iteration in (100, 200, 300):
        save(tenure, iteration)
    save(tenure, 50, keep=2)
    assert 50 in _iterations(tmp_path)


def test_an_unreadable_manifest_is_neither_counted_nor_deleted(tmp_path: Path) -> None:
    tenure, _ = opened(tmp_path)
    for iteration in (10, 20, 30):
        save(tenure, iteration)
    overwrite(tmp_path / "model_iter30.manifest.json", b"damaged")
    save(tenure, 40, keep=2)
    assert _iterations(tmp_path) == [20, 30, 40]


def test_a_new_best_model_takes_the_place_of_the_former_one(tmp_path: Path) -> None:
    other, _ = opened(tmp_path)
    save(other, 1, "model_epoch1-70.00.pth", link=False)
    tenure, _ = opened(tmp_path, SUCCESSOR)
    for iteration, file in ((2, "model_epoch2-80.00.pth"), (3, "model_epoch3-81.50.pth")):
        manifest = tenure.commit(draft(tenure, iteration, file), lambda stream: stream.write(b"x"))
        tenure.publish_best(manifest)
    assert _files(tmp_path) == ["model_epoch1-70.00.pth", "model_epoch3-81.50.pth"]


def test_an_error_in_retention_never_undoes_the_commit(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:  # fmt: skip
    tenure, _ = opened(tmp_path)
    for iteration in (10, 20, 30):
        save(tenure, iteration)
    real = os.unlink

    def refuse(path: Any) -> None:
        if "manifest" in str(path):
            raise PermissionError(1, "Operation not permitted", path)
        real(path)

    monkeypatch.setattr(os, "unlink", refuse)
    save(tenure, 40, keep=2)
    assert "older checkpoints were not removed" in caplog.text
    assert _iterations(tmp_path) == [10, 20, 30, 40]


def test_a_manifest_of_a_newer_format_beside_it_never_undoes_the_commit(
        tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:  # fmt: skip
    tenure, _ = opened(tmp_path)
    for iteration in (10, 20, 30):
        save(tenure, iteration)
    (tmp_path / "model_iter99.manifest.json").write_bytes(seal({"format": 2}))
    save(tenure, 40, keep=2)
    assert "older checkpoints were not removed" in caplog.text
    assert _iterations(tmp_path) == [10, 20, 30, 40]
