"""The data sets of a classification job: samples by global index, transformed, still uint8."""

from __future__ import annotations

import os
from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate

from torch import Tensor
from torch.utils.data import Dataset
from torchvision.transforms.v2 import functional

from pet.config import Config, ConfigError, JobEnvironment, Problem
from pet.data.catalogue import DatasetEntry, Format, resolve
from pet.data.errors import SampleError
from pet.data.samples import Samples, open_samples
from pet.tasks.cls.batch import Sample
from pet.tasks.cls.transforms import Transform, build_test_transform, build_train_transform

_TYPES = {Format.IDX: "mnist_dataset", Format.CIFAR: "cifar_dataset", Format.IMAGE_FOLDER: "image_folder_dataset"}


class ClassificationDataset(Dataset[Sample]):
    """One or more sets of samples, one after the other, as (image uint8 [channels, H, W], label, index).

    Grey images become three equal channels, colour images one of luminance, whichever `channels` asks for.
    """

    def __init__(self, parts: Sequence[Samples], transform: Transform, channels: int, name: str) -> None:
        self.name = name
        self.num_classes = max(part.num_classes for part in parts)
        self._parts, self._transform, self._channels = parts, transform, channels
        self._ends = list(accumulate(len(part) for part in parts))

    def __len__(self) -> int:
        return self._ends[-1]

    def __getitem__(self, index: int) -> Sample:
        """Raises SampleError, which names the index and the file, if the sample cannot be read or transformed."""
        place = bisect_right(self._ends, index)
        part = self._parts[place]
        number = index - (self._ends[place - 1] if place else 0)
        try:
            return self._transform(self._with_channels(part.image(number))), part.label(number), index
        except Exception as error:  # decoders and transforms raise what they like
            raise SampleError(f"sample {index} of {self.name}, {part.where(number)}: {error}") from error

    def _with_channels(self, image: Tensor) -> Tensor:
        if image.shape[0] == self._channels:
            return image
        if self._channels == 3:
            return image.expand(3, -1, -1)
        grey: Tensor = functional.rgb_to_grayscale(image)
        return grey


def build_dataset(cfg: Config, is_train: bool) -> ClassificationDataset:
    """The data sets of TRAIN.DATASETS or TEST.DATASETS below PETJOB_DATA_DIR, with their transforms.

    Raises ConfigError with every data set that is missing, damaged, of another type than DATA.DATASET_TYPE, or whose
    classes are not those of MODEL.NUM_CLASSES.
    """
    key = "TRAIN.DATASETS" if is_train else "TEST.DATASETS"
    names: Sequence[str] = cfg.TRAIN.DATASETS if is_train else cfg.TEST.DATASETS
    problems: list[Problem] = []
    parts: list[Samples] = []
    root = JobEnvironment.from_environ(os.environ).data_dir
    for name in names:
        try:
            entry = resolve(name, root, key)
            _check_type(entry, cfg.DATA.DATASET_TYPE)
            parts.append(open_samples(entry))
        except ConfigError as error:
            problems += error.problems
    if not names:
        problems.append(Problem(key, "names no data set: give at least one, for example ('fashion_mnist_train',)"))
    if problems:
        raise ConfigError(problems)
    transform = build_train_transform(cfg) if is_train else build_test_transform(cfg)
    dataset = ClassificationDataset(parts, transform, cfg.MODEL.IN_CHANNELS, " + ".join(names))
    _check_classes(dataset, cfg.MODEL.NUM_CLASSES, is_train)
    return dataset


def _check_type(entry: DatasetEntry, dataset_type: str) -> None:
    if _TYPES[entry.format] != dataset_type:
        raise ConfigError.of(
            "DATA.DATASET_TYPE",
            f"{dataset_type!r}, but {entry.name!r} of {entry.key} is a set of "
            f"{entry.format.value}s: write {_TYPES[entry.format]!r}",
        )


def _check_classes(dataset: ClassificationDataset, num_classes: int, is_train: bool) -> None:
    """A test set may lack classes; a training set that does is a mistake in the number."""
    if dataset.num_classes > num_classes or (is_train and dataset.num_classes != num_classes):
        raise ConfigError.of("MODEL.NUM_CLASSES", f"{num_classes}, but {dataset.name} has {dataset.num_classes}")
