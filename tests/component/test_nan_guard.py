"""A step that spoils the weights: the launcher starts its ranks again, and they go on from before it."""

from __future__ import annotations

from pathlib import Path

import torch
from harness.interruptions import check_end
from harness.stores import hidden
from harness.training import Training


def test_ranks_that_were_spoiled_once_end_bit_for_bit_where_they_would_have(
    tmp_path: Path, fashion_mnist: Path, uninterrupted: dict[int, Training]
) -> None:
    expected = uninterrupted[2]
    training = Training(tmp_path / "training", fashion_mnist, ranks=2, steps=expected.steps, period=expected.period)
    poison = {"type": "harness.faults:Poison", "args": {"step": 13, "folder": str(training.folder)}}
    training.hooks = [poison]
    code, output = training.run()
    assert code == 0, output
    assert "rank 0 ends: NumericGuard: NonFiniteLoss: loss 'cls_loss' is nan at iteration 14" in output
    # Found where the next window ends; of the steps since the newest checkpoint before, each is done again.
    assert training.steps_done == [*range(1, 16), *range(11, expected.steps + 1)]
    check_end(training, expected)
    assert not hidden(training.checkpoints, "rolledback")
    for file in training.checkpoints.glob("model_*.pth"):
        assert all(value.isfinite().all() for value in torch.load(file, weights_only=True)["model"].values()), file
