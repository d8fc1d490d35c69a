"""Random state of a rank: seeded once, saved with a checkpoint, set back as the last thing before the first step."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch.utils.data import get_worker_info


def seed_everything(seed: int, rank: int) -> None:
    """Seed Python, numpy and torch, every rank differently. What must be equal on all ranks is seeded by `mix`."""
    seed_generators(value := mix(seed, rank))
    torch.manual_seed(value)  # those of the devices, too


def seed_generators(value: int) -> None:
    """Seed the CPU's generators: Python's, numpy's and torch's."""
    random.seed(value)
    np.random.seed(value % 2**32)
    torch.default_generator.manual_seed(value)


@contextmanager
def borrowed_generators() -> Iterator[None]:
    """Afterwards the CPU's generators go on as if nothing had been drawn inside."""
    if get_worker_info() is not None:  # nobody else draws there
        yield
        return
    python, numpy, own = random.getstate(), np.random.get_state(legacy=False), torch.get_rng_state()
    try:
        yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)
        torch.set_rng_state(own)


def mix(*parts: int) -> int:
    """One 63-bit seed from several integers.

    Neighbouring parts give unrelated seeds: each is folded in with the finalizer of SplitMix64
    (Steele, Lea, Flood: Fast Splittable Pseudorandom Number Generators, 2014).
    """
    state = 0
    for part in parts:
        state = (state ^ (part & _MASK)) + 0x9E3779B97F4A7C15 & _MASK
        state = (state ^ state >> 30) * 0xBF58476D1CE4E5B9 & _MASK
        state = (state ^ state >> 27) * 0x94D049BB133111EB & _MASK
        state ^= state >> 31
    return state >> 1


def get_rng_state() -> dict[str, Any]:
    """The state of every generator in this process, in types that a `weights_only` load accepts.

    A process that computes on the CPU takes nothing of a card, wherever it runs.
    """
    version, internal, gauss = random.getstate()
    numpy = dict(np.random.get_state(legacy=False))
    # A `weights_only` load refuses arrays, and torch does not store every unsigned type.
    numpy["state"] = {"key": torch.from_numpy(numpy["state"]["key"].astype(np.int64)), "pos": numpy["state"]["pos"]}
    state: dict[str, Any] = {
        "python": {"version": version, "internal": list(internal), "gauss": gauss},
        "numpy": numpy,
        "torch": torch.get_rng_state(),
    }
    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        state["cuda"] = torch.cuda.get_rng_state()
    return state


def set_rng_state(state: dict[str, Any]) -> None:
    """Set back what `get_rng_state` returned."""
    python, numpy = state["python"], state["numpy"]
    random.setstate((python["version"], tuple(python["internal"]), python["gauss"]))
    inner = numpy["state"]
    np.random.set_state({**numpy, "state": {"key": inner["key"].numpy().astype(np.uint32), "pos": inner["pos"]}})
    torch.set_rng_state(state["torch"])
    if "cuda" in state and torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        torch.cuda.set_rng_state(state["cuda"])


_MASK = 2**64 - 1
