"""MISC.DETERMINISTIC on a card: a real network trains to the same bits in another process."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from harness.card import DEVICE
from harness.datasets import noise
from harness.exact_rank import digest
from harness.ranks import run_ranks
from harness.toy import short_toy

from pet.tasks.cls.model import GeneralizedCNN

STEPS, CLASSES, SIZE = 8, 10, 96
# torch's stem pools, and its bottleneck has the kernels that differ most between layouts.
KEYS = (
    "MISC.DEVICE", DEVICE, "MISC.DETERMINISTIC", True, "MODEL.BACKBONE", "resnet50", "MODEL.NUM_CLASSES", CLASSES,
    "TRAIN.BATCH_SIZE", 16,
)  # fmt: skip
LAYOUTS: dict[str, tuple[Any, ...]] = {
    "fp32": (),
    "fp32-channels-last": ("MISC.CHANNELS_LAST", True),
    "bf16-channels-last": ("MISC.CHANNELS_LAST", True, "SOLVER.AMP.ENABLED", True),
}


class Images(torch.utils.data.Dataset[Any]):
    """Noise [3, SIZE, SIZE] with a label and its index."""

    def __init__(self) -> None:
        self.images = noise(64, 3, SIZE, SIZE)

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int, int]:
        return self.images[index], index % CLASSES, index


def _trained(folder: str, keys: tuple[Any, ...]) -> str:
    training = short_toy(Path(folder), STEPS, *KEYS, *keys, save=False, data=Images())
    training.model = lambda: GeneralizedCNN(training.cfg)
    return digest(dict(training.run().model.state_dict()))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_two_trainings_end_in_the_same_bits(layout: str, tmp_path: Path) -> None:
    runs = [run_ranks(_trained, 1, str(tmp_path / str(number)), LAYOUTS[layout]) for number in range(2)]
    assert runs[0] == runs[1]
