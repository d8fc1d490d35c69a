"""Data loaders on torch's DataLoader: resumable at any step, with the same samples for any number of workers."""

from __future__ import annotations

import atexit
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import islice
from typing import Any, Protocol

import torch
from torch.utils.data import DataLoader

from pet.config import Config, ConfigError
from pet.engine.distributed import get_rank, get_world_size
from pet.engine.rng import borrowed_generators, mix, seed_generators
from pet.engine.sampler import EvaluationBatches, Key, TrainBatches, epoch_length
from pet.engine.signs import beat
from pet.engine.workers import end_workers, init_worker, watched

Collate = Callable[[list[Any]], Any]
_PRECISE_BN = 1  # tells its seed from that of training


class SizedDataset(Protocol):
    """A map-style data set."""

    def __len__(self) -> int: ...
    def __getitem__(self, index: int) -> Any: ...


class SeededDataset(torch.utils.data.Dataset[Any]):
    """Fetches samples by (epoch, index) with all generators of the CPU seeded by (seed, epoch, index) for each.

    Augmentation is then a property of the sample, not of the worker that happens to load it. In the process of the
    training loop the generators are put back, so loading leaves no trace in the model's random numbers.
    """

    def __init__(self, dataset: SizedDataset, seed: int) -> None:
        self.dataset = dataset
        self.seed = seed

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitems__(self, keys: Sequence[Key]) -> list[Any]:
        """The samples of one batch."""
        with borrowed_generators():
            return [self._sample(epoch, index) for epoch, index in keys]

    def _sample(self, epoch: int, index: int) -> Any:
        seed_generators(mix(self.seed, epoch, index))
        return self.dataset[index]


class SeededCollate:
    """Collates a batch with the generators seeded by which samples are in it: for augmentation that mixes samples.

    A sample is a tuple whose last item is its index in the data set.
    """

    def __init__(self, collate: Collate, seed: int) -> None:
        self.collate = collate
        self.seed = seed

    def __call__(self, samples: list[Any]) -> Any:
        with borrowed_generators():
            seed_generators(mix(self.seed, *(int(sample[-1]) for sample in samples)))
            return self.collate(samples)


class WatchedLoader(DataLoader[Any]):
    """One of whose workers it is known how they end."""

    def __iter__(self) -> Iterator[Any]:  # type: ignore[override]
        with watched():
            return super().__iter__()


class EvaluationLoader(WatchedLoader):
    """Tells the watchdog of every batch: an evaluation has no steps, and may take hours."""

    def __iter__(self) -> Iterator[Any]:  # type: ignore[override]
        for batch in super().__iter__():
            beat()
            yield batch


class TrainLoader:
    """The batches of one rank for the whole run, from `start_iter` on; `len()` is the number of steps of the run.

    Iterating gives one batch after the other; how many a step takes, `sizes` says. Attributes: `max_iter`,
    `iter_per_epoch`, `start_iter` in steps; `batch_size`, global, in samples; `max_epoch`, None in iteration mode.
    """

    def __init__(self, cfg: Config, dataset: SizedDataset, start_iter: int, collate: Collate | None, seed: int) -> None:
        schedule = cfg.SOLVER.SCHEDULER
        self.batch_size: int = cfg.TRAIN.BATCH_SIZE
        drop_last = bool(cfg.MISC.CUDNN) if cfg.DATA.DROP_LAST is None else cfg.DATA.DROP_LAST
        accumulate: int = cfg.SOLVER.ACCUMULATE_STEPS
        self.iter_per_epoch = epoch_length(len(dataset), self.batch_size, drop_last, accumulate)
        if self.iter_per_epoch == 0:
            raise ConfigError.of(
                "TRAIN.BATCH_SIZE",
                f"{self.batch_size} is larger than the {len(dataset)} samples of "
                "TRAIN.DATASETS, and the short batch is dropped: lower it or set DATA.DROP_LAST False",
            )
        epochs = schedule.TOTAL_EPOCHS
        self.max_epoch: int | None = None if epochs is None or epochs <= 0 else int(epochs)
        self.max_iter: int = self.max_epoch * self.iter_per_epoch if self.max_epoch else schedule.TOTAL_ITERS
        self.start_iter = start_iter
        self.seed = seed
        self.batches = TrainBatches(len(dataset), self.batch_size, self.max_iter, start_iter, seed, get_rank(),
                                    get_world_size(), drop_last, accumulate)  # fmt: skip
        self.sizes = self.batches.sizes
        self._dataset = SeededDataset(dataset, seed)
        self._collate = SeededCollate(collate or torch.utils.data.default_collate, seed)
        self._cfg = cfg
        self._loader = _loader(cfg, self._dataset, self.batches, self._collate)

    def leave_out(self, places: Sequence[int]) -> None:
        """Take none of the samples at these places of their order, ascending; to be called before the first step."""
        self.batches = replace(self.batches, left_out=tuple(places))
        self.sizes = self.batches.sizes
        self._loader = _loader(self._cfg, self._dataset, self.batches, self._collate)

    def __len__(self) -> int:
        return self.max_iter

    def __iter__(self) -> Iterator[Any]:
        return iter(self._loader)

    def first_batch(self) -> Any:
        """The batch that a run from the start begins with, without touching the iteration."""
        first = replace(self.batches, start_iter=1)
        return self._collate(self._dataset.__getitems__(next(iter(first))))

    def state_dict(self) -> dict[str, Any]:
        """What the order of samples depends on. The position is the iteration's."""
        return {
            "seed": self.seed,
            "batch_size": self.batch_size,
            "accumulate": self.batches.accumulate,
            "size": self.batches.size,
            "iter_per_epoch": self.iter_per_epoch,
            "left_out": list(self.batches.left_out),
        }

    def differences(self, state: dict[str, Any]) -> list[str]:
        """Why a run that saved `state` would not go on with the same samples; empty if it would."""
        return [
            f"{name}: {state[name]} -> {value}"
            for name, value in self.state_dict().items()
            if name in state and state[name] != value
        ]


