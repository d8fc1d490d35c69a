from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
import torch
from harness.datasets import noise
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from pet.config import Config, get_base_cfg
from pet.tasks.cls.transforms import ResizeShorterSide, build_test_transform, build_train_transform


def config(*overrides: Any) -> Config:
    cfg = get_base_cfg("cls")
    cfg.merge_from_list(list(overrides))
    return cfg


def train(image: Tensor, names: tuple[str, ...], *overrides: Any) -> Tensor:
    return build_train_transform(config("TRAIN.TRANSFORMS", names, *overrides))(image)


IMAGE = noise(3, 40, 60)


@pytest.mark.parametrize(
    ("name", "shape", "overrides"),
    [
        ("resize", (3, 20, 30), ("TRAIN.RESIZE.SCALES", (20,))),
        ("center_crop", (3, 10, 12), ("TRAIN.CENTER_CROP.CROP_SCALES", (10, 12))),
        ("random_crop", (3, 24, 28), ("TRAIN.RANDOM_CROP.CROP_SCALES", ((24, 28),))),
        ("random_resized_crop", (3, 16, 18), ("TRAIN.RANDOM_RESIZED_CROP.SIZE", (16, 18))),
        ("horizontal_flip", (3, 40, 60), ()),
        ("color_jitter", (3, 40, 60), ("TRAIN.COLOR_JITTER.BRIGHTNESS", 0.5, "TRAIN.COLOR_JITTER.HUE", 0.1)),
        ("auto_aug", (3, 40, 60), ("TRAIN.AUTO_AUG.POLICY", "cifar10")),
    ],
)
def test_each_transform_keeps_bytes_and_gives_the_size_of_its_keys(
    name: str, shape: tuple[int, ...], overrides: tuple[Any, ...]
) -> None:
    before = IMAGE.clone()
    result = train(IMAGE, (name,), *overrides)
    assert (result.shape, result.dtype) == (shape, torch.uint8)
    assert torch.equal(IMAGE, before)


def test_no_transform_is_the_image_itself() -> None:
    assert torch.equal(train(IMAGE, ()), IMAGE)
    assert torch.equal(build_test_transform(config("TEST.TRANSFORMS", ()))(IMAGE), IMAGE)


def test_transforms_come_in_their_order() -> None:
    keys = ("TRAIN.RESIZE.SCALES", (20,), "TRAIN.CENTER_CROP.CROP_SCALES", (10, 10))
    assert train(IMAGE, ("resize", "center_crop"), *keys).shape == (3, 10, 10)
    assert train(IMAGE, ("center_crop", "resize"), *keys).shape == (3, 20, 20)


def test_test_images_are_resized_and_cropped_without_chance() -> None:
    cfg = config("TEST.RESIZE.SCALE", 20, "TEST.CENTER_CROP.CROP_SCALES", (16, 18))
    state = torch.get_rng_state()
    result = build_test_transform(cfg)(IMAGE)
    assert (result.shape, result.dtype) == ((3, 16, 18), torch.uint8)
    assert torch.equal(torch.get_rng_state(), state)


def test_a_flip_mirrors_about_half_of_the_images() -> None:
    image = torch.arange(6, dtype=torch.uint8).view(1, 2, 3)
    torch.manual_seed(0)
    results = [train(image, ("horizontal_flip",)) for _ in range(200)]
    flipped = sum(torch.equal(result, image.flip(2)) for result in results)
    assert flipped + sum(torch.equal(result, image) for result in results) == 200
    assert 70 <= flipped <= 130


def test_a_random_crop_pads_with_zeros_on_every_side() -> None:
    torch.manual_seed(0)
    image = torch.ones(1, 4, 4, dtype=torch.uint8)
    keys = ("TRAIN.RANDOM_CROP.CROP_SCALES", ((4, 4),), "TRAIN.RANDOM_CROP.BORDER", 1)
    sums = {int(train(image, ("random_crop",), *keys).sum()) for _ in range(200)}
    assert sums == {9, 12, 16}  # moved by one in both directions, in one, in none
    bare = train(image, ("random_crop",), *keys[:2], "TRAIN.RANDOM_CROP.BORDER", 0)
    assert torch.equal(bare, image)


def test_one_of_the_scales_is_drawn_for_each_image() -> None:
    torch.manual_seed(0)
    resize = ResizeShorterSide((10, 20, 30), max_size=1000)
    heights = Counter(resize(IMAGE).shape[1] for _ in range(60))
    assert set(heights) == {10, 20, 30}


def test_by_range_every_size_between_the_scales_is_drawn() -> None:
    torch.manual_seed(0)
    cfg = config(
        "TRAIN.TRANSFORMS", ("resize",), "TRAIN.RESIZE.SCALES", (13, 10), "TRAIN.RESIZE.SCALES_SAMPLING", "range"
    )
    transform = build_train_transform(cfg)
    assert {transform(IMAGE).shape[1] for _ in range(60)} == {10, 11, 12, 13}


@given(height=st.integers(20, 80), width=st.integers(20, 80), scale=st.integers(8, 40), extra=st.integers(1, 40))
def test_the_shorter_side_is_the_scale_unless_the_longer_one_were_too_long(
    height: int, width: int, scale: int, extra: int
) -> None:
    result = ResizeShorterSide((scale,), max_size=scale + extra)(torch.zeros(1, height, width, dtype=torch.uint8))
    shorter, longer = sorted(result.shape[1:])
    assert longer <= scale + extra
    if longer < scale + extra:
        assert shorter == scale
    assert shorter / longer == pytest.approx(min(height, width) / max(height, width), abs=1 / longer + 1e-9)


def test_a_resize_smooths_before_it_drops_pixels() -> None:
    board = torch.zeros(1, 64, 64, dtype=torch.uint8)
    board[:, ::2, ::2] = board[:, 1::2, 1::2] = 255
    assert (ResizeShorterSide((16,), max_size=100)(board).int() - 128).abs().max() <= 2
