"""What a rank has taken of memory, and what there is to say when there is no more."""

from __future__ import annotations

import logging
import pickle
import resource
import sys
from collections.abc import Sequence
from pathlib import Path

import torch

from pet.runfiles.atomic import replace_bytes
from pet.runfiles.failure import text_of

logger = logging.getLogger(__name__)

_CPU_ALLOCATOR = "DefaultCPUAllocator: can't allocate memory"


def peak_memory_mib() -> int:
    """Of the GPU where there is one, else of this process."""
    if torch.cuda.is_initialized() and torch.cuda.max_memory_allocated():  # type: ignore[no-untyped-call]
        return torch.cuda.max_memory_allocated() // 2**20
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak // 2**20 if sys.platform == "darwin" else peak // 2**10


def explain_out_of_memory(error: BaseException, iteration: int, shape: Sequence[int]) -> torch.OutOfMemoryError | None:
    """For torch's error one that says in which step, with which batch of this rank, and what to do; None for others."""
    if not isinstance(error, torch.OutOfMemoryError) and _CPU_ALLOCATOR not in text_of(error):
        return None
    where = f"in iteration {iteration} with a batch of {list(shape)}, after a peak of {peak_memory_mib()} MiB"
    return torch.OutOfMemoryError(
        f"out of memory {where}: "
        "lower TRAIN.BATCH_SIZE and raise SOLVER.ACCUMULATE_STEPS to make up for it, or set SOLVER.AMP.ENABLED True. "
        f"torch says: {str(error).splitlines()[0]}"
    )


def keep_memory_snapshot(path: Path) -> None:
    """Where a GPU is used, keep what its allocator holds, block by block, for https://pytorch.org/memory_viz.

    Made beside an error that is to be told, so it raises none of its own.
    """
    if not torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_bytes(path, pickle.dumps(torch.cuda.memory._snapshot()))
    except Exception as error:
        logger.warning("no snapshot of the GPU's memory is kept: %r", error)
    else:
        logger.error("a snapshot of the GPU's memory is in %s, for https://pytorch.org/memory_viz", path)
