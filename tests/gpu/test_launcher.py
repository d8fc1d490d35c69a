"""The launcher with a rank on a card: whatever ends the rank, it is told, and the training goes on bit for bit."""

from __future__ import annotations

import pickle
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from harness.gang import gang, left_behind
from harness.interruptions import Case, check, check_end
from harness.training import Training

STALL_SECONDS = 5  # the job's own limit
STEP, SHOWS = 22, 24  # what a card does wrong in a step shows where the host waits for it: at the end of a window
CASES = [
    Case(ranks=1, target="rank", signal="SIGKILL", rank=0, step=19, workers=2),
    Case(ranks=1, target="rank", signal="SIGSTOP", rank=0, step=13),
    Case(ranks=1, target="launcher", signal="SIGKILL", rank=0, step=14),
    Case(ranks=1, target="launcher", signal="SIGTERM", rank=0, step=9, workers=2),
    Case(ranks=1, target="launcher", signal="SIGINT", rank=0, step=3),
]


def broken(expected: Training, folder: Path, kind: str) -> Training:
    """The expected training with a card that fails."""
    fault = {"type": "harness.card_faults:CardFault", "args": {"kind": kind, "step": STEP, "folder": str(folder)}}
    environ = {"PETJOB_STALL_SECONDS": str(STALL_SECONDS)}
    return replace(expected, folder=folder, hooks=[fault], environ=environ)


def told(training: Training, code: int) -> list[dict[str, Any]]:
    """What the launcher tells of failures; nothing is left behind."""
    with gang(training, 1) as made:
        codes = made.wait()
        print(made.output)
        assert codes == [code]
        assert left_behind(*made.messages) == []
        return made.hear()


@pytest.mark.parametrize("case", CASES, ids=str)
def test_an_interrupted_training_goes_on_bit_for_bit(
    case: Case, tmp_path: Path, data: Path, expected: Training
) -> None:
    check(case, tmp_path / "training", data, expected)


def test_numbers_that_are_not_finite_are_gone_back_from(tmp_path: Path, expected: Training) -> None:
    poison = {"type": "harness.faults:Poison", "args": {"step": 13, "folder": str(tmp_path)}}
    training = replace(expected, folder=tmp_path / "training", hooks=[poison])
    code, output = training.run()
    assert code == 0, output
    assert "rank 0 ends: NumericGuard: NonFiniteLoss: loss 'cls_loss' is nan at iteration 14" in output
    check_end(training, expected)
    for file in training.checkpoints.glob("model_*.pth"):
        assert all(value.isfinite().all() for value in torch.load(file, weights_only=True)["model"].values()), file


@pytest.mark.usefixtures("card")
def test_a_card_without_memory_ends_the_training_with_its_numbers(tmp_path: Path, expected: Training) -> None:
    training = broken(expected, tmp_path / "training", "memory")
    code, output = training.run()
    assert code == 1, output
    message = training.termination
    assert (message["class"], message["type"], message["rank"]) == ("AppError", "OutOfMemoryError", 0), message
    assert message["iteration"] == STEP - 1
    assert f"in iteration {STEP} with a batch of [12, 1, 28, 28], after a peak of" in message["message"]
    assert "after a peak of 0 MiB" not in message["message"]
    assert "lower TRAIN.BATCH_SIZE" in message["message"]
    assert "torch says: CUDA out of memory" in message["message"]
    assert message["spent"]["reason"] == "Deterministic"
    snapshot = pickle.loads((training.checkpoints / "log" / f"memory_iter{STEP}_rank0.pickle").read_bytes())
    assert sum(segment["allocated_size"] for segment in snapshot["segments"]) > 0
    # Once more from the newest checkpoint; what happens again at the same place would happen for ever.
    assert training.steps_done == [*range(1, STEP), *range(21, STEP)]


@pytest.mark.usefixtures("card")
def test_an_assertion_of_a_kernel_is_told_and_got_over(tmp_path: Path, expected: Training) -> None:
    training = broken(expected, tmp_path / "training", "assertion")
    (failure,) = told(training, 0)
    assert (failure["class"], failure["rank"], failure["exitCode"]) == ("AppError", 0, 1), failure
    assert "device-side assert" in failure["message"]
    assert STEP - 1 <= failure["iteration"] <= SHOWS
    check_end(training, expected)
    assert not list(training.checkpoints.glob("model_error*")), "of a broken card nothing is to be had"


@pytest.mark.usefixtures("card")
def test_a_kernel_that_does_not_end_is_a_hang_with_section_and_stacks(tmp_path: Path, expected: Training) -> None:
    training = broken(expected, tmp_path / "training", "kernel")
    (failure,) = told(training, 0)
    print(failure)
    assert (failure["class"], failure["rank"], failure["exitCode"]) == ("Hang", 0, 76), failure
    limit = f"silent for {STALL_SECONDS} s, the limit is {STALL_SECONDS} s"
    # The host waits at the end of the window, or for page-locked memory before.
    assert re.match(rf"{limit}, in (step|data) after iteration", failure["message"]), failure["message"]
    assert STEP - 1 <= failure["iteration"] <= SHOWS
    main_thread = failure["traceback"].rpartition("Main thread")[2]
    assert re.search(r'File ".+", line \d+, in \w+$', main_thread.rstrip()), main_thread
    check_end(training, expected)
