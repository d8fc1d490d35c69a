"""What a folder decides about how training begins: each row of the table."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from harness.stores import (
    JOB,
    attempt,
    content,
    hidden,
    iteration_of,
    old_checkpoint,
    opened,
    overwrite,
    owner_in,
    save,
    saved,
)

from pet.store.errors import CheckpointUnusable
from pet.store.files import digest_of


def test_row_1_the_newest_manifest_that_verifies(tmp_path: Path) -> None:
    saved(tmp_path, 9, 10, 100)
    assert iteration_of(opened(tmp_path)[1]) == 100


def test_row_1_passes_over_the_corrupt_and_says_so(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    saved(tmp_path, 10, 20, 30)
    overwrite(tmp_path / "model_iter30.pth", content(30)[:-1])
    (tmp_path / "model_iter20.pth").unlink()
    assert iteration_of(opened(tmp_path)[1]) == 10
    assert "going on from iteration 10 instead of model_iter30.pth, model_iter20.pth" in caplog.text
    assert hidden(tmp_path, "bad") == [
        ".bad-uid-1-0-model_iter20.manifest.json",
        ".bad-uid-1-0-model_iter30.manifest.json",
        ".bad-uid-1-0-model_iter30.pth",
    ]  # fmt: skip


def test_row_1_an_epoch_file_is_ordered_by_its_iteration(tmp_path: Path) -> None:
    tenure, _ = opened(tmp_path)
    save(tenure, 200, "model_epoch2.pth")
    save(tenure, 150)
    assert iteration_of(opened(tmp_path)[1]) == 200


def test_row_1_best_models_and_wrecks_are_not_resumed_from(tmp_path: Path) -> None:
    tenure, _ = opened(tmp_path)
    save(tenure, 10)
    save(tenure, 20, "model_epoch2-91.00.pth", link=False)
    (tmp_path / "model_error30.pth").write_bytes(b"x")
    assert iteration_of(opened(tmp_path)[1]) == 10


@pytest.mark.parametrize("repeat", [1, 3])
def test_row_2_none_verifies(tmp_path: Path, repeat: int) -> None:
    saved(tmp_path, 10, 20)
    for iteration in (10, 20):
        overwrite(tmp_path / f"model_iter{iteration}.pth", content(iteration)[:-1] + b"?")
    for _ in range(repeat):
        with pytest.raises(CheckpointUnusable, match=r"verifies.*--fresh.*resume: Never"):
            opened(tmp_path)
    assert len(hidden(tmp_path, "bad")) == 4


def test_row_2_whatever_model_latest_says(tmp_path: Path) -> None:
    saved(tmp_path, 10)
    overwrite(tmp_path / "model_iter10.pth", content(10)[:-1] + b"?")
    with pytest.raises(CheckpointUnusable):
        opened(tmp_path)
    assert not (tmp_path / "model_latest.pth").exists()
    old_checkpoint(tmp_path / "model_latest.pth")
    for owner in ("kept", "removed"):
        if owner == "removed":
            (tmp_path / "OWNER").unlink()
        with pytest.raises(CheckpointUnusable):
            opened(tmp_path)


def test_row_3_a_legacy_folder_is_taken_over_unverified(tmp_path: Path) -> None:
    old_checkpoint(tmp_path / "model_latest.pth")
    digest = digest_of(str(tmp_path / "model_latest.pth"))
    tenure, selected = opened(tmp_path)
    assert selected is not None
    assert selected.path == str(tmp_path / "model_latest.pth")
    assert (selected.bytes, selected.manifest) == (digest.bytes, None)
    assert tenure.owner.legacy == owner_in(tmp_path).legacy == digest


def test_row_3_after_a_death_while_the_first_owner_was_written(tmp_path: Path) -> None:
    old_checkpoint(tmp_path / "model_latest.pth")
    (tmp_path / "OWNER").write_bytes(b"")
    selected = opened(tmp_path)[1]
    assert selected is not None
    assert selected.manifest is None


def _flip_payload(data: bytes) -> bytes:
    return data.replace(b"old weights", b"olD weights")


def _truncate(data: bytes) -> bytes:
    return data[:-30]


def _empty(data: bytes) -> bytes:
    return b""


def _other_format(data: bytes) -> bytes:
    return b"\x80\x02" + data[2:40]


@pytest.mark.parametrize("damage", [_flip_payload, _truncate, _empty, _other_format])
def test_row_3_a_damaged_legacy_file_is_refused_and_the_folder_not_owned(
        tmp_path: Path, damage: Callable[[bytes], bytes]) -> None:  # fmt: skip
    latest = tmp_path / "model_latest.pth"
    old_checkpoint(latest)
    latest.write_bytes(damage(latest.read_bytes()))
    with pytest.raises(CheckpointUnusable, match="damaged"):
        opened(tmp_path)
    assert not (tmp_path / "OWNER").exists()


@pytest.mark.parametrize("later", [JOB, attempt(2), replace(JOB, uid="uid-2")], ids=["restart", "attempt", "successor"])
def test_row_4_the_same_legacy_file_again_until_the_first_commit(tmp_path: Path, later: object) -> None:
    old_checkpoint(tmp_path / "model_latest.pth")
    opened(tmp_path)
    tenure, selected = opened(tmp_path, later)  # type: ignore[arg-type]
    assert selected is not None
    assert selected.manifest is None
    save(tenure, 10)
    assert iteration_of(opened(tmp_path, later)[1]) == 10  # type: ignore[arg-type]


def test_row_5_other_bytes_than_the_legacy_file_that_was_recorded(tmp_path: Path) -> None:
    old_checkpoint(tmp_path / "model_latest.pth")
    opened(tmp_path)
    old_checkpoint(tmp_path / "model_latest.pth", b"newer weights")
    with pytest.raises(CheckpointUnusable, match="manifest of its checkpoint is not"):
        opened(tmp_path)


def test_row_5_a_checkpoint_that_lost_its_manifest(tmp_path: Path) -> None:
    saved(tmp_path, 10)
    (tmp_path / "model_iter10.manifest.json").unlink()
    for _ in range(2):
        with pytest.raises(CheckpointUnusable, match="manifest of its checkpoint is not"):
            opened(tmp_path)


def _nothing(path: Path) -> None:
    """An empty folder."""


def _owner(path: Path) -> None:
    opened(path)


def _half_written(path: Path) -> None:
    opened(path)
    (path / ".tmp-10-1-0-5.pth").write_bytes(b"half")


def _never_committed(path: Path) -> None:
    opened(path)
    (path / "model_iter10.pth").write_bytes(content(10))


def _foreign_files(path: Path) -> None:
    (path / "config.yaml").write_text("x: 1")
    (path / "log").mkdir()


@pytest.mark.parametrize("prepare", [_nothing, _owner, _half_written, _never_committed, _foreign_files])
def test_row_6_anything_else_is_a_fresh_start(tmp_path: Path, prepare: Callable[[Path], None]) -> None:
    prepare(tmp_path)
    assert opened(tmp_path)[1] is None


@pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo], ids=["folder", "pipe"])
@pytest.mark.parametrize("name", ["model_iter20.pth", "model_iter20.manifest.json"])
def test_what_is_no_file_is_passed_over_like_a_corrupt_one(
        tmp_path: Path, name: str, make: Callable[[Path], None]) -> None:  # fmt: skip
    saved(tmp_path, 10, 20)
    (tmp_path / name).unlink()
    make(tmp_path / name)
    assert iteration_of(opened(tmp_path)[1]) == 10
    assert len(hidden(tmp_path, "bad")) == 2


@pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo, lambda latest: latest.symlink_to("model_iter9.pth")],
                         ids=["folder", "pipe", "leads nowhere"])  # fmt: skip
def test_a_legacy_file_that_is_none_is_not_passed_over(tmp_path: Path, make: Callable[[Path], None]) -> None:
    make(tmp_path / "model_latest.pth")
    with pytest.raises(CheckpointUnusable, match=r"model_latest\.pth cannot be used"):
        opened(tmp_path)


def test_a_file_whose_age_cannot_be_known_counts_as_the_newest(tmp_path: Path) -> None:
    tenure, _ = opened(tmp_path)
    save(tenure, 10)
    save(tenure, 20, "model_epoch2.pth")
    overwrite(tmp_path / "model_epoch2.manifest.json", b"damaged")
    assert iteration_of(opened(tmp_path)[1]) == 10
    assert len(hidden(tmp_path, "bad")) == 2
