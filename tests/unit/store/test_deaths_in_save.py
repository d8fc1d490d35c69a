"""A process dies at each call to the disk of a save, of an opening and of moving things aside; then another starts."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest
from harness.deaths import KINDS, every_death, saving_a_new_iteration, saving_an_existing_iteration, two_saved
from harness.dying import Report
from harness.stores import JOB, Picture, attempt, content, iteration_of, opened, overwrite, save

from pet.store.errors import CheckpointUnusable
from pet.store.owner import Identity


@pytest.mark.parametrize("kind", KINDS)
def test_death_in_the_save_of_a_new_iteration_loses_nothing_acknowledged(memory_path: Path, kind: str) -> None:
    assert saving_a_new_iteration(memory_path, kind) > 20


@pytest.mark.parametrize("kind", KINDS)
def test_death_in_saving_an_existing_iteration_again_loses_nothing(memory_path: Path, kind: str) -> None:
    assert saving_an_existing_iteration(memory_path, kind) > 0  # few: nothing is written again


@pytest.mark.parametrize("kind", KINDS)
def test_death_in_the_save_of_an_epoch_that_has_another_length_by_now_loses_nothing(
        memory_path: Path, kind: str) -> None:  # fmt: skip
    file = "model_epoch1.pth"

    def prepare(path: Path) -> None:
        save(opened(path)[0], 10, file)

    def action(path: Path, report: Report) -> None:
        save(opened(path)[0], 20, file)
        report(20)

    def check(path: Path, reports: list[int]) -> None:
        assert iteration_of(opened(path)[1]) in ({20} if reports else {10, 20})

    every_death(prepare, action, memory_path, kind, check)


@pytest.mark.parametrize("kind", KINDS)
def test_death_while_a_best_model_takes_the_name_of_the_former_leaves_one_of_them(memory_path: Path, kind: str) -> None:
    file = "model_epoch1-80.00.pth"

    def prepare(path: Path) -> None:
        save(opened(path)[0], 10, file, link=False)

    def action(path: Path, report: Report) -> None:
        save(opened(path)[0], 20, file, link=False)
        report(20)

    def check(path: Path, reports: list[int]) -> None:
        assert (path / file).read_bytes() in ([content(20)] if reports else [content(10), content(20)])

    every_death(prepare, action, memory_path, kind, check)


@pytest.mark.parametrize("kind", KINDS)
def test_death_in_the_very_first_start_leaves_nothing_or_a_checkpoint(memory_path: Path, kind: str) -> None:
    def action(path: Path, report: Report) -> None:
        tenure, _ = opened(path / "new")
        save(tenure, 10)
        report(10)

    def check(path: Path, reports: list[int]) -> None:
        assert iteration_of(opened(path / "new")[1]) in ({10} if reports else {None, 10})

    every_death(lambda path: None, action, memory_path, kind, check)


@pytest.mark.parametrize("kind", KINDS)
def test_death_while_a_corrupt_newest_is_quarantined_still_ends_at_the_older_one(memory_path: Path, kind: str) -> None:
    def prepare(path: Path) -> None:
        two_saved(path)
        overwrite(path / "model_iter20.pth", content(20)[:-1] + b"?")

    def check(path: Path, reports: list[int]) -> None:
        assert iteration_of(opened(path)[1]) == 10
        assert (path / "model_latest.pth").read_bytes() == content(10)

    every_death(prepare, lambda path, report: opened(path), memory_path, kind, check)


@pytest.mark.parametrize("kind", KINDS)
def test_death_while_the_only_checkpoint_is_quarantined_never_loads_it(memory_path: Path, kind: str) -> None:
    def prepare(path: Path) -> None:
        tenure, _ = opened(path)
        save(tenure, 10)
        overwrite(path / "model_iter10.pth", content(10)[:-1] + b"?")

    def action(path: Path, report: Report) -> None:
        with pytest.raises(CheckpointUnusable):
            opened(path)

    def check(path: Path, reports: list[int]) -> None:
        with pytest.raises(CheckpointUnusable):
            opened(path)

    every_death(prepare, action, memory_path, kind, check)


@pytest.mark.parametrize("kind", KINDS)
def test_death_while_a_predecessor_is_moved_aside_deletes_nothing(memory_path: Path, kind: str) -> None:
    successor = Identity("c1", "ns", "job", "uid-2", 1)

    def action(path: Path, report: Report) -> None:
        opened(path, successor, own_only=True)
        report(0)

    def check(path: Path, reports: list[int]) -> None:
        assert opened(path, successor, own_only=True)[1] is None
        contents = list(Picture.of(path).files.values())
        assert content(10) in contents
        assert content(20) in contents

    every_death(two_saved, action, memory_path, kind, check)


@pytest.mark.parametrize("kind", KINDS)
def test_death_in_taking_a_folder_over_keeps_what_the_predecessor_saved(memory_path: Path, kind: str) -> None:
    successor = Identity("c1", "ns", "job", "uid-2", 1)

    def action(path: Path, report: Report) -> None:
        tenure, _ = opened(path, successor)
        # Stopped before the first step: what it would save is what it has just loaded.
        save(tenure, 20)
        save(tenure, 30, keep=2)
        report(30)

    def check(path: Path, reports: list[int]) -> None:
        assert iteration_of(opened(path, successor)[1]) in ({30} if reports else {20, 30})

    every_death(two_saved, action, memory_path, kind, check)


@pytest.mark.parametrize("kind", KINDS)
def test_death_in_the_first_save_after_a_legacy_start_falls_back_to_it(memory_path: Path, kind: str) -> None:
    def prepare(path: Path) -> None:
        with zipfile.ZipFile(path / "model_latest.pth", "w") as archive:
            archive.writestr("archive/data", b"old weights")

    def action(path: Path, report: Report) -> None:
        tenure, _ = opened(path)
        save(tenure, 10)
        report(10)

    def check(path: Path, reports: list[int]) -> None:
        _, selected = opened(path, attempt(2, JOB))
        assert selected is not None
        if selected.manifest is None:
            assert not reports
            assert selected.path.endswith("model_latest.pth")
        else:
            assert iteration_of(selected) == 10
        old = [file for file in path.iterdir() if file.name.endswith("model_latest.pth") and zipfile.is_zipfile(file)]
        assert old

    every_death(prepare, action, memory_path, kind, check)
