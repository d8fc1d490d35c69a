"""Pixel normalisation as the first layer of a model: images stay uint8 until they are on the device."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class PixelNormalizer(nn.Module):
    """RGB or grey images of 0 to 255, [N, C, H, W], to normalised float32 channels.

    `image_format` is DATA.FORMAT.IMAGE: the order and scale that `mean` and `std` are given in and the model expects.
    One-channel images have only a scale. The constants are not part of a checkpoint: they come from the configuration.

    With `channels_last` the result lies in memory as [N, H, W, C]. Convolutions then keep that layout through the whole
    network, which is faster, while the parameters, and so checkpoints, stay as they are.
    """

    scale: Tensor
    offset: Tensor

    def __init__(
        self, mean: Sequence[float], std: Sequence[float], image_format: str, channels_last: bool = False
    ) -> None:
        super().__init__()
        highest = 1.0 if image_format.endswith("255") else 255.0
        deviation = torch.tensor(std, dtype=torch.float32).view(-1, 1, 1)
        self.register_buffer("scale", 1.0 / (highest * deviation), persistent=False)
        self.register_buffer("offset", -torch.tensor(mean, dtype=torch.float32).view(-1, 1, 1) / deviation,
                             persistent=False)  # fmt: skip
        self.channels_last = channels_last
        self.reverse = image_format.startswith("bgr") and len(mean) == 3

    def forward(self, images: Tensor) -> Tensor:
        if self.channels_last:
            images = images.clone(memory_format=torch.channels_last)  # contiguous() would leave one channel as it is
        if self.reverse:
            images = images.flip(1)
        return torch.addcmul(self.offset, images, self.scale)
