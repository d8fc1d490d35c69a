"""From a name in `TRAIN.DATASETS` or `TEST.DATASETS` to files on disk. Needs no torch, so every tool can ask it.

<root>/FashionMNIST, <root>/MNIST      idx files, gzipped or not, there or in `raw/`
<root>/CIFAR10, <root>/CIFAR100        the published Python batches, there or in the folder of their archive
<root>/<NAME>/{train,val,test}/<class>/*    image folders, with an optional <root>/<NAME>/label_mapping.txt
"""

from __future__ import annotations

import difflib
import shlex
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from pet.config.errors import ConfigError
from pet.config.rules.data import SPLITS

IMAGE_FOLDERS = {"imagenet": "ImageNet"}  # names whose folder is spelt differently; any other name is its folder


class Format(Enum):
    """How the files of a data set are written."""

    IDX = "MNIST idx files"
    CIFAR = "CIFAR Python batches"
    IMAGE_FOLDER = "image folder"


@dataclass(frozen=True)
class DatasetEntry:
    """One data set that is on disk. `key` is the configuration key that named it."""

    name: str
    key: str
    format: Format
    folder: Path
    split: str
    files: tuple[Path, ...] = ()  # IDX: images, labels; CIFAR: the batches; IMAGE_FOLDER: none
    num_classes: int = 0  # IMAGE_FOLDER: 0, the folders decide
    remedy: str = ""  # where its files can be had

    def error(self, message: str) -> ConfigError:
        """The error for files that are there and cannot be used."""
        remedy = f". {self.remedy}" if self.remedy else ""
        return ConfigError.of(self.key, f"data set {self.name!r}: {message}{remedy}")


@dataclass(frozen=True)
class _FileSet:
    """A published data set of a few large files. `val` is read as `test`: these sets have no third split."""

    folder: str
    inner: tuple[str, ...]  # where below `folder` the files may lie, best first
    format: Format
    num_classes: int
    train: tuple[str, ...]
    test: tuple[str, ...]
    suffixes: tuple[str, ...] = ("",)
    fetch_name: str = ""  # what `pet data fetch` calls it, where that has it

    def remedy(self, root: Path) -> str:
        """What to do when files are missing or damaged."""
        if self.fetch_name:
            return f"To get them: pet data fetch {self.fetch_name} --data {shlex.quote(str(root))}"
        return f"Put the published files below {root / self.folder}"


def _idx_set(folder: str, fetch_name: str = "") -> _FileSet:
    return _FileSet(
        folder,
        ("", "raw"),
        Format.IDX,
        10,
        train=("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
        test=("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
        suffixes=(".gz", ""),
        fetch_name=fetch_name,
    )


_ROOT = "another folder of data sets is given by --data or PETJOB_DATA_DIR"

FILE_SETS = {
    "fashion_mnist": _idx_set("FashionMNIST", "fashion-mnist"),
    "mnist": _idx_set("MNIST"),
    "cifar10": _FileSet(
        "CIFAR10",
        ("", "cifar-10-batches-py"),
        Format.CIFAR,
        10,
        train=tuple(f"data_batch_{number}" for number in range(1, 6)),
        test=("test_batch",),
    ),
    "cifar100": _FileSet("CIFAR100", ("", "cifar-100-python"), Format.CIFAR, 100, train=("train",), test=("test",)),
}


def resolve(name: str, root: str | Path, key: str = "TRAIN.DATASETS") -> DatasetEntry:
    """Find the files of the data set `name` (`fashion_mnist_train`, `cifar10_test`, `ImageNet_val`, …) below `root`.

    Raises ConfigError under `key`, with the path that was looked for and the layout expected, if a file is missing.
    """
    base, _, split = name.rpartition("_")
    if not base or split not in SPLITS:
        raise ConfigError.of(
            key, f"data set {name!r} must be <name>_train, <name>_val or <name>_test; {_known(name, Path(root))}"
        )
    if base in FILE_SETS:
        return _resolve_files(name, FILE_SETS[base], split, Path(root), key)
    return _resolve_image_folder(name, base, split, Path(root), key)


def find_file(folder: Path, inner: tuple[str, ...], name: str, suffixes: tuple[str, ...]) -> Path | None:
    """The first existing file `folder/<inner>/name<suffix>`; None if there is none."""
    candidates = (folder / place / f"{name}{suffix}" for place in inner for suffix in suffixes)
    return next((path for path in candidates if path.is_file()), None)


def _resolve_files(name: str, files: _FileSet, split: str, root: Path, key: str) -> DatasetEntry:
    folder = root / files.folder
    wanted = files.train if split == "train" else files.test
    found = [find_file(folder, files.inner, file, files.suffixes) for file in wanted]
    missing = [file for file, path in zip(wanted, found, strict=True) if path is None]
    if missing:
        places = " or ".join(str(folder / place) for place in files.inner)
        suffixes = f" (each with or without {files.suffixes[0]})" if len(files.suffixes) > 1 else ""
        raise ConfigError.of(
            key,
            f"data set {name!r}: no {', '.join(missing)} in {places}. Expected there: the {files.format.value} "
            f"{', '.join(wanted)}{suffixes}, as published; {_ROOT}. {files.remedy(root)}",
        )
    paths = tuple(path for path in found if path is not None)
    return DatasetEntry(name, key, files.format, folder, split, paths, files.num_classes, files.remedy(root))


def _resolve_image_folder(name: str, base: str, split: str, root: Path, key: str) -> DatasetEntry:
    folder = root / IMAGE_FOLDERS.get(base, base)
    if not (folder / split).is_dir():
        raise ConfigError.of(
            key,
            f"data set {name!r}: {folder / split} is no folder. Expected layout: "
            f"{folder}/{{train,val,test}}/<class>/<image files>; {_ROOT}; {_known(base, root)}",
        )
    return DatasetEntry(name, key, Format.IMAGE_FOLDER, folder, split)


def _known(base: str, root: Path) -> str:
    folders = [path.name for path in root.iterdir() if path.is_dir()] if root.is_dir() else []
    near = difflib.get_close_matches(base, [*FILE_SETS, *folders], n=1)
    hint = f", did you mean {near[0]}?" if near else ""
    return f"known by name are {', '.join(sorted(FILE_SETS))}, any other name is an image folder{hint}"
