"""What classification asks for beyond the rules of every training: images of one size, a network with its stages."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from pet.config.errors import Problem
from pet.config.known import Known


def stages(cfg: Known) -> Iterator[Problem]:
    """Each stage of the slim network has a width and a number of blocks."""
    widths, blocks = cfg.MODEL.SLIM_RESNET.WIDTHS, cfg.MODEL.SLIM_RESNET.BLOCKS
    if len(widths) != len(blocks) or not widths:
        yield Problem(
            "MODEL.SLIM_RESNET.BLOCKS",
            f"has {len(blocks)} stages and WIDTHS {len(widths)}; give the same number, at least one",
        )


def crops(cfg: Known) -> Iterator[Problem]:
    """All images of a batch have the same size."""
    if "random_crop" in cfg.TRAIN.TRANSFORMS and len(sizes := cfg.TRAIN.RANDOM_CROP.CROP_SCALES) != 1:
        yield Problem(
            "TRAIN.RANDOM_CROP.CROP_SCALES",
            f"{sizes} must be a single (height, width) here: all images of a batch have the same size",
        )


def sampling(cfg: Known) -> Iterator[Problem]:
    """Sizes are drawn from SCALES."""
    if "resize" in cfg.TRAIN.TRANSFORMS and cfg.TRAIN.RESIZE.SCALES_SAMPLING == "scale_factor":
        yield Problem("TRAIN.RESIZE.SCALES_SAMPLING", "'scale_factor' is for detection; give 'choice' or 'range'")


def longest_side(split: str, cfg: Known) -> Iterator[Problem]:
    """An image's longer side is longer than its shorter one."""
    section = getattr(cfg, split)
    if "resize" not in section.TRANSFORMS:
        return
    shorter = max((*section.RESIZE.SCALES, 0)) if split == "TRAIN" else section.RESIZE.SCALE
    longer = section.RESIZE.MAX_SIZE
    if longer <= shorter:
        yield Problem(f"{split}.RESIZE.MAX_SIZE", f"{longer} must be more than the shorter side, {shorter}")


def crop_ranges(cfg: Known) -> Iterator[Problem]:
    """Areas and shapes of crops are drawn from the lowest to the highest, and no crop is empty."""
    if "random_resized_crop" not in cfg.TRAIN.TRANSFORMS:
        return
    for name in ("TRAIN.RANDOM_RESIZED_CROP.SCALE", "TRAIN.RANDOM_RESIZED_CROP.RATIO"):
        lowest, highest = cfg.at(name)
        if not 0 < lowest <= highest:
            message = f"({lowest:g}, {highest:g}) must be two numbers above 0, the lower one first"
            yield Problem(name, f"{message}, for example {cfg.schema.keys[name].default}")


RULES = (stages, crops, crop_ranges, sampling, partial(longest_side, "TRAIN"), partial(longest_side, "TEST"))
