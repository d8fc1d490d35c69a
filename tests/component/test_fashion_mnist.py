"""The promise on real data: one epoch of Fashion-MNIST on two ranks, with nothing but the sample's own keys."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
import torch
from harness.training import CFG, Training, differences

TIMEOUT = 1500  # seconds; about 100 on two quiet cores
STEPS = 60_000 // 128  # the last, smaller batch of an epoch is dropped


class OwnKeys(Training):
    """The configuration as it is."""

    def arguments(self) -> list[str]:
        return [sys.executable, "-u", "trainer/tools/train_net_all.py", "--cfg", CFG, "--nproc", str(self.ranks),
                "MISC.CKPT", str(self.checkpoints)]  # fmt: skip


@pytest.mark.timeout(TIMEOUT + 100)
def test_one_epoch_reaches_the_promised_accuracy(tmp_path: Path, fashion_mnist: Path) -> None:
    training = OwnKeys(tmp_path, fashion_mnist, ranks=2, steps=STEPS)
    process = training.start()
    try:
        output, _ = process.communicate(timeout=TIMEOUT)
    finally:
        process.kill()
    assert process.returncode == 0, output

    last_word = training.termination
    assert (last_word["class"], last_word["iteration"], last_word["savedIteration"]) == ("Succeeded", STEPS, STEPS)
    accuracy = last_word["metrics"]
    assert accuracy["top1"] >= 0.89
    assert accuracy["top1"] < accuracy["top5"] <= 1
    assert f"Evaluation on fashion_mnist_test at iteration {STEPS}: top1: {accuracy['top1']:.4f}" in output

    records = [json.loads(line) for line in (training.checkpoints / "metrics.json").read_text().splitlines()]
    assert records[-1]["iteration"] == STEPS
    assert records[-1]["total_loss"] < 0.5 < records[0]["total_loss"]

    final = torch.load(training.checkpoints / "model_epoch1.pth", weights_only=True)["model"]
    best = torch.load(training.checkpoints / f"model_epoch1-{100 * accuracy['top1']:4.2f}.pth", weights_only=True)
    assert differences(final, best["model"]) == []
    assert all(torch.isfinite(weight).all() for weight in final.values())
