from __future__ import annotations

import errno
import sys
import threading
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from harness.hooks import Bad
from harness.toy import Toy, short_toy
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.compat.tensorflow_stub.io.gfile import LocalFileSystem

from pet.config import ConfigError
from pet.engine.events import EventStorage


def training(folder: Path, **fields: Any) -> Toy:
    keys = ("TRAIN.USE_TENSORBOARD", True, "MISC.DISPLAY_ITER", 2, "SOLVER.SNAPSHOT_ITER", 3)
    return short_toy(folder, 8, *keys, **fields)


def shown(toy: Toy, name: str) -> list[tuple[int, float]]:
    """(step, value) of a series as TensorBoard shows it."""
    accumulator = EventAccumulator(str(toy.checkpoints / "tensorboard_log"))
    accumulator.Reload()
    return [(event.step, event.value) for event in accumulator.Scalars(name)]


def test_every_number_of_a_window_is_written(tmp_path: Path) -> None:
    toy = training(tmp_path)
    loop = toy.run()
    assert [step for step, _ in shown(toy, "loss_box")] == [2, 4, 6, 8]
    assert [step for step, _ in shown(toy, "lr")] == [2, 4, 6, 8]
    assert shown(toy, "total_loss")[-1][1] == pytest.approx(loop._storage.history("total_loss").median(20))


def test_row_26_after_a_resume_each_step_is_shown_once_and_no_file_is_deleted(tmp_path: Path) -> None:
    # Pet empties the folder at each start.
    toy = training(tmp_path, hooks=[Bad(7, ValueError("oh"))])
    with pytest.raises(ValueError, match="oh"):
        toy.run()
    assert [step for step, _ in shown(toy, "total_loss")] == [2, 4, 6]
    (first,) = (toy.checkpoints / "tensorboard_log").iterdir()
    before = first.read_bytes()
    toy.again(hooks=()).run()
    assert [step for step, _ in shown(toy, "total_loss")] == [2, 4, 6, 8]
    names = sorted(path.name.rpartition(".")[2] for path in (toy.checkpoints / "tensorboard_log").iterdir())
    assert names == ["1", "2"]  # the attempts
    assert first.read_bytes() == before


def test_nothing_is_written_where_it_is_not_asked_for(tmp_path: Path) -> None:
    toy = training(tmp_path)
    toy.cfg.merge_from_list(["TRAIN.USE_TENSORBOARD", False])
    toy.run()
    assert not (toy.checkpoints / "tensorboard_log").exists()


def test_without_the_package_the_remedy_is_told_before_the_first_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "tensorboard", None)  # as if it were not installed
    with pytest.raises(ConfigError, match=r"TRAIN.USE_TENSORBOARD: .*pip install 'pet-training\[tensorboard\]'"):
        training(tmp_path).build()


def test_a_folder_that_cannot_be_made_stops_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    toy = training(tmp_path)
    toy.checkpoints.mkdir()
    (toy.checkpoints / "tensorboard_log").write_text("in the way")
    assert toy.run().iteration == 8
    assert "WARNING: the numbers are not kept in a file" in capsys.readouterr().out


class FullDisk:
    """Refuses what is written for TensorBoard from the beginning of one step to that of another."""

    def __init__(self, since: int, until: int) -> None:
        self.since, self.until = since, until
        self.stack = ExitStack()

    def before_step(self, storage: EventStorage) -> None:
        full = OSError(errno.ENOSPC, "full")
        if storage.iter == self.since:
            self.stack.enter_context(patch("tempfile.TemporaryFile", side_effect=full))
            self.stack.enter_context(patch.object(LocalFileSystem, "_write", side_effect=full))
        if storage.iter == self.until:
            self.stack.close()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")  # it is the package's thread
def test_numbers_are_written_again_once_the_disk_has_room(tmp_path: Path) -> None:
    before = threading.active_count()
    toy = training(tmp_path, hooks=[FullDisk(since=3, until=7)])
    loop = toy.run()
    assert [step for step, _ in shown(toy, "total_loss")] == [2, 8]
    assert loop.session.metrics.hook_errors == {"TensorboardXWriter": 2}
    assert threading.active_count() == before
