"""The traps of `model_latest.pth` as a hard link."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest
from harness.stores import content, hidden, iteration_of, old_checkpoint, opened, overwrite, save, temporary

LATEST = "model_latest.pth"


def test_the_link_is_the_newest_checkpoint_itself(tmp_path: Path) -> None:
    tenure, _ = opened(tmp_path)
    for iteration in (10, 20):
        save(tenure, iteration)
        assert (tmp_path / LATEST).samefile(tmp_path / f"model_iter{iteration}.pth")


def test_a_checkpoint_may_be_saved_without_moving_the_link(tmp_path: Path) -> None:
    tenure, _ = opened(tmp_path)
    save(tenure, 10)
    save(tenure, 20, link=False)
    assert (tmp_path / LATEST).samefile(tmp_path / "model_iter10.pth")


def test_linking_the_same_file_again_leaves_no_temporary_name(tmp_path: Path) -> None:
    tenure, _ = opened(tmp_path)
    save(tenure, 10)
    tenure.folder.latest.point_at("model_iter10.pth")
    assert not temporary(tmp_path)
    assert os.stat(tmp_path / LATEST).st_nlink == 2


def test_quarantine_leaves_no_way_to_the_bad_bytes(tmp_path: Path) -> None:
    tenure, _ = opened(tmp_path)
    for iteration in (10, 20):
        save(tenure, iteration)
    overwrite(tmp_path / "model_iter20.pth", content(20)[:-1] + b"?")
    opened(tmp_path)
    assert (tmp_path / LATEST).read_bytes() == content(10)


def test_a_link_that_an_old_tool_wrote_through_is_found_and_replaced(tmp_path: Path) -> None:
    tenure, _ = opened(tmp_path)
    for iteration in (10, 20):
        save(tenure, iteration)
    overwrite(tmp_path / LATEST, b"what an old tool saved")
    assert iteration_of(opened(tmp_path)[1]) == 10
    assert (tmp_path / LATEST).read_bytes() == content(10)


def test_a_committed_file_cannot_be_opened_for_writing_by_its_mode(tmp_path: Path) -> None:
    tenure, _ = opened(tmp_path)
    save(tenure, 10)
    for name in (LATEST, "model_iter10.pth", "model_iter10.manifest.json", "OWNER"):
        assert os.stat(tmp_path / name).st_mode & 0o222 == 0


@pytest.mark.parametrize("kind", ["file", "dangling"])
def test_a_file_of_somebody_else_in_its_place_is_kept_under_another_name(tmp_path: Path, kind: str) -> None:
    tenure, _ = opened(tmp_path)
    save(tenure, 10)
    (tmp_path / LATEST).unlink()
    if kind == "file":
        old_checkpoint(tmp_path / LATEST)
    else:
        (tmp_path / LATEST).symlink_to("nowhere")
    save(tenure, 20)
    assert (tmp_path / LATEST).samefile(tmp_path / "model_iter20.pth")
    assert hidden(tmp_path, "superseded") == [".superseded-legacy-0-model_latest.pth"]


def test_a_missing_link_comes_back_at_the_next_start(tmp_path: Path) -> None:
    tenure, _ = opened(tmp_path)
    save(tenure, 10)
    (tmp_path / LATEST).unlink()
    opened(tmp_path)
    assert (tmp_path / LATEST).samefile(tmp_path / "model_iter10.pth")


def test_a_volume_without_hard_links_has_no_link_and_says_so_once(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:  # fmt: skip
    def unsupported(source: Any, target: Any) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", unsupported)
    tenure, _ = opened(tmp_path)
    for iteration in (10, 20):
        save(tenure, iteration)
    assert not (tmp_path / LATEST).exists()
    assert caplog.text.count("takes no hard links") == 1
    assert iteration_of(opened(tmp_path)[1]) == 20


def test_an_error_in_linking_never_undoes_the_commit(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:  # fmt: skip
    def broken(source: Any, target: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    tenure, _ = opened(tmp_path)
    monkeypatch.setattr(os, "link", broken)
    save(tenure, 10)
    assert "model_latest.pth was not set: " in caplog.text
    assert iteration_of(opened(tmp_path)[1]) == 10


def test_a_link_that_was_not_moved_on_goes_with_what_it_leads_to(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    def full(source: Any, target: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    tenure, _ = opened(tmp_path)
    save(tenure, 10)
    with monkeypatch.context() as patch:
        patch.setattr(os, "link", full)
        for iteration in (20, 30):
            save(tenure, iteration, keep=2)
    assert not (tmp_path / LATEST).exists()
    save(tenure, 40, keep=2)
    assert (tmp_path / LATEST).samefile(tmp_path / "model_iter40.pth")
    assert not hidden(tmp_path, "superseded")