def make_train_data_loader(
    cfg: Config, dataset: SizedDataset, start_iter: int = 1, collate: Collate | None = None, seed: int | None = None
) -> TrainLoader:
    """The loader of a run that begins with step `start_iter`. Raises ConfigError if an epoch would have no step.

    With SOLVER.SCHEDULER.TOTAL_EPOCHS the run is that many epochs (epoch mode), otherwise TOTAL_ITERS steps. `seed` is
    MISC.SEED unless a checkpoint brings another.
    """
    return TrainLoader(cfg, dataset, start_iter, collate, cfg.MISC.SEED if seed is None else seed)


def make_precise_bn_loader(cfg: Config, dataset: SizedDataset, collate: Collate | None = None) -> TrainLoader:
    """TEST.PRECISE_BN.NUM_ITER training batches, the same ones each time, in another order than training has."""
    cfg = cfg.clone()
    cfg.defrost()
    cfg.SOLVER.SCHEDULER.TOTAL_EPOCHS, cfg.SOLVER.SCHEDULER.TOTAL_ITERS = None, cfg.TEST.PRECISE_BN.NUM_ITER
    cfg.SOLVER.ACCUMULATE_STEPS = 1
    return TrainLoader(cfg, dataset, 1, collate, mix(cfg.MISC.SEED, _PRECISE_BN))


def make_test_data_loader(cfg: Config, dataset: SizedDataset, collate: Collate | None = None) -> DataLoader[Any]:
    """Each sample once over all ranks, TEST.IMS_PER_GPU at a time on each.

    The first batch is tried at once: what is wrong with the data or its transforms is to be known before training, not
    at the first evaluation. Raises what the data set or `collate` raises.
    """
    collate = collate or torch.utils.data.default_collate
    samples = SeededDataset(dataset, seed=0)
    batches = EvaluationBatches(len(dataset), cfg.TEST.IMS_PER_GPU, get_rank(), get_world_size())
    for keys in islice(batches, 1):
        collate(samples.__getitems__(keys))
    return _loader(cfg, samples, batches, collate, kind=EvaluationLoader)


def set_run_length(cfg: Config, loader: TrainLoader) -> None:
    """Write into a frozen config what is known only now: first step, last step, and the snapshot interval in steps."""
    cfg.defrost()
    cfg.SOLVER.START_ITER = loader.start_iter
    cfg.SOLVER.SCHEDULER.TOTAL_ITERS = loader.max_iter
    if cfg.SOLVER.SNAPSHOT_EPOCHS:
        cfg.SOLVER.SNAPSHOT_ITER = cfg.SOLVER.SNAPSHOT_EPOCHS * loader.iter_per_epoch
    cfg.freeze()


def _loader(
    cfg: Config,
    dataset: SeededDataset,
    batches: TrainBatches | EvaluationBatches,
    collate: Collate,
    kind: type[DataLoader[Any]] = WatchedLoader,
) -> DataLoader[Any]:
    workers = cfg.DATA.LOADER_THREADS
    if workers:
        atexit.register(end_workers)
    return kind(
        dataset,
        batch_sampler=batches,
        collate_fn=collate,
        num_workers=workers,
        worker_init_fn=init_worker,
        pin_memory=cfg.DATA.PIN_MEMORY and cfg.MISC.DEVICE == "cuda",
        prefetch_factor=cfg.DATA.PREFETCH if workers else None,
        # Workers draw their base seed from this one and not from the generator that the model uses.
        generator=torch.Generator(),
    )
