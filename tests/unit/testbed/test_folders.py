"""The bed removes its own folders only."""

from __future__ import annotations

from pathlib import Path

import pytest
from testbed.folders import remove


def test_a_folder_below_is_removed_and_what_its_links_lead_to_is_not(tmp_path: Path) -> None:
    own, foreign = tmp_path / "own", tmp_path / "foreign"
    (own / "pod" / "deep").mkdir(parents=True)
    foreign.mkdir()
    (foreign / "file").touch()
    (own / "pod" / "link").symlink_to(foreign)
    remove(own / "pod", below=own)
    assert list(own.iterdir()) == []
    assert (foreign / "file").exists()


def test_one_that_is_gone_is_fine(tmp_path: Path) -> None:
    (tmp_path / "other").touch()
    remove(tmp_path / "gone", below=tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == ["other"]


@pytest.mark.parametrize(
    "place", ["own", "own/..", "own/../foreign", "own/.", "own/link", "own/link/deep", "own/pod/.."]
)
def test_anything_else_is_left_alone(tmp_path: Path, place: str) -> None:
    own, foreign = tmp_path / "own", tmp_path / "foreign"
    (own / "pod").mkdir(parents=True)
    (foreign / "deep").mkdir(parents=True)
    (own / "link").symlink_to(foreign)
    with pytest.raises(ValueError, match="left alone"):
        remove(tmp_path / place, below=own)
    assert (foreign / "deep").is_dir()
    assert (own / "pod").is_dir()
