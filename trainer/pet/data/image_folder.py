"""Image folders: one folder per class below each split, or the numbers that a `label_mapping.txt` gives the folders."""

from __future__ import annotations

from pathlib import Path

import torch
from PIL import Image
from torch import Tensor
from torchvision.datasets.folder import IMG_EXTENSIONS, find_classes, make_dataset
from torchvision.transforms.v2.functional import pil_to_tensor, to_dtype

from pet.data.catalogue import DatasetEntry

MAPPING = "label_mapping.txt"


def list_images(entry: DatasetEntry) -> tuple[list[tuple[str, int]], int]:
    """Every image file of the split with its label, ordered by folder and file name; and the number of classes.

    Raises ConfigError for a split without images, and for class folders that have no label.
    """
    labels = _labels(entry)
    folder = entry.folder / entry.split
    unknown = sorted(set(_class_folders(entry, folder)) - set(labels))
    if unknown:
        where = MAPPING if (entry.folder / MAPPING).is_file() else entry.folder / "train"
        raise entry.error(f"{folder} has the class folders {', '.join(unknown[:5])}, which {where} lacks")
    items = make_dataset(str(folder), labels, extensions=IMG_EXTENSIONS, allow_empty=True)
    if not items:
        raise entry.error(f"no image file in {folder}/<class>; read are {', '.join(IMG_EXTENSIONS)}")
    return items, max(labels.values()) + 1


def read_image(path: str) -> Tensor:
    """Decode one file to RGB, uint8 [3, H, W]; values of 16 bits are scaled to 8.

    Raises OSError or ValueError if the file is damaged, missing, or of another kind.
    """
    with Image.open(path) as image:
        pixels = pil_to_tensor(_eight_bits_or_sixteen(image))
    eight_bits: Tensor = to_dtype(pixels, torch.uint8, scale=True)
    return eight_bits.expand(3, -1, -1)


def _eight_bits_or_sixteen(image: Image.Image) -> Image.Image:
    """Pillow's own conversion to RGB would cut wider values off at 255."""
    if image.mode == "I;16":
        return image
    if image.mode[0] in "IF":
        raise ValueError(f"its pixels are numbers without a known largest one (mode {image.mode}): save it with 8 bits")
    return image.convert("RGB")


def _labels(entry: DatasetEntry) -> dict[str, int]:
    """Folder name → label. Without a mapping the training split numbers the classes for every split, so that a
    validation split which lacks a class does not shift the others."""
    mapping = entry.folder / MAPPING
    if mapping.is_file():
        return _read_mapping(entry, mapping)
    train = entry.folder / "train"
    source = train if train.is_dir() else entry.folder / entry.split
    return {name: label for label, name in enumerate(_class_folders(entry, source))}


def _class_folders(entry: DatasetEntry, folder: Path) -> list[str]:
    try:
        classes: list[str] = find_classes(str(folder))[0]
    except FileNotFoundError:
        classes = []
    classes = [name for name in classes if not name.startswith(".")]  # what notebooks and file managers leave
    if not classes:
        raise entry.error(f"{folder} has no class folders; expected {folder}/<class>/<image files>")
    return classes


def _read_mapping(entry: DatasetEntry, path: Path) -> dict[str, int]:
    """Lines `<folder> <label> [any text]`; empty lines and lines that start with # are left out."""
    labels: dict[str, int] = {}
    for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), start=1):
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        if len(words) < 2 or not words[1].isdecimal():
            raise entry.error(f"{path}, line {number}: {line!r} is not `<folder> <label from 0> [text]`")
        if words[0] in labels:
            raise entry.error(f"{path}, line {number}: folder {words[0]!r} has a label already")
        labels[words[0]] = int(words[1])
    missing = set(range(max(labels.values(), default=-1) + 1)) - set(labels.values())
    if missing or not labels:
        raise entry.error(f"{path}: labels must be 0, 1, 2, … without gaps; {min(missing, default=0)} is missing")
    return labels
