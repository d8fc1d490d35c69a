"""Pet's CheckPointer: resume at the start, save at step boundaries.

How bytes reach the disk, and what a folder's content means, is `pet.store`. Here rank 0 decides and writes, all ranks
load, and an error of one rank is raised by all of them.
"""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Callable
from typing import Any, TypeVar

import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from pet.config.environment import JobEnvironment
from pet.config.errors import ConfigError
from pet.engine.checkpoint import weights as matching
from pet.engine.checkpoint.agreement import gather_checked, on_rank_0
from pet.engine.checkpoint.decision import Decision, decide
from pet.engine.checkpoint.loading import describe, load
from pet.engine.checkpoint.optimizer_state import load_optimizer_state
from pet.engine.checkpoint.snapshot import Scheduler, check_plain, infinite_buffers
from pet.engine.checkpoint.writing import CheckpointWriter, bucket_bytes
from pet.engine.distributed import get_world_size, is_main_process
from pet.engine.errors import NonFiniteWeights
from pet.runfiles.checkpoint_info import CheckpointInfo

logger = logging.getLogger(__name__)

DEFAULT_KEEP = 3
T = TypeVar("T")


class CheckPointer:
    """Finds what a run begins with, and saves it. Making one is collective, as are `save` and `save_best`.

    Args:
        ckpt: MISC.CKPT, used where the environment gives no folder. An empty name means: save nothing.
        weights_path: TRAIN.WEIGHTS, ignored when a checkpoint is resumed.
        auto_resume: TRAIN.AUTO_RESUME; False means `resume: Never`.
        keep: SOLVER.SNAPSHOT_KEEP, used where the environment says nothing.
        config_hash: of the configuration, kept in the manifests.

    Attributes:
        directory: the absolute path of the checkpoint folder, empty if nothing is saved.
        resume: a checkpoint of this job is loaded; `retrain`: only weights are.
        checkpoint: what was loaded, None for a start from scratch.
        iteration: of the resumed checkpoint, else 0; `resumed`: what is known of it.
        mismatch_keys: keys of the model that `load_model` did not fill.
        uid, attempt, restart: who owns the folder now.

    Raises ConfigError, CheckpointUnusable and Fenced, the same on all ranks.
    """

    def __init__(self, ckpt: str, *, weights_path: str = "", auto_resume: bool = True, keep: int | None = None,
                 config_hash: str = "", environment: JobEnvironment | None = None) -> None:  # fmt: skip
        environment = environment or JobEnvironment()
        directory = ckpt if environment.checkpoint_dir is None else environment.checkpoint_dir
        # From here on it is that folder, wherever a hook or a data set makes the process go.
        self.directory = os.path.abspath(directory) if directory else ""
        self._writer: CheckpointWriter | None = None
        keep = _checked_keep(environment.checkpoint_keep, keep)

        def open_folder() -> Decision:
            tenure, decision = decide(self.directory, environment, weights_path, auto_resume)
            self._writer = CheckpointWriter(tenure, keep, config_hash) if tenure else None
            return decision

        decision = on_rank_0(open_folder)
        owner = decision.owner
        self.uid = owner.uid if owner else environment.uid
        self.attempt = owner.attempt if owner else environment.attempt or 1
        self.restart = owner.restart if owner else 0
        self._left_out = decision.left_out
        self._manifest = decision.source.manifest if decision.source and decision.resume else None
        self._loaded = load(decision)
        self.checkpoint = self._loaded.state if self._loaded else None
        self.resumed = self._loaded.resumed if self._loaded else None
        self.resume = self.resumed is not None
        self.retrain = self._loaded is not None and not self.resume
        self.iteration = self.resumed.iteration if self.resumed else 0
        self.mismatch_keys: list[str] = []
        if is_main_process():
            describe(self._loaded, decision.source.manifest if decision.source else None, config_hash)

    @property
    def extra(self) -> dict[str, Any]:
        """What `save` was given as `extra`; empty unless a checkpoint was resumed."""
        return dict(self._resumed_state.get("extra") or {})

    def differences(self, model: nn.Module, keys: dict[str, str]) -> list[str]:
        """Why a resume is not bit-exact, as far as the folder alone could not tell: the size of the gradient buckets,
        and which keys of the configuration have another text than in `extra["config"]`."""
        manifest, before = self._manifest, self.extra.get("config", {})
        if manifest is None:
            return []
        bucket = bucket_bytes(model)
        resized = manifest.world_size == get_world_size() and manifest.bucket_bytes != bucket
        texts = [f"the size of gradient buckets was {manifest.bucket_bytes}, is {bucket}"] if resized else []
        changed = [name for name in {**before, **keys} if before and before.get(name) != keys.get(name)]
        return texts + [f"{name} was {before.get(name)}, is {keys.get(name)}" for name in changed]

    def release(self) -> None:
        """Let go of what was loaded, once all of it is in its place: as long as it is mapped its room on the volume is
        not free, although it was deleted."""
        self._loaded = self.checkpoint = None

    def rank_state(self, rank: int) -> dict[str, Any] | None:
        """What that rank gave to `save`; None without it, or if it was saved by another number of ranks."""
        ranks = self._resumed_state.get("ranks") or []
        return ranks[rank] if len(ranks) == get_world_size() else None

    def load_model(self, model: nn.Module, convert_conv1: bool = False, use_weights_once: bool = False) -> None:
        """Fill the model, which is as it was made, from what was loaded; nothing is filled at a start from scratch.

        A resume demands the same names and shapes, else ConfigError lists the differences. Weights for a start are
        matched by the end of their names, at dots, ConfigError if none is; `mismatch_keys` are the model's keys that
        got none. `convert_conv1` swaps the input channels of their stem, with `use_weights_once` each fills one key
        only.
        """
        model = model.module if isinstance(model, DistributedDataParallel) else model
        if self._writer is not None:
            self._writer.infinite = infinite_buffers(model)
        loaded = self._loaded
        if loaded is None:
            return
        state = model.state_dict()
        weights = matching.weights_in(loaded.state, state)
        if self.resume:
            match = matching.match_exactly(state, weights)
            matching.check_resumable(match, loaded.path)
        else:
            if not weights:
                raise ConfigError.of(loaded.field, f"{loaded.path} holds no weights")
            if convert_conv1:
                weights = matching.swap_stem_channels(weights, loaded.path)
            match = matching.match_by_suffix(state, weights, use_weights_once)
            matching.check_of_use(match, state, loaded.path, loaded.field)
            logger.info("%s fills %d of the model's %d weights", loaded.path, len(match.filled), len(state))
        model.load_state_dict({key: weights[name] for key, name in match.filled.items()}, strict=False)
        self.mismatch_keys = [key for key in state if key not in match.filled]
        for text in match.shapes:
            logger.warning("%s: not loaded", text)

    def load_optimizer(self, optimizer: torch.optim.Optimizer) -> None:
        """Fill the optimizer when a checkpoint is resumed. Raises ConfigError if it does not fit."""
        if self.resumed:
            load_optimizer_state(optimizer, self._resumed_state["optimizer"], self.resumed.file)

    def load_scheduler(self, scheduler: Scheduler) -> None:
        """Restore iteration and info, and with them the learning rates, when a checkpoint is resumed."""
        if self.resumed:
            scheduler.load_state_dict(self._resumed_state["scheduler"])

    def require_savable(self, model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        """See whether checkpoints can hold this state, all of which is there after the first step, and whether the
        volume of the folder has room for them. Collective.

        Raises on all ranks: TypeError for a state that no load would give back, OSError if less than twice its size is
        free.
        """
        if self.directory:
            self._write(lambda writer: writer.require_savable(model, optimizer))

    def keep_each(self, iterations: int) -> None:
        """Keep the checkpoints of each so many-th iteration besides the newest; 0: of none."""
        if self._writer is not None:
            self._writer.every = iterations

    def save(self, model: nn.Module, optimizer: torch.optim.Optimizer, scheduler: Scheduler, copy_latest: bool = True,
             infix: str = "iter", epoch: int | None = None, extra: dict[str, Any] | None = None,
             rank_state: dict[str, Any] | None = None, background: bool = False) -> CheckpointInfo | None:  # fmt: skip
        """Commit `model_<infix><N>.pth`, N the last finished iteration, or `epoch` with the infix "epoch". Collective.

        `extra` (rank 0's) and `rank_state` (each rank's) may hold tensors, numbers, texts and None in dictionaries,
        lists and tuples. Returns once the checkpoint is on the disk; None if nothing is saved. In the `background` it
        returns None once the state is copied, and `written` tells of the rest; one write is under way at a time.

        Raises on all ranks: NonFiniteWeights, TypeError for a state that no load would give back, Fenced, OSError.
        """
        number = epoch if infix == "epoch" else scheduler.iteration - 1
        if number is None or infix == "error":
            raise ValueError(f"infix {infix!r} is reserved, or its epoch is missing")
        if not self.directory:
            return None
        ranks = gather_checked(rank_state, lambda state: check_plain(state, "rank_state"))
        file, extra = f"model_{infix}{number}.pth", extra or {}
        return self._write(
            lambda writer: writer.save(
                file, model, optimizer, scheduler, extra, ranks, link=copy_latest, background=background
            )
        )

    @property
    def writes_beside(self) -> bool:
        """Whether a save in the background is under way, as far as `written` has told. False on ranks but 0."""
        return self._writer is not None and self._writer.writes_beside

    def written(self, *, wait: bool = False) -> CheckpointInfo | None:
        """What a save in the background has committed, told once; None while it is under way, if there is none, and on
        ranks but 0. Not collective. Raises Fenced and OSError, for which `save` would have been the place.
        """
        if self._writer is None:
            return None
        if wait:
            self._writer.join()
        return self._writer.outcome()

    def fits_in(self, seconds: float, model: nn.Module, optimizer: torch.optim.Optimizer) -> bool:
        """Whether a save that begins now is likely to end in that time, by rank 0's experience. Collective."""
        if not self.directory:
            return True
        return self._write(lambda writer: writer.fits_in(seconds, model, optimizer))

    def save_best(self, model: nn.Module, optimizer: torch.optim.Optimizer, scheduler: Scheduler, accuracy: float,
                  epoch: int, infix: str = "epoch", extra: dict[str, Any] | None = None,
                  ) -> CheckpointInfo | None:  # fmt: skip
        """Commit `model_<infix><epoch>-<accuracy>.pth` in the place of the former best, unless that was better.

        Notes accuracy and epoch as the best in `scheduler.info`, unless the write fails. `extra` is as for `save`.
        Collective; raises as `save` does.
        """
        if not on_rank_0(lambda: accuracy >= scheduler.info.get("best_acc", -math.inf)):
            return None
        former = dict(scheduler.info)
        scheduler.info.update(best_acc=accuracy, best_epoch=epoch)
        file = f"model_{infix}{epoch}-{accuracy:4.2f}.pth"
        if not self.directory:
            return None
        try:
            return self._write(lambda writer: writer.save_best(file, model, optimizer, scheduler, extra or {}))
        except OSError:
            scheduler.info.update(former)
            raise

    def save_error(self, model: nn.Module, iteration: int) -> str | None:
        """Keep the weights of an unfinished step as `model_error<iteration>.pth`, for a look; never resumed from.

        For rank 0, not collective. Returns the path; None if nothing is saved or the weights are not finite.
        """
        if self._writer is None:
            return None
        try:
            return self._writer.save_error(f"model_error{iteration}.pth", model, iteration)
        except NonFiniteWeights as error:
            logger.warning("%s", error)
            return None

    def order_rollback(self, before: int, place: Callable[[int], int]) -> None:
        """Have the next start go on from before step `before`, at which numbers were not finite; `place` gives a step's
        place in the order of samples. For rank 0, not collective.

        Raises Fenced and OSError.
        """
        if self._writer is not None:
            self._writer.order_rollback(before, place)

    @property
    def left_out(self) -> list[int]:
        """The places in the order of samples that are known to have led to numbers that are not finite."""
        return sorted({*self._left_out, *self.extra.get("sampler", {}).get("left_out", ())})

    @property
    def _resumed_state(self) -> dict[str, Any]:
        return self._loaded.state if self._loaded and self.resume else {}

    def _write(self, action: Callable[[CheckpointWriter], T]) -> T:
        def act() -> T:
            if self._writer is None:
                raise RuntimeError("rank 0 opened no checkpoint folder")
            return action(self._writer)

        return on_rank_0(act)


def _checked_keep(from_environment: int | None, from_config: int | None) -> int:
    """How many checkpoints to keep; 0 means all of them. Raises ConfigError."""
    field, keep = "PETJOB_CHECKPOINT_KEEP", from_environment
    if keep is None:
        field, keep = "SOLVER.SNAPSHOT_KEEP", DEFAULT_KEEP if from_config is None else from_config
    if keep < 0 or keep == 1:
        raise ConfigError.of(
            field,
            f"{keep} is not possible: 0 keeps all, else at least 2, so that a good one is left "
            "if the newest turns out damaged",
        )
    return keep
