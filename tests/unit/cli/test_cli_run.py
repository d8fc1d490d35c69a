"""What `pet run --local` refuses before a launcher is started."""

from __future__ import annotations

from pathlib import Path

from harness.commands import PET, python
from harness.launcher import ROOT

from pet.store.lock import FolderLock

SAMPLE = str(ROOT / "crds/samples/fashion-mnist.yaml")


def test_a_folder_in_which_the_job_runs_already_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    with FolderLock(tmp_path):
        before = sorted(tmp_path.iterdir())
        answer = python(*PET, "run", "--local", "-f", SAMPLE, "--output", str(tmp_path))
    assert answer.code == 78
    assert "--output" in answer.err
    assert "is in use by process" in answer.err
    assert sorted(tmp_path.iterdir()) == before


def test_an_output_that_cannot_be_a_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    answer = python(*PET, "run", "--local", "-f", SAMPLE, "--output", str(tmp_path / "file"))
    assert answer.code == 78
    assert "--output" in answer.err
    assert "cannot be used" in answer.err
