"""The metric file: replaced as a whole, and what is no number survives the way through JSON."""

from __future__ import annotations

import json
import math
import os
from dataclasses import replace
from pathlib import Path

import pytest
from harness.busy import publish, writing

from pet.runfiles.atomic import replace_text
from pet.runfiles.checkpoint_info import CheckpointInfo
from pet.runfiles.histogram import SAVE_SECONDS, Histogram
from pet.runfiles.metrics import JobMetrics, read_metrics_file, write_metrics_file


def full() -> JobMetrics:
    saves = Histogram(SAVE_SECONDS)
    saves.observe(2.0)
    return JobMetrics(
        attempt=2, restart=1, world_size=4, script="tools/tasks/cls/train_net.py", cfg="a.yaml", torch="2.15",
        precision="fp32", device="cpu", iteration=7, max_iterations=90, epoch=1, losses={"total": 0.5},
        learning_rate=0.1, samples_per_second=100.0, eta_seconds=3.0, step_seconds=0.2, pace_seconds=0.3,
        samples_total=56, metrics={"top1": 0.9}, dataset="fashion_mnist_test",
        checkpoint=CheckpointInfo(iteration=5, file="model_iter5.pth", bytes=9, saved_at=1.5, verified=True),
        resumed_from=5, checkpoint_interval_iterations=5, checkpoint_saves={"success": saves},
        checkpoint_failures={"OSError": 1}, accounting={"redoSeconds": 1.0}, hook_errors={"JSONWriter": 2},
        user={"my_number": 1.0}, dropped_terms=3, nonfinite_losses=4, amp_loss_scale=2.0, amp_skipped_steps=1,
    )  # fmt: skip


def test_everything_written_is_read_again(tmp_path: Path) -> None:
    write_metrics_file(tmp_path / "metrics.json", full())
    assert read_metrics_file(tmp_path / "metrics.json") == full()
    assert os.listdir(tmp_path) == ["metrics.json"]


def test_before_the_first_window_there_are_no_numbers(tmp_path: Path) -> None:
    assert read_metrics_file(tmp_path / "metrics.json") is None


def test_numbers_that_are_not_finite_are_null_in_the_file_and_nan_again_where_a_number_belongs(tmp_path: Path) -> None:
    path = tmp_path / "metrics.json"
    write_metrics_file(path, replace(full(), losses={"total": math.nan, "cls": -math.inf}, eta_seconds=math.inf))
    written = json.loads(path.read_text(), parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    assert written["losses"] == {"total": None, "cls": None}
    read = read_metrics_file(path)
    assert read is not None
    assert all(math.isnan(loss) for loss in read.losses.values())
    assert read.eta_seconds is None


def test_keys_of_a_newer_writer_are_ignored(tmp_path: Path) -> None:
    path = tmp_path / "metrics.json"
    write_metrics_file(path, full())
    path.write_text(json.dumps({**json.loads(path.read_text()), "of_a_later_version": 1}))
    assert read_metrics_file(path) == full()


def test_reader_beside_a_busy_writer_sees_whole_files_in_order(tmp_path: Path) -> None:
    path, newest, seen = tmp_path / "metrics.json", 0, set()
    with writing(publish, path) as process:
        while len(seen) < 200:
            assert process.is_alive()
            metrics = read_metrics_file(path)
            if metrics is None:
                assert newest == 0, "once there, the file is never away"
                continue
            assert metrics.losses == {f"loss{index}": metrics.iteration for index in range(metrics.iteration % 50)}
            assert metrics.iteration >= newest
            newest = metrics.iteration
            seen.add(newest)


def test_file_that_cannot_be_replaced_stays_as_it_was_and_leaves_nothing_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "metrics.json"
    path.write_text("old")
    with pytest.raises(UnicodeEncodeError):
        replace_text(path, "\ud800")
    assert (path.read_text(), os.listdir(tmp_path)) == ("old", ["metrics.json"])
    with pytest.raises(FileNotFoundError):
        replace_text(tmp_path / "away" / "metrics.json", "new")
