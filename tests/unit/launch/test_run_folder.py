"""Run folders without a name of their own: each launcher removes its own, and those of launchers that were killed."""

from __future__ import annotations

import shutil
from contextlib import ExitStack
from pathlib import Path

import pytest

from pet.config import JobEnvironment
from pet.launch.run_folder import run_folder


@pytest.fixture(autouse=True)
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("pet.launch.run_folder.run_files_root", lambda: tmp_path)
    return tmp_path


def made(stack: ExitStack) -> Path:
    return run_folder(JobEnvironment(), stack)


def test_it_is_removed_in_the_end(root: Path) -> None:
    with ExitStack() as stack:
        assert made(stack).is_dir()
    assert list(root.iterdir()) == []


def test_what_a_killed_launcher_left_is_removed_by_the_next_and_what_a_living_one_has_is_not(root: Path) -> None:
    with ExitStack() as dead, ExitStack() as alive:
        left, used = made(dead), made(alive)
        shutil.copytree(left, root / "pet-run-of-the-dead")  # the same files, and nobody has locked them
        with ExitStack() as next_one:
            own = made(next_one)
            assert set(root.iterdir()) == {left, used, own}


@pytest.mark.parametrize("name", ["pet-run-of-an-older-version", "pet-data"])
def test_a_folder_that_does_not_say_whose_it_is_stays(root: Path, name: str) -> None:
    (root / name).mkdir()
    with ExitStack() as stack:
        made(stack)
        assert (root / name).is_dir()
