"""From samples to a batch, with mixup and cutmix when the configuration asks for them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import default_collate
from torchvision.transforms import v2

from pet.config import Config

Sample = tuple[Tensor, int, int]  # image uint8 [C, H, W], label, index in the data set
Batch = tuple[Tensor, Tensor, Tensor]


def collate(samples: Sequence[Sample]) -> Batch:
    """Images [N, C, H, W], labels int64 [N], indices int64 [N]. Raises ValueError if the images differ in size."""
    sizes = {tuple(image.shape) for image, _, _ in samples}
    if len(sizes) > 1:
        some = " and ".join("x".join(map(str, size)) for size in sorted(sizes)[:2])
        raise ValueError(f"images of one batch differ in size ({some}): let the transforms end with a crop")
    images, labels, indices = default_collate(list(samples))
    return images, labels, indices


def make_collate(cfg: Config) -> Callable[[Sequence[Sample]], Batch]:
    """`collate` for training batches, followed by TRAIN.MIXUP or TRAIN.CUTMIX; with both, by one of them by lot.

    Labels then become class probabilities, float32 [N, num_classes]. Randomness is that of torch's generator.
    """
    num_classes: int = cfg.MODEL.NUM_CLASSES
    mixers: list[Any] = []
    if cfg.TRAIN.MIXUP.ALPHA > 0:
        mixup = v2.MixUp(alpha=cfg.TRAIN.MIXUP.ALPHA, num_classes=num_classes)
        # Mixed pixels are no whole numbers; the model takes floats of 0 to 255 as well.
        mixers.append(v2.Compose([v2.ToDtype(torch.float32), mixup]))
    if cfg.TRAIN.CUTMIX.ALPHA > 0:
        mixers.append(v2.CutMix(alpha=cfg.TRAIN.CUTMIX.ALPHA, num_classes=num_classes))
    if not mixers:
        return collate
    return MixingCollate(v2.RandomChoice(mixers))


class MixingCollate:
    """`collate`, then a transform of (images, labels)."""

    def __init__(self, mix: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]) -> None:
        self.mix = mix

    def __call__(self, samples: Sequence[Sample]) -> Batch:
        images, labels, indices = collate(samples)
        images, labels = self.mix(images, labels)
        return images, labels, indices
