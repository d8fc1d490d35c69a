"""Data sets and their names."""

from __future__ import annotations

from collections.abc import Iterator

from pet.config.errors import JobWarning, Problem
from pet.config.known import Known

SPLITS = ("train", "val", "test")  # what the name of a data set ends with


def train_set(cfg: Known) -> Iterator[Problem]:
    """A training needs data."""
    if not cfg.TRAIN.DATASETS:
        yield Problem("TRAIN.DATASETS", "names no data set; give at least one, for example [fashion_mnist_train]")


def names(cfg: Known) -> Iterator[Problem]:
    """A data set is looked for below the root of all data sets, nowhere else."""
    for key, sets in (("TRAIN.DATASETS", cfg.TRAIN.DATASETS), ("TEST.DATASETS", cfg.TEST.DATASETS)):
        for name in sets:
            if name.startswith("/") or ".." in name.split("/"):
                yield Problem(
                    key, f"{name!r} leads out of the folder of all data sets; give a name, for example imagenet_train"
                )


def trains_on_test_data(cfg: Known) -> Iterator[JobWarning]:
    """By its name alone: what is in it is the user's business."""
    for name in cfg.TRAIN.DATASETS:
        if name.endswith("_test"):
            better = f"{name.removesuffix('_test')}_train"
            message = f"{name!r} is test data by its name, so nothing would judge the model; did you mean {better}?"
            yield JobWarning("TrainsOnTestData", "TRAIN.DATASETS", message)


RULES = (train_set, names)
WARNINGS = (trains_on_test_data,)
