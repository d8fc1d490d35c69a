from __future__ import annotations

import gc
import os
import random
import signal
from typing import Any

import numpy as np
import pytest
import torch
from harness.toy import toy_config
from harness.training import differences
from torch.utils.data import get_worker_info

from pet.config import Config, ConfigError
from pet.engine.loader import (
    SeededCollate,
    TrainLoader,
    make_test_data_loader,
    make_train_data_loader,
    set_run_length,
)
from pet.engine.rng import get_rng_state, seed_everything

SIZE, BATCH = 20, 6  # three whole batches and a rest of two in an epoch
WORKERS = pytest.mark.parametrize("workers", [0, 2])

Batch = list[tuple[int, float]]  # index and augmentation of each sample


class Augmented(torch.utils.data.Dataset[Any]):
    """A sample is its random augmentation and its index."""

    def __init__(self, size: int = SIZE) -> None:
        self.size = size

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        # Augmentations of users draw from any of them.
        return torch.rand(()) + random.random() + torch.tensor(np.random.random()), index


def config(workers: int = 0, *overrides: Any) -> Config:
    return toy_config("TRAIN.BATCH_SIZE", BATCH, "DATA.LOADER_THREADS", workers, "DATA.DROP_LAST", True,
                      "SOLVER.SCHEDULER.TOTAL_ITERS", 11, *overrides)  # fmt: skip


IN_EPOCHS = ("SOLVER.SCHEDULER.TOTAL_EPOCHS", 3)


def batches(loader: Any) -> list[Batch]:
    return [list(zip(indices.tolist(), augmentations.tolist(), strict=True)) for augmentations, indices in loader]


def run(cfg: Config, start_iter: int = 1, seed: int | None = None) -> list[Batch]:
    return batches(make_train_data_loader(cfg, Augmented(), start_iter, seed=seed))


@WORKERS
@pytest.mark.parametrize("start", [1, 2, 4, 5, 9])
def test_row_2_a_run_in_iterations_goes_on_with_the_same_batches_anywhere(workers: int, start: int) -> None:
    whole, rest = run(config()), run(config(workers), start)
    assert len(rest) == 11 - start + 1
    assert rest == whole[start - 1 :]


@WORKERS
@pytest.mark.parametrize("start", [1, 3, 4, 8])
def test_a_run_in_epochs_goes_on_with_the_same_batches_in_the_middle_of_one(workers: int, start: int) -> None:
    whole, rest = run(config(0, *IN_EPOCHS)), run(config(workers, *IN_EPOCHS), start)
    assert len(rest) == 9 - start + 1
    assert rest == whole[start - 1 :]


def test_a_finished_run_has_no_batches() -> None:
    assert run(config(), start_iter=12) == []


def test_an_augmentation_belongs_to_seed_epoch_and_sample() -> None:
    first, second = (dict(sample for batch in epoch for sample in batch)
                     for epoch in (run(config())[0:3], run(config())[3:6]))  # fmt: skip
    assert all(first[index] != second[index] for index in first.keys() & second.keys())
    other = dict(sample for batch in run(config(), seed=1) for sample in batch)
    assert all(first[index] != other[index] for index in first.keys() & other.keys())


@WORKERS
def test_loading_draws_nothing_from_the_generator_of_the_model(workers: int) -> None:
    seed_everything(3, rank=0)
    before = get_rng_state()
    loader = make_train_data_loader(config(workers), Augmented())
    loader.first_batch()
    batches(loader)
    assert differences(before, get_rng_state()) == []


def _mix(samples: list[Any]) -> Any:
    values, indices = torch.utils.data.default_collate(samples)
    return values + torch.rand(1), indices


def test_a_collate_that_draws_depends_on_all_samples_of_the_batch() -> None:
    draw = SeededCollate(lambda samples: torch.rand(1).item(), seed=0)
    one, other = [(0.5, 3), (0.5, 5)], [(0.5, 3), (0.5, 7)]  # two epochs may begin with the same sample
    assert draw(one) == draw(one)
    assert draw(one) != draw(other)


def test_a_collate_that_draws_gives_the_same_in_a_worker() -> None:
    alone, workers = (
        batches(make_train_data_loader(config(number), Augmented(), 2, collate=_mix)) for number in (0, 2)
    )
    assert alone == workers
    plain = run(config(), 2)
    assert {round(mixed[0][1] - sample[0][1], 5) for mixed, sample in zip(alone, plain, strict=True)} != {0.0}


def test_the_first_batch_is_that_of_step_one_wherever_the_run_begins() -> None:
    augmentations, indices = make_train_data_loader(config(), Augmented(), start_iter=7).first_batch()
    assert list(zip(indices.tolist(), augmentations.tolist(), strict=True)) == run(config())[0]


@pytest.mark.parametrize(
    ("cudnn", "drop_last", "steps"), [(True, None, 3), (False, None, 4), (True, False, 4), (False, True, 3)]
)
def test_row_28_a_short_batch_is_dropped_as_cudnn_says_unless_drop_last_does(
    cudnn: bool, drop_last: bool | None, steps: int
) -> None:
    cfg = config(0, "MISC.CUDNN", cudnn, "DATA.DROP_LAST", drop_last)
    loader = make_train_data_loader(cfg, Augmented())
    assert loader.iter_per_epoch == steps
    assert [len(batch) for batch in batches(loader)][:4] == [6, 6, 6, 2 if steps == 4 else 6]


