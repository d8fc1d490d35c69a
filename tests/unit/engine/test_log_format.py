from __future__ import annotations

import logging
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from harness.toy import ToyModel, short_toy

from pet.engine.logger import clock, log_rows, open_log_file, setup_logger

GOLDEN = Path(__file__).parent / "golden"
CURRENT_TIME = "2026-01-31_12-00-00"

# What differs from run to run, each in exactly the form that Pet prints.
VARYING = (
    (r"^\[\d\d-\d\d \d\d:\d\d:\d\d\] ", "[mm-dd HH:MM:SS] "),
    (r"\[eta: \d+:\d\d:\d\d\]", "[eta: H:MM:SS]"),
    (r"\[max_mem: \d+M\]", "[max_mem: xM]"),
    (r"\[iter_time: \d+\.\d{4}\]", "[iter_time: 0.1234]"),
    (r"\[data_time: \d+\.\d{4}\]", "[data_time: 0.0012]"),
    (r"(\d+) iterations in \d+:\d\d:\d\d \(\d+\.\d{6} s / it\)", r"\1 iterations in H:MM:SS (0.123456 s / it)"),
    (r"time: \d+:\d\d:\d\d \(\d+:\d\d:\d\d on hooks\)", "time: H:MM:SS (H:MM:SS on hooks)"),
)


def normalised(text: str) -> list[str]:
    for pattern, form in VARYING:
        text = re.sub(pattern, form, text, flags=re.MULTILINE)
    return text.splitlines()


class Told(ToyModel):
    """Losses and metrics whose numbers are known: at step k the first loss is k/10."""

    def __init__(self, losses: tuple[float, ...], metrics: dict[str, float]) -> None:
        super().__init__()
        self.losses, self.metrics, self.step = losses, metrics, 0

    def forward(self, inputs: torch.Tensor, targets: torch.Tensor | None = None) -> Any:
        self.step += 1
        # Of every parameter, without a gradient: weights stay as they are.
        nothing = sum((parameter * 0).sum() for parameter in self.parameters())
        values = (self.step / 10, *self.losses)
        losses = {
            name: value + nothing for name, value in zip(("cls_loss", "box_loss", "mask_loss"), values, strict=False)
        }
        return {"losses": losses, "metrics": {name: torch.tensor(value) for name, value in self.metrics.items()}}


ITERATIONS = ("MISC.DISPLAY_ITER", 4, "SOLVER.SCHEDULER.STEPS", (6,), "SOLVER.OPTIMIZER.BASE_LR", 0.02,
              "SOLVER.SCHEDULER.WARM_UP_ITERS", 0)  # fmt: skip
EPOCHS = (*ITERATIONS, "SOLVER.SCHEDULER.TOTAL_EPOCHS", 2, "SOLVER.SCHEDULER.STEPS", (1,), "TRAIN.BATCH_SIZE", 16)


@pytest.mark.parametrize(("name", "losses", "metrics", "overrides"), [
    ("iterations", (0.25, 0.125), {"acc1": 0.5, "acc5": 0.75, "boxes": 3.0}, ITERATIONS),
    ("epochs", (), {}, EPOCHS),
    ("without_metrics", (0.25,), {"acc1": 0.5}, (*ITERATIONS, "TRAIN.METRICS_ON", False)),
])  # fmt: skip
def test_rows_14_and_27_the_log_is_pet_s_line_by_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, name: str,
    losses: tuple[float, ...], metrics: dict[str, float], overrides: tuple[Any, ...],
) -> None:  # fmt: skip
    monkeypatch.setenv("CURRENT_TIME", CURRENT_TIME)
    training = short_toy(tmp_path, 9, *overrides, model=lambda: Told(losses, metrics))
    training.run()
    golden = (GOLDEN / f"{name}.log").read_text().splitlines()
    assert normalised(capsys.readouterr().out) == golden
    assert normalised((training.checkpoints / "log" / f"train_{CURRENT_TIME}.txt").read_text()) == golden


def test_a_second_start_writes_on_into_the_log_of_the_same_attempt(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CURRENT_TIME", CURRENT_TIME)
    for text in ("one", "two"):
        setup_logger(rank=0)
        log_rows([text])
        open_log_file(str(tmp_path))
    lines = (tmp_path / "log" / f"train_{CURRENT_TIME}.txt").read_text().splitlines()
    assert [line.split("] ")[1] for line in lines] == ["one", "two"]


def test_details_go_into_the_file_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    setup_logger(rank=0)
    logger = logging.getLogger("pet.tools.cls")
    logger.debug("a large model")
    path = open_log_file(str(tmp_path))
    assert path is not None
    logger.debug("another one")
    assert "model" not in capsys.readouterr().out
    assert [line.split("] ")[1] for line in path.read_text().splitlines()] == [
        "DEBUG: a large model",
        "DEBUG: another one",
    ]


def test_row_30_a_log_by_hand_has_a_name_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CURRENT_TIME", raising=False)
    setup_logger(rank=0)
    assert open_log_file(str(tmp_path)) == tmp_path / "log" / "train_by-hand.txt"


def test_where_nothing_is_saved_there_is_no_log_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    setup_logger(rank=0)
    assert open_log_file("") is None
    assert list(tmp_path.iterdir()) == []


def test_other_ranks_print_warnings_and_errors_only(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    setup_logger(rank=1)
    logger = logging.getLogger("pet.engine.loop")
    logger.info("all is well")
    logger.warning("odd")
    try:
        raise ValueError("oh")
    except ValueError:
        logger.exception("bad")
    assert open_log_file(str(tmp_path)) is None
    lines = [line[len("[mm-dd HH:MM:SS] "):] if line.startswith("[") else line
             for line in capsys.readouterr().out.splitlines()]  # fmt: skip
    assert lines[:3] == ["WARNING: odd", "ERROR: bad", "Traceback (most recent call last):"]
    assert lines[-1] == "ValueError: oh"


@pytest.mark.parametrize(("seconds", "text"), [(0.9, "0:00:00"), (61, "0:01:01"), (36_001, "10:00:01"),
                                               (90_000, "1 day, 1:00:00")])  # fmt: skip
def test_durations_are_hours_minutes_and_seconds(seconds: float, text: str) -> None:
    assert clock(seconds) == text


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs Linux's device that is always full")
def test_a_log_file_on_a_full_disk_is_said_once_and_the_log_goes_on(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CURRENT_TIME", raising=False)
    (tmp_path / "log").mkdir()
    (tmp_path / "log" / "train_by-hand.txt").symlink_to("/dev/full")
    setup_logger(0)
    open_log_file(str(tmp_path))
    log = logging.getLogger("pet.test")
    for number in range(3):
        log.info("line %d", number)
    out, err = capfd.readouterr()
    assert err == ""
    assert [f"line {number}" in out for number in range(3)] == [True] * 3
    assert out.count("lacks lines: [Errno 28] No space left on device; training goes on") == 1
