"""Images of any training: their channels and sizes."""

from __future__ import annotations

from collections.abc import Iterator

from pet.config.errors import JobWarning, Problem
from pet.config.known import Known


def scales(cfg: Known) -> Iterator[Problem]:
    """The analyser counts at the first of them, whether or not images are resized."""
    if not cfg.TRAIN.RESIZE.SCALES:
        yield Problem("TRAIN.RESIZE.SCALES", "is empty; give at least one size in pixels, for example [224]")


def statistics(cfg: Known) -> Iterator[Problem]:
    """Mean and standard deviation belong to the same channels; in classification, to those of the network's input."""
    mean, std = cfg.DATA.PIXEL_MEAN, cfg.DATA.PIXEL_STD
    if cfg.schema.script == "cls":
        channels, whose = cfg.MODEL.IN_CHANNELS, "MODEL.IN_CHANNELS is"
    else:
        channels, whose = len(mean), "DATA.PIXEL_MEAN has"
    for name, values in (("DATA.PIXEL_MEAN", mean), ("DATA.PIXEL_STD", std)):
        if len(values) != channels:
            yield Problem(name, f"has {len(values)} entries and {whose} {channels}; give one per channel")


def divisor(cfg: Known) -> Iterator[Problem]:
    """Nothing is divided by zero."""
    std = cfg.DATA.PIXEL_STD
    if any(value <= 0 for value in std):
        yield Problem("DATA.PIXEL_STD", f"{std} divides the image: every entry must be above 0")


def scale_of_statistics(cfg: Known) -> Iterator[JobWarning]:
    """Statistics are given in the images' own scale."""
    mean, order = cfg.DATA.PIXEL_MEAN, cfg.DATA.FORMAT.IMAGE
    if not order.endswith("255") and any(value > 1 for value in mean):
        message = f"{mean} is of pixels from 0 to 255, and DATA.FORMAT.IMAGE {order} has them from 0 to 1"
        yield JobWarning("ScaleOfPixels", "DATA.PIXEL_MEAN", f"{message}; divide it by 255, or give {order}255")


RULES = (scales, statistics, divisor)
WARNINGS = (scale_of_statistics,)
