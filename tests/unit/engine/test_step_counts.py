from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from operator import methodcaller
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pytest
import torch
from harness.counting import CallCounter, StepCounter, StepMarks, bare_loop, fetch_in_advance
from harness.ranks import run_ranks
from harness.toy import Toy, toy_config

from pet.engine.distributed import get_rank

Counter = TypeVar("Counter", StepCounter, CallCounter)
STEPS, PERIOD = 40, 20
# The first step makes the momentum, and every PERIOD-th reads the window.
QUIET = [step for step in range(2, STEPS + 1) if step % PERIOD != 0]


def toy(folder: Path, *hooks: Any) -> Toy:
    schedule = ("SOLVER.SCHEDULER.TOTAL_ITERS", STEPS, "SOLVER.SCHEDULER.STEPS", (PERIOD,))  # a jump is logged
    return Toy(folder, toy_config("MISC.DISPLAY_ITER", PERIOD, *schedule), hooks=hooks)


def counted(folder: Path, counter: Counter, *hooks: Any) -> Counter:
    """The counts of a run of the loop with all the hooks that a training script has."""
    loop = toy(folder, StepMarks(counter.mark), *hooks).build()
    fetch_in_advance(loop)
    with counter.watching():
        loop.run()
    return counter


def counted_bare(folder: Path, counter: Counter) -> Counter:
    """The same model, optimizer and batches without a loop around them."""
    loop = toy(folder).build()
    batches = fetch_in_advance(loop)
    with counter.watching():
        bare_loop(loop.model, loop.optimizer, batches, counter.mark)
    return counter


def quiet(of_steps: list[Any]) -> list[Any]:
    assert len(of_steps) == STEPS
    return [of_steps[step - 1] for step in QUIET]


@dataclass(frozen=True)
class Counts:
    """By quiet step the operations of both loops, and what the real one reads; what it reads where a window ends."""

    bare: list[int]
    real: list[int]
    reads: list[list[str]]
    reads_of_a_window: list[str]


def counts(folder: Path) -> Counts:
    bare, real = counted_bare(folder / "bare", StepCounter()), counted(folder / "real", StepCounter())
    return Counts(quiet(bare.operations), quiet(real.operations), quiet(real.reads), real.reads[PERIOD - 1])


def _counts_of_a_rank(folder: str) -> dict[str, Any]:
    return asdict(counts(Path(folder) / str(get_rank())))


@pytest.fixture(scope="module", params=[1, 2], ids=["alone", "ddp"])
def of_ranks(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> list[Counts]:
    """The counts of each rank."""
    folder = tmp_path_factory.mktemp("counts")
    if request.param == 1:
        return [counts(folder)]
    return [Counts(**found) for found in run_ranks(_counts_of_a_rank, request.param, str(folder))]


def test_a_step_that_does_not_log_reads_no_tensor(of_ranks: list[Counts]) -> None:
    for rank in of_ranks:
        assert rank.reads == [[]] * len(QUIET)


def test_a_step_takes_at_most_four_operations_more_than_without_the_loop(of_ranks: list[Counts]) -> None:
    for rank in of_ranks:
        (bare,) = set(rank.bare)
        assert bare > 50  # forward, backward and the optimizer were seen
        assert max(rank.real) - bare <= 4


def test_row_16_a_window_is_read_at_its_end_all_at_once(of_ranks: list[Counts]) -> None:
    for rank in of_ranks:
        assert rank.reads_of_a_window == ["tolist"]


def test_a_step_that_does_not_log_makes_few_calls_and_no_more_once_there_is_a_history(tmp_path: Path) -> None:
    (bare,) = set(quiet(counted_bare(tmp_path / "bare", CallCounter()).calls))
    real = counted(tmp_path / "real", CallCounter()).calls
    first, second = real[:PERIOD], real[PERIOD:]
    (usual,) = {*first[1:-1], *second[:-1]}  # before the first window was read and later
    assert usual - bare <= 48


class Reader:
    """A hook of a user that looks at a tensor in each step."""

    def __init__(self, read: Callable[[torch.Tensor], Any]) -> None:
        self.read = read

    def after_step(self, storage: Any) -> None:
        self.read(torch.ones(1))


@pytest.mark.parametrize(
    ("read", "name"),
    [
        (methodcaller("item"), "item"),
        (methodcaller("tolist"), "tolist"),
        (methodcaller("cpu"), "cpu"),
        (methodcaller("numpy"), "numpy"),
        (np.asarray, "__array__"),
        (float, "__float__"),
        (int, "__int__"),
        (bool, "__bool__"),
        (math.isfinite, "__float__"),
        (lambda tensor: [0, 1][tensor.int()], "__index__"),
        (lambda tensor: torch.arange(tensor[0]), "_local_scalar_dense"),
    ],
)
def test_a_hook_that_reads_a_tensor_is_found_out(
    tmp_path: Path, read: Callable[[torch.Tensor], Any], name: str
) -> None:
    assert quiet(counted(tmp_path, StepCounter(), Reader(read)).reads) == [[name]] * len(QUIET)
