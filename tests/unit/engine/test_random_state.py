from __future__ import annotations

import io
import random

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pet.engine.rng import get_rng_state, mix, seed_everything, set_rng_state


def draws() -> tuple[float, ...]:
    """One number from every generator, the second normal of a pair included."""
    return (
        random.random(), random.gauss(0, 1), float(np.random.standard_normal()), float(np.random.random()),
        float(torch.rand(())), float(torch.randn(())),
    )  # fmt: skip


def test_a_state_that_went_through_a_file_continues_every_generator() -> None:
    seed_everything(3, rank=1)
    draws()  # leaves the second half of a pair of normals in Python's and numpy's generators
    state = get_rng_state()
    expected = [draws() for _ in range(3)]
    file = io.BytesIO()
    torch.save(state, file)
    file.seek(0)
    seed_everything(4, rank=0)
    set_rng_state(torch.load(file, weights_only=True))
    assert [draws() for _ in range(3)] == expected


def test_taking_the_state_draws_nothing() -> None:
    seed_everything(0, rank=0)
    expected = draws()
    seed_everything(0, rank=0)
    get_rng_state()
    assert draws() == expected


def test_ranks_and_seeds_draw_different_numbers() -> None:
    seen = set()
    for seed, rank in [(0, 0), (0, 1), (1, 0), (1, 1)]:
        seed_everything(seed, rank)
        seen.add(draws())
    assert len(seen) == 4


@given(parts=st.lists(st.integers(0, 2**32), min_size=1, max_size=3))
def test_a_mixed_seed_is_one_that_torch_takes(parts: list[int]) -> None:
    assert 0 <= mix(*parts) < 2**63
    torch.Generator().manual_seed(mix(*parts))


def test_neighbouring_parts_give_unrelated_seeds() -> None:
    seeds = {mix(seed, epoch, index) for seed in range(10) for epoch in range(10) for index in range(100)}
    assert len(seeds) == 10_000
    assert mix(1, 2) != mix(2, 1)
    # Half of the 63 bits flip from one index to the next.
    flips = [bin(mix(0, 0, i) ^ mix(0, 0, i + 1)).count("1") for i in range(1000)]
    assert sum(flips) / len(flips) == pytest.approx(31.5, abs=1)
