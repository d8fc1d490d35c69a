"""Rank 0's part of a save: the state as a dictionary, its manifest, and the commit."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Collection
from typing import IO, Any, cast

import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from pet.engine.checkpoint.background import BackgroundWrite
from pet.engine.checkpoint.host_copy import HostCopy
from pet.engine.checkpoint.snapshot import (
    Scheduler,
    check_plain,
    model_state,
    on_host,
    require_finite,
    size_of,
    snapshot,
)
from pet.engine.distributed import get_world_size
from pet.runfiles.checkpoint_info import CheckpointInfo
from pet.store.errors import NO_ROOM
from pet.store.manifest import Manifest
from pet.store.names import parse_data
from pet.store.tenure import Tenure, Write

logger = logging.getLogger(__name__)


class CheckpointWriter:
    """Writes the checkpoints of one run into the folder that it owns; keeps the newest `keep`, 0: all.

    `infinite`: the buffers that the model was made with infinities in, which are no sign of a run that went bad;
    `every`: those of each so many-th iteration are kept besides, 0: of none.
    """

    def __init__(self, tenure: Tenure, keep: int, config_hash: str) -> None:
        self._tenure = tenure
        self._keep = keep
        self._config_hash = config_hash
        self.infinite: Collection[str] = ()
        self.every = 0
        self._copy = HostCopy()
        self._seconds_per_byte = 0.0  # of the last write; before the first, what it takes is not known
        self._under_way = BackgroundWrite()
        self.join, self.outcome = self._under_way.join, self._under_way.outcome

    @property
    def writes_beside(self) -> bool:
        """Whether a write in the background is under way, or its outcome not taken."""
        return self._under_way.under_way

    def require_savable(self, model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        """Raise TypeError for a state that no load would give back, OSError (ENOSPC) if the volume is too small for a
        run with it."""
        weights, kept = model_state(model), optimizer.state_dict()
        check_plain(kept, "optimizer")
        self._tenure.require_room(size_of([weights, kept]), deletable=self._keep > 0)

    def save(
        self,
        file: str,
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        scheduler: Scheduler,
        extra: dict[str, Any],
        ranks: list[Any],
        *,
        link: bool,
        background: bool,
    ) -> CheckpointInfo | None:
        """Commit a checkpoint that training can go on from. In the `background` its state is copied, a thread begins to
        write the copy, and None is returned; where there is no memory for a copy, it is written at once."""
        check_plain(extra, "extra")
        self.join()
        state = snapshot(model, optimizer, scheduler, self.infinite) | {"extra": extra, "ranks": ranks}
        draft = self._draft(file, model, scheduler)

        def write(state: dict[str, Any]) -> CheckpointInfo:
            manifest = self._commit(draft, state)
            self._tenure.publish(manifest, keep=self._keep, every=self.every, link=link)
            return self._info(manifest)

        if not background or not self._copy.fits(size_of(state)):
            return write(on_host(state))
        copy = self._copy.take(state)

        def write_copy() -> CheckpointInfo:
            self._copy.wait()
            return write(copy)

        self._under_way.begin(write_copy)
        return None

    def fits_in(self, seconds: float, model: nn.Module, optimizer: torch.optim.Optimizer) -> bool:
        """Whether another save is likely to be done in that time, at the pace of the last one. Waits for what is under
        way, as long as that."""
        begun = time.monotonic()
        if not self.join(max(0.0, seconds)):
            return False
        left = seconds - (time.monotonic() - begun)
        return size_of([model.state_dict(), optimizer.state_dict()]) * self._seconds_per_byte <= left

    def save_best(self, file: str, model: nn.Module, optimizer: torch.optim.Optimizer, scheduler: Scheduler,
                  extra: dict[str, Any]) -> CheckpointInfo:  # fmt: skip
        """Commit a model in the place of the former best."""
        check_plain(extra, "extra")
        self.join()
        state = snapshot(model, optimizer, scheduler, self.infinite) | {"extra": extra}
        manifest = self._commit(self._draft(file, model, scheduler), on_host(state))
        self._tenure.publish_best(manifest)
        return self._info(manifest)

    def save_error(self, file: str, model: nn.Module, iteration: int) -> str:
        """Write weights that are no checkpoint. Returns the path; raises NonFiniteWeights."""
        self.join()
        weights = model_state(model)
        finite = {key: value for key, value in weights.items() if key not in self.infinite}
        require_finite({"model": finite}, iteration)
        return self._tenure.keep_error(file, _writing(on_host({"model": weights})))

    def order_rollback(self, before: int, place: Callable[[int], int]) -> None:
        """Have the next start go on from before this step; `place` gives a step's place in the order of samples.

        The batch of the step may have done it, or that of the step before, by an update after which the losses were
        not finite; not one that is older than the checkpoint that is gone on from, which was finite.

        Where none of before that step is left, the oldest there is is gone on from: float16 has left out all steps
        since, so that its weights are the same. Never is training begun anew where there is a checkpoint.
        """
        self.join()
        saved = [entry.manifest.iteration for entry in self._tenure.folder.entries() if entry.manifest]
        before = max(before, min(saved, default=0) + 1)
        newest = max((iteration for iteration in saved if iteration < before), default=0)
        self._tenure.order_rollback(before, [place(step) for step in (before - 1, before) if step > newest])

    def _draft(self, file: str, model: nn.Module, scheduler: Scheduler) -> Manifest:
        if parse_data(file) is None:
            raise ValueError(f"{file!r} is no checkpoint's name: an infix is of small letters, a number has no sign")
        owner = self._tenure.owner
        return Manifest(
            iteration=scheduler.iteration - 1, file=file, bytes=0, crc32=0, world_size=get_world_size(),
            config_hash=self._config_hash, torch=str(torch.__version__), threads=torch.get_num_threads(),
            bucket_bytes=bucket_bytes(model),
            owner_uid=owner.uid, attempt=owner.attempt, restart=owner.restart,
        )  # fmt: skip

    def _commit(self, draft: Manifest, state: dict[str, Any]) -> Manifest:
        """Where there is no room, older checkpoints go and the write is tried again, unless all are to be kept."""
        size, begun = size_of(state), time.monotonic()
        write = _writing(state)
        try:
            manifest = self._tenure.commit(draft, write, size)
        except OSError as error:
            if error.errno not in NO_ROOM or self._keep == 0 or not self._tenure.make_room():
                raise
            logger.warning("%s: older checkpoints were deleted, and %s is written again", error, draft.file)
            manifest = self._tenure.commit(draft, write, size)
        self._seconds_per_byte = (time.monotonic() - begun) / manifest.bytes
        return manifest

    def _info(self, manifest: Manifest) -> CheckpointInfo:
        try:
            saved_at = os.path.getmtime(self._tenure.folder.at(manifest.file))
        except OSError:  # the commit stands, whatever becomes of the disk
            saved_at = time.time()
        return CheckpointInfo(manifest.iteration, manifest.file, manifest.bytes, saved_at, verified=True)


def bucket_bytes(model: nn.Module) -> int:
    """The size of DDP's gradient buckets, 0 in one process."""
    return int(model.bucket_bytes_cap) if isinstance(model, DistributedDataParallel) else 0


def _writing(state: dict[str, Any]) -> Write:
    # torch.save asks of a file object only that it can write and flush.
    return lambda stream: torch.save(state, cast("IO[bytes]", stream))
