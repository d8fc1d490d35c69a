from __future__ import annotations

import pytest
import torch
from harness.datasets import noise
from torch import Tensor

from pet.models.normalization import PixelNormalizer

IMAGES = noise(2, 3, 4, 5)


def by_hand(images: Tensor, mean: tuple[float, ...], std: tuple[float, ...]) -> Tensor:
    channels = [(images[:, c] - m) / s for c, (m, s) in enumerate(zip(mean, std, strict=True))]
    return torch.stack(channels, 1)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
@pytest.mark.parametrize("channels_last", [False, True])
def test_rgb_from_0_to_1(dtype: torch.dtype, channels_last: bool) -> None:
    mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    result = PixelNormalizer(mean, std, "rgb", channels_last)(IMAGES.to(dtype))
    assert result.dtype == torch.float32
    assert torch.allclose(result, by_hand(IMAGES / 255, mean, std), atol=1e-5)
    assert result.is_contiguous(memory_format=torch.channels_last if channels_last else torch.contiguous_format)


def test_bgr_from_0_to_255() -> None:
    mean, std = (103.0, 116.0, 123.0), (1.0, 2.0, 3.0)
    result = PixelNormalizer(mean, std, "bgr255")(IMAGES)
    assert torch.allclose(result, by_hand(IMAGES.float()[:, [2, 1, 0]], mean, std), atol=1e-4)


@pytest.mark.parametrize(("image_format", "highest"), [("rgb", 255), ("bgr", 255), ("rgb255", 1), ("bgr255", 1)])
def test_one_channel_has_only_a_scale(image_format: str, highest: int) -> None:
    result = PixelNormalizer((0.5,), (0.25,), image_format)(IMAGES[:, :1])
    assert torch.allclose(result, (IMAGES[:, :1] / highest - 0.5) / 0.25, atol=1e-3)


def test_the_constants_are_the_configurations_not_the_checkpoints() -> None:
    assert PixelNormalizer((0.5,), (0.25,), "rgb").state_dict() == {}


def test_the_images_stay_as_they_are() -> None:
    images = IMAGES.float()
    PixelNormalizer((0.0,) * 3, (1.0,) * 3, "bgr", channels_last=True)(images)
    assert torch.equal(images, IMAGES.float())


def test_one_channel_lies_channels_last_when_asked_for() -> None:
    """A one-channel tensor counts as contiguous in both layouts, and convolutions go by its strides."""
    result = PixelNormalizer((0.5,), (0.25,), "rgb", channels_last=True)(IMAGES[:, :1])
    convolved = torch.nn.functional.conv2d(result, torch.ones(8, 1, 3, 3))
    assert convolved.is_contiguous(memory_format=torch.channels_last)
    assert not convolved.is_contiguous()
