"""From the names in `TRAIN.TRANSFORMS` and `TEST.TRANSFORMS` to torchvision transforms of uint8 tensors [C, H, W]."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional

from pet.config import Config

Transform = Callable[[Tensor], Tensor]


class ResizeShorterSide(nn.Module):
    """Scale the image so that its shorter side is one of `scales`, drawn for each image, or anything between the least
    and the largest of them with `by_range`; the longer side is at most `max_size`."""

    def __init__(self, scales: Sequence[int], max_size: int, by_range: bool = False) -> None:
        super().__init__()
        self.scales, self.max_size, self.by_range = scales, max_size, by_range

    def forward(self, image: Tensor) -> Tensor:
        scale = self.scales[0]
        if self.by_range:
            scale = int(torch.randint(min(self.scales), max(self.scales) + 1, ()))
        elif len(self.scales) > 1:
            scale = self.scales[int(torch.randint(len(self.scales), ()))]
        resized: Tensor = functional.resize(image, [scale], max_size=self.max_size, antialias=True)
        return resized


def build_train_transform(cfg: Config) -> Transform:
    """TRAIN.TRANSFORMS in their order."""
    keys, crop, jitter = cfg.TRAIN, cfg.TRAIN.RANDOM_RESIZED_CROP, cfg.TRAIN.COLOR_JITTER
    by_range = keys.RESIZE.SCALES_SAMPLING == "range"
    return _compose(keys.TRANSFORMS, {
        "resize": lambda: ResizeShorterSide(keys.RESIZE.SCALES, keys.RESIZE.MAX_SIZE, by_range),
        "center_crop": lambda: v2.CenterCrop(keys.CENTER_CROP.CROP_SCALES),
        "random_crop": lambda: v2.RandomCrop(keys.RANDOM_CROP.CROP_SCALES[0], padding=keys.RANDOM_CROP.BORDER or None),
        "random_resized_crop": lambda: v2.RandomResizedCrop(crop.SIZE, crop.SCALE, crop.RATIO, antialias=True),
        "horizontal_flip": lambda: v2.RandomHorizontalFlip(0.5),
        "color_jitter": lambda: v2.ColorJitter(jitter.BRIGHTNESS, jitter.CONTRAST, jitter.SATURATION, jitter.HUE),
        "auto_aug": lambda: v2.AutoAugment(v2.AutoAugmentPolicy(keys.AUTO_AUG.POLICY)),
    })  # fmt: skip


def build_test_transform(cfg: Config) -> Transform:
    """TEST.TRANSFORMS in their order."""
    keys = cfg.TEST
    return _compose(keys.TRANSFORMS, {
        "resize": lambda: ResizeShorterSide((keys.RESIZE.SCALE,), keys.RESIZE.MAX_SIZE),
        "center_crop": lambda: v2.CenterCrop(keys.CENTER_CROP.CROP_SCALES),
    })  # fmt: skip


def _compose(names: Sequence[str], builders: Mapping[str, Callable[[], nn.Module]]) -> Transform:
    return nn.Sequential(*(builders[name]() for name in names))
