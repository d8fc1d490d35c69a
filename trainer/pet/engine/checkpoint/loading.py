"""Loading what rank 0 decided on, on every rank, and saying what it is."""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass
from typing import Any

import torch

from pet.config.errors import ConfigError
from pet.engine.checkpoint.agreement import on_every_rank
from pet.engine.checkpoint.decision import Decision
from pet.engine.checkpoint.reading import read_checkpoint, tensor_crc
from pet.engine.checkpoint.weights import ANOTHER_FOLDER
from pet.engine.distributed import get_world_size
from pet.engine.errors import CheckpointUnusable
from pet.runfiles.checkpoint_info import CheckpointInfo
from pet.store.folder import Selected
from pet.store.manifest import Manifest

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Loaded:
    """A file's content, its path, and what named it in the configuration. `resumed` is None if only weights are
    taken from it."""

    state: dict[str, Any]
    path: str
    field: str
    resumed: CheckpointInfo | None


def load(decision: Decision) -> Loaded | None:
    """Load the decision's source on every rank; None for a start from scratch. Collective.

    Raises on all ranks: CheckpointUnusable if a checkpoint to resume from cannot be read or the ranks read different
    bytes, ConfigError for other files.
    """
    source = decision.source
    if source is None:
        return None
    state: dict[str, Any] = {}

    def read() -> int:
        try:
            state.update(read_checkpoint(source.path, source.bytes))
        except ValueError as error:
            if decision.resume:
                raise CheckpointUnusable(str(error)) from error
            raise ConfigError.of(decision.field, str(error)) from error
        return tensor_crc([state.get("model", state), state.get("optimizer")]) if get_world_size() > 1 else 0

    crcs = on_every_rank(read)
    odd = [rank for rank, crc in enumerate(crcs) if crc != crcs[0]]
    if odd:
        raise CheckpointUnusable(f"ranks {odd} read other weights from {source.path} than rank 0")
    return Loaded(state, source.path, decision.field, _info(source, state) if decision.resume else None)


def describe(loaded: Loaded | None, manifest: Manifest | None, config_hash: str) -> None:
    """Log what this run begins with, and what makes a resume not bit-exact."""
    if loaded is None:
        logger.info("training begins from scratch")
    elif loaded.resumed is None:
        logger.info("training begins with the weights of %s", loaded.path)
    elif manifest is None:
        logger.warning(
            "training goes on from %s at iteration %d. An older Pet left it: it is not verified, and a "
            "fresh pass over the data begins",
            loaded.path,
            loaded.resumed.iteration,
        )
    else:
        logger.info("training goes on from %s at iteration %d", loaded.path, loaded.resumed.iteration)
        for text in _differences(manifest, config_hash):
            logger.warning("resume is not bit-exact: %s", text)


def _info(source: Selected, state: dict[str, Any]) -> CheckpointInfo:
    manifest = source.manifest
    return CheckpointInfo(
        iteration=manifest.iteration if manifest else _told_iteration(state, source.path),
        file=os.path.basename(source.path), bytes=source.bytes, saved_at=os.path.getmtime(source.path),
        verified=manifest is not None,
    )  # fmt: skip


def _told_iteration(state: dict[str, Any], path: str) -> int:
    """The last finished step by the checkpoint's scheduler, which stands at the next one."""
    try:
        return int(state["scheduler"]["iteration"]) - 1
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointUnusable(
            f"{path} does not tell its iteration, so training cannot go on from it: give it as TRAIN.WEIGHTS and take "
            f"{ANOTHER_FOLDER}"
        ) from error


def _differences(manifest: Manifest, config_hash: str) -> list[str]:
    values = {
        "number of ranks": (manifest.world_size, get_world_size()),
        "torch": (manifest.torch, str(torch.__version__)),
        "number of threads": (manifest.threads, torch.get_num_threads()),
        "hash of the configuration": (manifest.config_hash, config_hash),
    }
    return [f"the {name} was {before}, is {now}" for name, (before, now) in values.items() if before != now]
