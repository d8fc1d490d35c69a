"""Rank 0's part of a save: the state as a dictionary, its manifest, and the commit."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from typing import IO, Any, cast

import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from pet.engine.checkpoint.snapshot import Scheduler, check_plain, model_state, require_finite, size_of, snapshot
from pet.engine.distributed import get_world_size
from pet.runfiles.checkpoint_info import CheckpointInfo
from pet.store.errors import NO_ROOM
from pet.store.manifest import Manifest
from pet.store.names import parse_data
from pet.store.tenure import Tenure, Write

logger = logging.getLogger(__name__)


class CheckpointWriter:
    """Writes the checkpoints of one run into the folder that it owns; keeps the newest `keep`, 0: all."""

    def __init__(self, tenure: Tenure, keep: int, config_hash: str) -> None:
        self._tenure = tenure
        self._keep = keep
        self._config_hash = config_hash

    def require_room(self, model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        """Raise OSError (ENOSPC) if the volume is too small for a run with this state."""
        size = size_of([model.state_dict(), optimizer.state_dict()])
        self._tenure.require_room(size, deletable=self._keep > 0)

    def save(self, file: str, model: nn.Module, optimizer: torch.optim.Optimizer, scheduler: Scheduler,
             extra: dict[str, Any], ranks: list[Any], link: bool) -> CheckpointInfo:  # fmt: skip
        """Commit a checkpoint that training can go on from."""
        check_plain(extra, "extra")
        state = snapshot(model, optimizer, scheduler) | {"extra": extra, "ranks": ranks}
        manifest = self._commit(file, state, model, scheduler)
        self._tenure.publish(manifest, keep=self._keep, link=link)
        return self._info(manifest)

    def save_best(self, file: str, model: nn.Module, optimizer: torch.optim.Optimizer, scheduler: Scheduler,
                  extra: dict[str, Any]) -> CheckpointInfo:  # fmt: skip
        """Commit a model in the place of the former best."""
        check_plain(extra, "extra")
        state = snapshot(model, optimizer, scheduler) | {"extra": extra}
        manifest = self._commit(file, state, model, scheduler)
        self._tenure.publish_best(manifest)
        return self._info(manifest)

    def save_error(self, file: str, model: nn.Module, iteration: int) -> str:
        """Write weights that are no checkpoint. Returns the path; raises NonFiniteWeights."""
        require_finite(model.state_dict(), iteration)
        state = {"model": model_state(model)}
        return self._tenure.keep_data(file, _writing(state))

    def order_rollback(self, before: int, place: Callable[[int], int]) -> None:
        """Have the next start go on from before this step; `place` gives a step's place in the order of samples.

        The batch of the step may have done it, or that of the step before, by an update after which the losses were
        not finite; not one that is older than the checkpoint that is gone on from, which was finite.
        """
        manifests = [entry.manifest for entry in self._tenure.folder.entries()]
        newest = max((m.iteration for m in manifests if m is not None and m.iteration < before), default=0)
        self._tenure.order_rollback(before, [place(step) for step in (before - 1, before) if step > newest])

    def _commit(self, file: str, state: dict[str, Any], model: nn.Module, scheduler: Scheduler) -> Manifest:
        if parse_data(file) is None:
            raise ValueError(f"{file!r} is no checkpoint's name: an infix is of small letters, a number has no sign")
        owner = self._tenure.owner
        draft = Manifest(
            iteration=scheduler.iteration - 1, file=file, bytes=0, crc32=0, world_size=get_world_size(),
            config_hash=self._config_hash, torch=str(torch.__version__), threads=torch.get_num_threads(),
            bucket_bytes=model.bucket_bytes_cap if isinstance(model, DistributedDataParallel) else 0,
            owner_uid=owner.uid, attempt=owner.attempt, restart=owner.restart,
        )  # fmt: skip
        return self._commit_with_room(draft, state)

    def _commit_with_room(self, draft: Manifest, state: dict[str, Any]) -> Manifest:
        """Where there is none, older checkpoints go and the write is tried again, unless all are to be kept."""
        write, size = _writing(state), size_of(state)
        try:
            return self._tenure.commit(draft, write, size)
        except OSError as error:
            if error.errno not in NO_ROOM or self._keep == 0 or not self._tenure.make_room():
                raise
            logger.warning("%s: older checkpoints were deleted, and %s is written again", error, draft.file)
        return self._tenure.commit(draft, write, size)

    def _info(self, manifest: Manifest) -> CheckpointInfo:
        path = self._tenure.folder.at(manifest.file)
        return CheckpointInfo(manifest.iteration, manifest.file, manifest.bytes, os.path.getmtime(path), verified=True)


def _writing(state: dict[str, Any]) -> Write:
    # torch.save asks of a file object only that it can write and flush.
    return lambda stream: torch.save(state, cast("IO[bytes]", stream))
