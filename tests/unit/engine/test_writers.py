from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from harness.hooks import Bad
from harness.toy import Toy, short_toy, toy_session

from pet.engine.events import EventStorage
from pet.engine.hooks.reporting import PeriodicWriter
from pet.engine.session import Session, current_session
from pet.engine.writers import EventWriter, JSONWriter, RunFileWriter, eta_seconds
from pet.runfiles.metrics import JobMetrics, read_metrics_file


@pytest.fixture
def storage() -> Iterator[EventStorage]:
    with EventStorage(4) as made:
        yield made


def records(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def writer(path: Path, *, uid: str = "me", attempt: int = 1, resumed_from: int = 0) -> JSONWriter:
    return JSONWriter(path, uid=uid, attempt=attempt, resumed_from=resumed_from)


def write(path: Path, iterations: list[int], **identity: Any) -> None:
    """Let one start write records of these iterations."""
    with EventStorage() as storage:
        target = writer(path, **identity)
        for storage.iter in iterations:
            storage.put_scalar("loss", 1.0)
            target.write()
        target.close()


def test_a_record_holds_the_newest_numbers_and_who_wrote_it(tmp_path: Path, storage: EventStorage) -> None:
    for value in (1.0, 9.0, 2.0):
        storage.put_scalar("total_loss", value)
    storage.put_scalar("lr", 0.1, smoothing_hint=False)
    storage.put_scalar("cls_loss", math.nan)
    writer(tmp_path / "metrics.json", attempt=3).write()
    assert (tmp_path / "metrics.json").read_text() == (
        '{"iteration": 4, "uid": "me", "attempt": 3, "total_loss": 2.0, "lr": 0.1, "cls_loss": null}\n'
    )


def test_row_26_records_of_steps_that_are_done_again_go_and_the_rest_stays(tmp_path: Path) -> None:
    path = tmp_path / "metrics.json"
    write(path, [20, 40], uid="other")
    write(path, [20, 40, 60])
    resumed = writer(path, attempt=2, resumed_from=40)
    resumed.close()
    assert resumed.redo_until == 60
    write(path, [60, 80], attempt=2, resumed_from=40)
    assert [(record["uid"], record["attempt"], record["iteration"]) for record in records(path)] == [
        ("other", 1, 20), ("other", 1, 40), ("me", 1, 20), ("me", 1, 40), ("me", 2, 60), ("me", 2, 80),
    ]  # fmt: skip


@pytest.mark.parametrize("cut_off", [b'{"iteration": 40, "uid": "m', b"\0\0\0\0", b'{"loss": \xc3'])
def test_a_record_that_was_cut_off_goes(tmp_path: Path, cut_off: bytes) -> None:
    path = tmp_path / "metrics.json"
    write(path, [20])
    path.write_bytes(path.read_bytes() + cut_off)
    write(path, [40], resumed_from=20)
    assert [record["iteration"] for record in records(path)] == [20, 40]


def test_a_whole_record_without_an_end_of_line_stays(tmp_path: Path) -> None:
    path = tmp_path / "metrics.json"
    write(path, [20])
    path.write_text(path.read_text().rstrip("\n"))
    write(path, [40], resumed_from=20)
    assert [record["iteration"] for record in records(path)] == [20, 40]


def test_lines_that_are_no_records_stay_as_they_are(tmp_path: Path) -> None:
    path = tmp_path / "metrics.json"
    foreign = b'a note\rof mine\n[1, 2]\n\xff\n\n{"uid": "me"}\n{"uid": "me", "iteration": "late"}\n{"iterat\n'
    write(path, [20])
    path.write_bytes(foreign + path.read_bytes())
    write(path, [40], resumed_from=0)
    assert path.read_bytes().startswith(foreign)
    assert [
        record["iteration"] for record in map(json.loads, path.read_bytes().removeprefix(foreign).splitlines())
    ] == [40]


def test_training_goes_on_where_the_numbers_cannot_be_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    training = short_toy(tmp_path, 2)
    (training.checkpoints / "metrics.json").mkdir(parents=True)
    training.run()
    assert training.files == ["model_iter2.pth"]
    assert "WARNING: the numbers are not kept in a file: [Errno 21] Is a directory" in capsys.readouterr().out


@pytest.mark.parametrize(("steps", "expected"), [(5, [2, 4, 5]), (6, [2, 4, 6])])
def test_row_8_a_training_writes_at_whole_periods_and_at_the_end(
    tmp_path: Path, steps: int, expected: list[int]
) -> None:
    training = short_toy(tmp_path, steps, "MISC.DISPLAY_ITER", 2)
    training.run()
    written = records(training.checkpoints / "metrics.json")
    assert [record["iteration"] for record in written] == expected
    assert {"total_loss", "loss_cls", "lr", "time", "data_time"} <= set(written[0])


def test_save_as_json_may_be_switched_off(tmp_path: Path) -> None:
    training = short_toy(tmp_path, 2, "TRAIN.SAVE_AS_JSON", False)
    training.run()
    assert training.files == ["model_iter2.pth"]
    assert not (training.checkpoints / "metrics.json").exists()


def test_where_nothing_is_saved_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    short_toy(tmp_path, 2, save=False).run()
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def published(session: Session | None = None) -> JobMetrics:
    metrics = read_metrics_file((session or current_session()).run_dir.metrics(0))
    assert metrics is not None
    return metrics


def test_the_metric_file_is_there_before_the_first_step_with_counters_at_zero(tmp_path: Path) -> None:
    short_toy(tmp_path, 7).build()
    metrics = published()
    assert (metrics.max_iterations, metrics.iteration, metrics.resumed_from) == (7, 0, None)
    assert (metrics.samples_total, metrics.nonfinite_losses, metrics.dropped_terms, metrics.hook_errors) == (
        0,
        0,
        0,
        {},
    )


def test_the_metric_file_holds_what_the_launcher_serves(tmp_path: Path) -> None:
    class Mine:
        def after_step(self, storage: EventStorage) -> None:
            storage.put_scalar("my_number", 7.0)

    short_toy(tmp_path, 6, "MISC.DISPLAY_ITER", 4, "SOLVER.SNAPSHOT_ITER", 3, hooks=[Mine()]).run()
    metrics = published()
    assert (metrics.iteration, metrics.max_iterations, metrics.cfg, metrics.device) == (6, 6, "toy.yaml", "cpu")
    assert (metrics.attempt, metrics.restart, metrics.world_size, metrics.epoch) == (1, 0, 1, None)
    assert list(metrics.losses) == ["total", "loss_cls", "loss_box", "loss_mask", "loss_rpn"]
    assert metrics.user == {"my_number": 7.0}
    assert metrics.samples_total == 6 * 8
    assert metrics.eta_seconds == 0.0
    assert metrics.checkpoint is not None
    assert (metrics.checkpoint.iteration, metrics.checkpoint_interval_iterations) == (6, 3)
    assert sum(metrics.checkpoint_saves["success"].counts) == 2
    assert set(metrics.accounting) == {"productiveSeconds", "startupSeconds", "stallSeconds"}
    assert metrics.learning_rate == pytest.approx(0.01)


def test_epochs_are_counted_from_one_in_the_metric_file(tmp_path: Path) -> None:
    short_toy(tmp_path, 1, "SOLVER.SCHEDULER.TOTAL_EPOCHS", 2, "TRAIN.BATCH_SIZE", 32, "MISC.DISPLAY_ITER", 2,
              "SOLVER.SCHEDULER.STEPS", (1,)).run()  # fmt: skip
    assert published().epoch == 2


def test_steps_done_again_count_as_redone_and_not_as_productive(tmp_path: Path) -> None:
    part: Toy = short_toy(tmp_path, 8, "MISC.DISPLAY_ITER", 2, "SOLVER.SNAPSHOT_ITER", 3,
                          hooks=[Bad(6, ValueError("oh"))])  # fmt: skip
    with pytest.raises(ValueError, match="oh"):
        part.run()
    assert "redoSeconds" not in published().accounting
    loop = part.again(hooks=()).build()
    assert (published().resumed_from, published().iteration) == (3, 3)
    loop.run()
    # From 4 on again: the records went to 4 before, so the window that ends there is redone, the others are new.
    assert published().accounting["redoSeconds"] > 0
    assert published().samples_total == 5 * 8


def test_series_are_bounded_and_what_is_left_out_is_counted(tmp_path: Path, storage: EventStorage) -> None:
    session = toy_session(tmp_path)
    storage.put_scalars(time=0.5, hook_time=1.5)
    storage.samples = 40
    for number in range(40):
        storage.put_scalar(f"head{number}_loss", 1.0)
        storage.put_scalar(f"number{number}", 1.0)
    RunFileWriter(session, max_iter=8).write()
    metrics = published(session)
    assert (len(metrics.losses), len(metrics.user), metrics.dropped_terms) == (32, 32, 16)
    assert (metrics.step_seconds, metrics.pace_seconds) == (0.5, 2.0)
    assert (metrics.samples_per_second, metrics.eta_seconds) == (5.0, 8.0), "what hooks take is waited for as well"


def test_the_time_left_is_never_negative(storage: EventStorage) -> None:
    storage.put_scalars(time=1.5, hook_time=0.5)
    assert [eta_seconds(storage, max_iter) for max_iter in (7, 4, 1)] == [6.0, 0.0, 0.0]


class Failing(EventWriter):
    """Fails at some of its calls."""

    def __init__(self, failures: set[int], error: type[Exception] = ValueError) -> None:
        self.failures, self.error, self.calls, self.closed = failures, error, 0, False

    def write(self) -> None:
        self.calls += 1
        if self.calls in self.failures:
            raise self.error("no room")

    def close(self) -> None:
        self.closed = True


class Good(Failing):
    """Another name."""


def test_a_writer_that_fails_is_counted_told_once_and_switched_off(caplog: pytest.LogCaptureFixture) -> None:
    errors: dict[str, int] = {}
    bad, good = Failing({2, 4, 5}), Good(set())
    hook = PeriodicWriter([bad, good], max_iter=100, display_iter=1, errors=errors)
    for step in range(1, 8):
        hook.after_step(EventStorage(step))
    hook.after_train(EventStorage(8))
    assert (bad.calls, good.calls) == (5, 7)
    assert (bad.closed, good.closed) == (False, True)
    assert errors == {"Failing": 3}
    assert [record.getMessage() for record in caplog.records] == [
        "Failing failed: ValueError('no room'); training goes on",
        "Failing failed 3 times and is switched off",
    ]
    assert caplog.records[0].exc_info is not None


def test_a_writer_whose_disk_refuses_is_not_switched_off(caplog: pytest.LogCaptureFixture) -> None:
    errors: dict[str, int] = {}
    refused = Failing({2, 3, 4, 5}, OSError)
    hook = PeriodicWriter([refused], max_iter=100, display_iter=1, errors=errors)
    for step in range(1, 8):
        hook.after_step(EventStorage(step))
    hook.after_train(EventStorage(8))
    assert (refused.calls, refused.closed) == (7, True)
    assert errors == {"Failing": 4}
    assert [record.getMessage() for record in caplog.records] == [
        "Failing failed: OSError('no room'); training goes on"
    ]


def test_a_writer_has_to_define_write() -> None:
    with pytest.raises(TypeError, match="EventWriter has to define write"):
        EventWriter().write()
    EventWriter().close()


def test_training_goes_on_where_numbers_cannot_be_published(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    class Blocker:
        def before_train(self) -> None:
            path = current_session().run_dir.metrics(0)
            path.unlink()
            path.mkdir()

    training = short_toy(tmp_path, 6, "MISC.DISPLAY_ITER", 2, hooks=[Blocker()])
    training.run()
    assert training.files == ["model_iter6.pth"]
    output = capsys.readouterr().out
    assert output.count("WARNING: metrics cannot be published") == 1
    assert "training goes on" in output


def test_the_seconds_of_a_window_of_any_length_are_counted_once(
    tmp_path: Path, storage: EventStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = toy_session(tmp_path)
    target = RunFileWriter(session, max_iter=1000)
    monkeypatch.setattr("pet.engine.writers.time", SimpleNamespace(monotonic=lambda: session.started + 1000.0))
    # More steps than a history keeps, slower at the end; 5 s before the first.
    storage.put_window("time", [1.0] * 300 + [4.0] * 150)
    storage.put_window("hook_time", [0.0] + [95.0 / 449] * 449)
    storage.iter = 450
    target.write()
    assert session.metrics.accounting == pytest.approx({"productiveSeconds": 900.0, "startupSeconds": 5.0})
    storage.put_window("time", [2.0, 3.0])
    storage.iter = 452
    target.write()
    assert session.metrics.accounting == pytest.approx({"productiveSeconds": 905.0, "startupSeconds": 5.0})
