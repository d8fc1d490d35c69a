"""What a start compares with the checkpoint that it goes on from, and its ranks with each other."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from harness.ranks import run_ranks
from harness.toy import ToyData, short_toy, toy_config

from pet.config import ConfigError, JobEnvironment
from pet.engine.distributed import get_rank


def test_a_changed_key_and_another_bucket_size_are_named_at_a_resume(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    training = short_toy(tmp_path, 4)
    training.run()
    cfg = toy_config("SOLVER.SCHEDULER.TOTAL_ITERS", 6, "SOLVER.OPTIMIZER.MOMENTUM", 0.8)
    capsys.readouterr()
    loop = training.again(cfg=cfg).run()
    said = capsys.readouterr().out
    assert "resume is not bit-exact: SOLVER.OPTIMIZER.MOMENTUM was 0.9, is 0.8" in said
    assert "resume is not bit-exact: SOLVER.SCHEDULER.TOTAL_ITERS was 4, is 6" in said
    assert said.count("resume is not bit-exact: SOLVER") == 2
    resumed = training.again(cfg=cfg).build().checkpointer
    assert resumed._manifest is not None
    resumed._manifest = replace(resumed._manifest, bucket_bytes=25)
    assert resumed.differences(loop.model, {})[:1] == ["the size of gradient buckets was 25, is 0"]


def _unlike(folder: str) -> str:
    """Two ranks whose optimizer states differ before the first step."""
    loop = short_toy(Path(folder) / str(get_rank()), 3).build()
    parameter = next(loop.model.parameters())
    loop.optimizer.state[parameter]["momentum_buffer"] = torch.full_like(parameter, float(get_rank()))
    try:
        loop.run()
    except ConfigError as error:
        return str(error)
    return ""


def test_ranks_that_begin_with_unlike_states_stop_before_the_first_step(tmp_path: Path) -> None:
    first, second = run_ranks(_unlike, 2, str(tmp_path))
    assert first == second
    assert "ranks [1] have other parameters, or another optimizer state, than rank 0" in first


def _samples(folder: str, steps: int) -> list[int]:
    """Train up to this step; the samples that this rank took, in order."""
    data = ToyData(40)
    short_toy(Path(folder), steps, "MISC.DISPLAY_ITER", 100, data=data,
              environment=JobEnvironment(name="job", uid="uid-1", attempt=1)).run()  # fmt: skip
    return data.fetched


@pytest.mark.parametrize(("before", "after"), [(1, 2), (2, 1), (2, 4)])
def test_another_number_of_ranks_takes_the_same_samples_in_the_same_order(
    tmp_path: Path, before: int, after: int
) -> None:
    def trained(ranks: int, folder: Path, steps: int) -> list[list[int]]:
        """The samples of each step, those of all ranks together."""
        taken = run_ranks(_samples, ranks, str(folder), steps) if ranks > 1 else [_samples(str(folder), steps)]
        share = 8 // ranks
        taken = [mine[share:] if ranks > 1 else mine for mine in taken]  # the pass before the first step took a batch
        count = len(taken[0]) // share
        return [[n for mine in taken for n in mine[share * step : share * (step + 1)]] for step in range(count)]

    whole = trained(1, tmp_path / "whole", 9)
    assert trained(before, tmp_path / "part", 4) + trained(after, tmp_path / "part", 9) == whole
