"""Augmented samples are a function of (seed, epoch, index): not of workers, batches, ranks or where a run begins."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from harness.datasets import write_image_folder
from torch import Tensor

from pet.config import Config, get_base_cfg
from pet.engine.loader import make_train_data_loader
from pet.tasks.cls.batch import make_collate
from pet.tasks.cls.dataset import build_dataset


@pytest.fixture(autouse=True)
def _images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Twelve noisy images in three classes."""
    write_image_folder(tmp_path / "birds" / "train", {"crow": 4, "owl": 4, "wren": 4}, size=(24, 32))
    monkeypatch.setenv("PETJOB_DATA_DIR", str(tmp_path))


def config(*overrides: Any) -> Config:
    """Two epochs, with every transform that draws."""
    cfg = get_base_cfg("cls")
    cfg.merge_from_list([
        "TRAIN.DATASETS", ("birds_train",), "MODEL.NUM_CLASSES", 3, "MISC.DEVICE", "cpu", "DATA.LOADER_THREADS", 0,
        "TRAIN.BATCH_SIZE", 4, "SOLVER.SCHEDULER.TOTAL_EPOCHS", 2,
        "TRAIN.TRANSFORMS", ("resize", "random_resized_crop", "horizontal_flip", "color_jitter", "auto_aug"),
        "TRAIN.RESIZE.SCALES", (20, 24, 28), "TRAIN.RANDOM_RESIZED_CROP.SIZE", (16, 16),
        "TRAIN.COLOR_JITTER.BRIGHTNESS", 0.4, *overrides,
    ])  # fmt: skip
    return cfg


MIXED = ("TRAIN.MIXUP.ALPHA", 0.8, "TRAIN.CUTMIX.ALPHA", 1.0)


def batches(cfg: Config, start_iter: int = 1) -> list[tuple[Tensor, Tensor, Tensor]]:
    loader = make_train_data_loader(cfg, build_dataset(cfg, is_train=True), start_iter, make_collate(cfg))
    return list(loader)


def by_epoch_and_index(cfg: Config) -> dict[tuple[int, int], Tensor]:
    """Each augmented image."""
    steps, found = batches(cfg), {}
    for step, (images, _, indices) in enumerate(steps):
        epoch = step * 2 // len(steps)
        found.update({(epoch, index): image for index, image in zip(indices.tolist(), images, strict=True)})
    return found


def same(one: list[Any], other: list[Any]) -> bool:
    return len(one) == len(other) and all(
        torch.equal(a, b) for first, second in zip(one, other, strict=True) for a, b in zip(first, second, strict=True)
    )


@pytest.mark.parametrize("mixing", [(), MIXED], ids=["plain", "mixed"])
def test_without_and_with_two_workers_the_batches_are_bit_for_bit_the_same(mixing: tuple[Any, ...]) -> None:
    assert same(batches(config(*mixing)), batches(config(*mixing, "DATA.LOADER_THREADS", 2)))


@pytest.mark.parametrize("mixing", [(), MIXED], ids=["plain", "mixed"])
def test_a_run_that_begins_in_the_middle_gets_the_same_batches(mixing: tuple[Any, ...]) -> None:
    assert same(batches(config(*mixing))[3:], batches(config(*mixing), start_iter=4))


def test_a_sample_does_not_depend_on_its_batch() -> None:
    small, large = by_epoch_and_index(config()), by_epoch_and_index(config("TRAIN.BATCH_SIZE", 12))
    assert small.keys() == large.keys() == {(epoch, index) for epoch in (0, 1) for index in range(12)}
    assert all(torch.equal(small[key], large[key]) for key in small)


def test_a_sample_changes_with_the_epoch_and_with_the_seed() -> None:
    first, other = by_epoch_and_index(config()), by_epoch_and_index(config("MISC.SEED", 1))
    assert not any(torch.equal(first[0, index], first[1, index]) for index in range(12))
    assert not any(torch.equal(first[key], other[key]) for key in first)


def test_loading_leaves_no_trace_in_the_models_random_numbers() -> None:
    torch.manual_seed(5)
    before = torch.get_rng_state()
    batches(config(*MIXED))
    assert torch.equal(torch.get_rng_state(), before)