@WORKERS
@pytest.mark.parametrize("start", [1, 2, 3, 6])
def test_a_run_in_steps_of_two_batches_goes_on_anywhere_and_each_epoch_ends_with_the_rest(
    workers: int, start: int
) -> None:
    cfg = config(workers, *IN_EPOCHS, "DATA.DROP_LAST", False, "TRAIN.BATCH_SIZE", 8, "SOLVER.ACCUMULATE_STEPS", 2)
    whole = make_train_data_loader(cfg, Augmented())
    assert (whole.iter_per_epoch, whole.max_iter) == (2, 6)
    assert [whole.sizes(step) for step in range(1, 5)] == [(8, 8), (4,), (8, 8), (4,)]
    rest = make_train_data_loader(cfg, Augmented(), start)
    assert batches(rest) == batches(whole)[(start - 1) // 2 * 3 + (start - 1) % 2 * 2 :]


@pytest.mark.parametrize("epochs", [None, 0, -1])
def test_row_33_without_positive_epochs_the_run_counts_iterations(epochs: int | None) -> None:
    loader = make_train_data_loader(config(0, "SOLVER.SCHEDULER.TOTAL_EPOCHS", epochs), Augmented())
    assert (len(loader), loader.max_iter, loader.max_epoch, loader.iter_per_epoch) == (11, 11, None, 3)


def test_with_epochs_the_run_is_that_many() -> None:
    loader = make_train_data_loader(config(0, *IN_EPOCHS), Augmented())
    assert (len(loader), loader.max_iter, loader.max_epoch, loader.iter_per_epoch) == (9, 9, 3, 3)


def test_a_batch_larger_than_the_data_set_is_a_configuration_error() -> None:
    with pytest.raises(ConfigError, match=r"TRAIN.BATCH_SIZE: 21 is larger than the 20 samples.*DATA.DROP_LAST False"):
        make_train_data_loader(config(0, "TRAIN.BATCH_SIZE", 21), Augmented())
    assert len(run(config(0, "TRAIN.BATCH_SIZE", 21, "DATA.DROP_LAST", False))[0]) == SIZE


def test_the_length_of_the_run_is_written_into_the_configuration() -> None:
    cfg = config(0, *IN_EPOCHS, "SOLVER.SNAPSHOT_EPOCHS", 2)
    cfg.freeze()
    set_run_length(cfg, make_train_data_loader(cfg, Augmented(), start_iter=5))
    assert (cfg.SOLVER.START_ITER, cfg.SOLVER.SCHEDULER.TOTAL_ITERS, cfg.SOLVER.SNAPSHOT_ITER) == (5, 9, 6)
    assert cfg.is_frozen()


def test_what_changed_in_the_order_of_samples_is_named() -> None:
    state = make_train_data_loader(config(), Augmented()).state_dict()
    same = make_train_data_loader(config(2), Augmented(), start_iter=5)
    assert same.differences(state) == []
    other = make_train_data_loader(config(0, "TRAIN.BATCH_SIZE", 4), Augmented(), seed=7)
    assert other.differences(state) == ["seed: 0 -> 7", "batch_size: 6 -> 4", "iter_per_epoch: 3 -> 5"]
    assert other.differences({}) == []  # an older Pet says nothing of it


@WORKERS
def test_an_evaluation_gives_each_sample_once_each_time(workers: int) -> None:
    loader = make_test_data_loader(config(workers, "TEST.IMS_PER_GPU", 8), Augmented())
    once, again = batches(loader), batches(loader)
    assert [len(batch) for batch in once] == [8, 8, 4]
    assert [index for batch in once for index, _ in batch] == list(range(SIZE))
    assert once == again


class TellsOfTheCollector(Augmented):
    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        return torch.tensor(gc.isenabled()), index


def test_a_worker_collects_its_garbage_although_the_loop_does_it_for_itself() -> None:
    gc.disable()
    try:
        samples = [
            sample for batch in batches(make_test_data_loader(config(1), TellsOfTheCollector())) for sample in batch
        ]
    finally:
        gc.enable()
    assert samples == [(index, True) for index in range(SIZE)]


class Signalled(Augmented):
    """Sends the worker that loads a sample both stop signals."""

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        assert get_worker_info() is not None
        for number in (signal.SIGTERM, signal.SIGINT):
            os.kill(os.getpid(), number)
        return super().__getitem__(index)


def test_a_worker_lives_on_through_stop_signals() -> None:
    loader: TrainLoader = make_train_data_loader(config(1), Signalled())
    assert batches(loader) == run(config())


class Damaged(Augmented):
    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        raise ValueError(f"sample {index} of the archive is damaged")


@WORKERS
def test_an_error_of_a_sample_reaches_the_rank(workers: int) -> None:
    first = run(config())[0][0][0]
    with pytest.raises(ValueError, match=f"sample {first} of the archive is damaged"):
        batches(make_train_data_loader(config(workers), Damaged()))


@WORKERS
def test_a_test_set_whose_samples_cannot_be_had_is_known_before_training(workers: int) -> None:
    with pytest.raises(ValueError, match="sample 0 of the archive is damaged"):
        make_test_data_loader(config(workers), Damaged())


def test_a_test_set_that_makes_no_batch_is_known_before_training() -> None:
    def collate(samples: list[Any]) -> Any:
        raise ValueError(f"{len(samples)} images differ in size")

    with pytest.raises(ValueError, match="8 images differ in size"):
        make_test_data_loader(config(0, "TEST.IMS_PER_GPU", 8), Augmented(), collate)


def test_a_rank_without_a_share_of_the_test_set_has_nothing_to_try() -> None:
    assert batches(make_test_data_loader(config(), Damaged(size=0))) == []
