"""How many images a second the classification loader gives, beside others that read the same files.

All end with a batch as a backbone takes it: decoded, cropped to 224 x 224 at random, mirrored, normalised floats. The
reference is torchvision's way to train ImageNet: Pillow decodes, crops and mirrors, each image becomes normalised
floats in the worker. The plain loader is torch's on our own data set: what ours adds is order and seeds of samples.
"""

from __future__ import annotations

import argparse
import os
import random
import resource
import statistics
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from bench_conditions import conditions
from harness.memory import memory_folder
from PIL import Image
from torch.utils.data import DataLoader, RandomSampler
from torchvision import transforms
from torchvision.datasets import ImageFolder
from torchvision.transforms.functional import InterpolationMode

from pet.config import load_config
from pet.engine.loader import make_train_data_loader
from pet.models.normalization import PixelNormalizer
from pet.tasks.cls.batch import make_collate
from pet.tasks.cls.dataset import build_dataset

CFG = "cfgs/tasks/cls/ImageNet/resnet50_1x.yaml"
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
CLASSES, WIDTH, HEIGHT = 4, 500, 375  # pixels: a usual size of ImageNet
BATCH = 32
WORKERS = (0, 1, 2)

Batches = Iterator[torch.Tensor]
Contender = Callable[[Path, int], Batches]  # of a folder, by so many workers: one epoch


def make_images(root: Path, number: int) -> None:
    """JPEG files of smooth noise, which compress about as photographs do."""
    dice = np.random.default_rng(0)
    for index in range(number):
        folder = root / "Noise" / "train" / f"class{index % CLASSES}"
        folder.mkdir(parents=True, exist_ok=True)
        coarse = Image.fromarray(dice.integers(0, 256, (HEIGHT // 8, WIDTH // 8, 3), dtype=np.uint8))
        fine = dice.normal(0, 8, (HEIGHT, WIDTH, 3))
        pixels = np.clip(np.asarray(coarse.resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC)) + fine, 0, 255)
        Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{index}.jpg", quality=90)


def _config(workers: int) -> Any:
    keys = {
        "MISC.DEVICE": "cpu", "DATA.LOADER_THREADS": workers, "TRAIN.DATASETS": ("Noise_train",),
        "TRAIN.BATCH_SIZE": BATCH, "MODEL.NUM_CLASSES": CLASSES, "EVAL.ENABLED": False,
        "SOLVER.SCHEDULER.TOTAL_EPOCHS": 1, "SOLVER.SCHEDULER.POLICY": "COSINE",
    }  # fmt: skip
    return load_config("cls", cfg_file=CFG, overrides=[str(word) for pair in keys.items() for word in pair])


def _normalised(cfg: Any, loader: Any) -> Batches:
    """Ours is bytes until here: on a GPU that is where the model does it."""
    normalise = PixelNormalizer(cfg.DATA.PIXEL_MEAN, cfg.DATA.PIXEL_STD, cfg.DATA.FORMAT.IMAGE, False)
    for images, _labels, _indices in loader:
        yield normalise(images)


def pet(root: Path, workers: int) -> Batches:
    """The loader of the classification script."""
    cfg = _config(workers)
    return _normalised(cfg, make_train_data_loader(cfg, build_dataset(cfg, is_train=True), collate=make_collate(cfg)))


def plain(root: Path, workers: int) -> Batches:
    """torch's loader on the same data set."""
    cfg = _config(workers)
    return _normalised(cfg, DataLoader(build_dataset(cfg, is_train=True), BATCH, shuffle=True, num_workers=workers,
                                       collate_fn=make_collate(cfg), drop_last=True))  # fmt: skip


def reference_loader(
    root: Path, workers: int, batch: int, samples: int | None = None
) -> Iterable[tuple[torch.Tensor, torch.Tensor]]:
    """Written after torchvision's reference for classification, with its choices for Pillow. One epoch; with `samples`
    one of so many, however few files there are: the reference starts its workers anew for each."""
    augment = transforms.Compose([
        transforms.RandomResizedCrop(224, interpolation=InterpolationMode.BILINEAR, antialias=True),
        transforms.RandomHorizontalFlip(0.5), transforms.PILToTensor(), transforms.ConvertImageDtype(torch.float),
        transforms.Normalize(MEAN, STD),
    ])  # fmt: skip
    dataset = ImageFolder(str(root / "Noise" / "train"), augment)
    sampler = RandomSampler(dataset, replacement=samples is not None, num_samples=samples)
    return DataLoader(dataset, batch, sampler=sampler, num_workers=workers, drop_last=True,
                      pin_memory=torch.cuda.is_available())  # fmt: skip


def reference(root: Path, workers: int) -> Batches:
    """torchvision's."""
    return (images for images, _labels in reference_loader(root, workers, BATCH))


CONTENDERS: dict[str, Contender] = {
    "torchvision's reference": reference,
    "plain DataLoader, our data set": plain,
    "Pet's loader": pet,
}


def _cpu_seconds() -> float:
    return sum(usage.ru_utime + usage.ru_stime for usage in map(resource.getrusage, (
        resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)))  # fmt: skip


def measure(contender: Contender, root: Path, workers: int, images: int) -> tuple[float, float]:
    """Images per second of wall time, and CPU milliseconds per image, workers included."""
    cpu, begun = _cpu_seconds(), time.perf_counter()
    seen = sum(len(batch) for batch in contender(root, workers))
    seconds = time.perf_counter() - begun
    assert seen == images // BATCH * BATCH
    return seen / seconds, 1e3 * (_cpu_seconds() - cpu) / seen


def compare(root: Path, images: int, rounds: int) -> None:
    """All in turns, and a table of medians."""
    runs = [(name, workers) for workers in WORKERS for name in CONTENDERS]
    figures: dict[tuple[str, int], list[tuple[float, float]]] = {run: [] for run in runs}
    dice = random.Random(0)
    for _ in range(rounds):
        for name, workers in dice.sample(runs, len(runs)):
            figures[name, workers].append(measure(CONTENDERS[name], root, workers, images))
    print(f"{'':32}{'workers':>9}{'images/s':>10}{'ratio':>7}{'CPU ms/image':>14}{'ratio':>7}")
    for (name, workers), values in figures.items():
        speed, cpu = map(statistics.median, zip(*values, strict=True))
        of_reference = [*map(statistics.median, zip(*figures[next(iter(CONTENDERS)), workers], strict=True))]
        print(f"{name:32}{workers:9}{speed:10.1f}{speed / of_reference[0]:7.2f}{cpu:14.2f}{cpu / of_reference[1]:7.2f}")


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--images", type=int, default=512, help="of one measurement")
    args = parser.parse_args()
    torch.set_num_threads(1)
    with memory_folder() as root:
        make_images(root, args.images)
        os.environ["PETJOB_DATA_DIR"] = str(root)
        print(f"Input: JPEG files of {WIDTH} x {HEIGHT}, in memory, batches of {BATCH}, {args.rounds} rounds, medians")
        print(conditions())
        compare(root, args.images, args.rounds)


if __name__ == "__main__":
    main()
