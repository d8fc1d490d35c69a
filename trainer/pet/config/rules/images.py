"""Channels and sizes of images, and the network's that takes them."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from pet.config.errors import Problem
from pet.config.known import Known


def scales(cfg: Known) -> Iterator[Problem]:
    """The analyser counts at the first of them, whether or not images are resized."""
    if not cfg.TRAIN.RESIZE.SCALES:
        yield Problem("TRAIN.RESIZE.SCALES", "is empty; give at least one size in pixels, for example [224]")


def statistics(cfg: Known) -> Iterator[Problem]:
    """Mean and standard deviation belong to the same channels."""
    mean, std = cfg.DATA.PIXEL_MEAN, cfg.DATA.PIXEL_STD
    if len(mean) != len(std):
        yield Problem("DATA.PIXEL_STD", f"has {len(std)} entries and DATA.PIXEL_MEAN {len(mean)}; give one per channel")


def divisor(cfg: Known) -> Iterator[Problem]:
    """Nothing is divided by zero."""
    std = cfg.DATA.PIXEL_STD
    if any(value <= 0 for value in std):
        yield Problem("DATA.PIXEL_STD", f"{std} divides the image: every entry must be above 0")


def channels(cfg: Known) -> Iterator[Problem]:
    """Of classification: the network's input has the image's channels."""
    if cfg.schema.script == "cls" and len(cfg.DATA.PIXEL_MEAN) != cfg.MODEL.IN_CHANNELS:
        yield Problem(
            "DATA.PIXEL_MEAN",
            f"has {len(cfg.DATA.PIXEL_MEAN)} entries for MODEL.IN_CHANNELS"
            f" {cfg.MODEL.IN_CHANNELS}; give one per channel",
        )


def stages(cfg: Known) -> Iterator[Problem]:
    """Of classification: each stage of the slim network has a width and a number of blocks."""
    if cfg.schema.script != "cls":
        return
    widths, blocks = cfg.MODEL.SLIM_RESNET.WIDTHS, cfg.MODEL.SLIM_RESNET.BLOCKS
    if len(widths) != len(blocks) or not widths:
        yield Problem(
            "MODEL.SLIM_RESNET.BLOCKS",
            f"has {len(blocks)} stages and WIDTHS {len(widths)}; give the same number, at least one",
        )


def crops(cfg: Known) -> Iterator[Problem]:
    """Of classification: all images of a batch have the same size."""
    if cfg.schema.script != "cls" or "random_crop" not in cfg.TRAIN.TRANSFORMS:
        return
    sizes = cfg.TRAIN.RANDOM_CROP.CROP_SCALES
    if len(sizes) != 1:
        yield Problem(
            "TRAIN.RANDOM_CROP.CROP_SCALES",
            f"{sizes} must be a single (height, width) here: all images of a batch have the same size",
        )


def sampling(cfg: Known) -> Iterator[Problem]:
    """Of classification: sizes are drawn from SCALES."""
    if cfg.schema.script != "cls" or "resize" not in cfg.TRAIN.TRANSFORMS:
        return
    if cfg.TRAIN.RESIZE.SCALES_SAMPLING == "scale_factor":
        yield Problem("TRAIN.RESIZE.SCALES_SAMPLING", "'scale_factor' is for detection; give 'choice' or 'range'")


def longest_side(split: str, cfg: Known) -> Iterator[Problem]:
    """Of classification: an image's longer side is no shorter than its shorter one."""
    section = getattr(cfg, split)
    if cfg.schema.script != "cls" or "resize" not in section.TRANSFORMS:
        return
    shortest = max((*cfg.TRAIN.RESIZE.SCALES, 0)) if split == "TRAIN" else section.RESIZE.SCALE
    if shortest >= section.RESIZE.MAX_SIZE:
        yield Problem(
            f"{split}.RESIZE.MAX_SIZE",
            f"{section.RESIZE.MAX_SIZE} must be more than the shorter side, {shortest}",
        )


RULES = (
    scales,
    statistics,
    divisor,
    stages,
    channels,
    crops,
    sampling,
    partial(longest_side, "TRAIN"),
    partial(longest_side, "TEST"),
)
