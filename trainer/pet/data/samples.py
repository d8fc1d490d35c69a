"""Labelled images by number, the same for every format on disk: what the tasks' data sets are made of."""

from __future__ import annotations

from typing import Protocol

from torch import Tensor

from pet.data.catalogue import DatasetEntry, Format
from pet.data.cifar import read_cifar
from pet.data.idx import read_idx
from pet.data.image_folder import list_images, read_image


class Samples(Protocol):
    """A sequence of labelled images; `num_classes` bounds the labels."""

    num_classes: int

    def __len__(self) -> int: ...

    def image(self, number: int) -> Tensor:
        """uint8 [C, H, W]: RGB, or one channel for grey data sets. Not to be changed in place."""

    def label(self, number: int) -> int: ...

    def where(self, number: int) -> str:
        """The file that the sample comes from, for messages."""


class ArraySamples:
    """A data set small enough to be held in memory: images uint8 [N, C, H, W], one label each."""

    def __init__(self, images: Tensor, labels: list[int], num_classes: int, where: str) -> None:
        self.num_classes = num_classes
        self._images, self._labels, self._where = images, labels, where

    def __len__(self) -> int:
        return len(self._labels)

    def image(self, number: int) -> Tensor:
        return self._images[number]

    def label(self, number: int) -> int:
        return self._labels[number]

    def where(self, number: int) -> str:
        return self._where


class FileSamples:
    """One image file per sample, decoded when it is asked for."""

    def __init__(self, items: list[tuple[str, int]], num_classes: int) -> None:
        self.num_classes = num_classes
        self._items = items

    def __len__(self) -> int:
        return len(self._items)

    def image(self, number: int) -> Tensor:
        return read_image(self._items[number][0])

    def label(self, number: int) -> int:
        return self._items[number][1]

    def where(self, number: int) -> str:
        return self._items[number][0]


def open_samples(entry: DatasetEntry) -> Samples:
    """Open a catalogue entry. Raises ConfigError under the entry's key if its files are damaged or do not fit."""
    if entry.format is Format.IMAGE_FOLDER:
        return FileSamples(*list_images(entry))
    try:
        if entry.format is Format.CIFAR:
            images, labels = read_cifar(entry.files)
        else:
            images, labels = _read_mnist(entry)
    except ValueError as error:
        raise entry.error(str(error)) from error
    _check_labels(entry, labels)
    return ArraySamples(images, labels, entry.num_classes, str(entry.files[0]))


def _check_labels(entry: DatasetEntry, labels: list[int]) -> None:
    if not labels:
        raise entry.error(f"{entry.files[0]} holds no samples")
    wrong = sorted(label for label in set(labels) if not 0 <= label < entry.num_classes)
    if wrong:
        raise entry.error(f"labels must be 0 to {entry.num_classes - 1}; {entry.files[-1]} holds {wrong[0]}")


def _read_mnist(entry: DatasetEntry) -> tuple[Tensor, list[int]]:
    images, labels = (read_idx(path) for path in entry.files)
    if images.dim() != 3 or labels.dim() != 1 or len(images) != len(labels):
        shapes = " and ".join("x".join(map(str, part.shape)) for part in (images, labels))
        raise ValueError(
            f"{entry.files[0]} and {entry.files[1].name} hold {shapes} values instead of N images "
            "[N, H, W] and N labels"
        )
    return images.unsqueeze(1), labels.tolist()
