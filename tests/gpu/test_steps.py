"""What steps and saves on a card cost besides time: waits of the host, memory, and bits of a copy that is written while
training goes on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from harness.card import DEVICE, NeverWaits
from harness.ranks import run_ranks
from harness.toy import short_toy
from harness.training import differences
from torch import nn

PERIOD = 20  # steps between two lines of the log
STEPS = 100
WARM_UP = 20  # steps in which kernels are chosen and memory is taken
EVERY_STEP = (
    "MISC.DEVICE", DEVICE, "MISC.DISPLAY_ITER", PERIOD, "SOLVER.SNAPSHOT_ITER", 0, "DATA.LOADER_THREADS", 2,
    "SOLVER.OPTIMIZER.CLIP_GRADIENTS.ENABLED", True, "SOLVER.OPTIMIZER.CLIP_GRADIENTS.CLIP_TYPE", "full_model",
)  # fmt: skip
KINDS: dict[str, tuple[Any, ...]] = {
    "fp32": (),
    "adamw": ("SOLVER.OPTIMIZER.TYPE", "ADAMW"),
    "bfloat16": ("SOLVER.AMP.ENABLED", True),
    "float16": ("SOLVER.AMP.ENABLED", True, "SOLVER.AMP.DTYPE", "float16"),
    "float16-adamw": ("SOLVER.AMP.ENABLED", True, "SOLVER.AMP.DTYPE", "float16", "SOLVER.OPTIMIZER.TYPE", "ADAMW"),
    "accumulation-and-average": ("SOLVER.ACCUMULATE_STEPS", 3, "SOLVER.EMA.ENABLED", True),
    "no-guard": ("SOLVER.NAN_GUARD", False),
    "clipped-by-value": ("SOLVER.OPTIMIZER.CLIP_GRADIENTS.CLIP_TYPE", "value"),
}


class Reader:
    """A hook that reads a number of the device in one step."""

    def __init__(self, step: int) -> None:
        self.step = step

    def after_step(self, storage: Any, **epochs: int) -> None:
        if storage.iter == self.step:
            torch.ones((), device=DEVICE).item()


class Wide(nn.Module):
    """Large enough for a copy to take longer than the host needs to begin the next step; one convolution in front."""

    WIDTH = 2048

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(2, 4, 3, padding=1)
        self.layers = nn.Sequential(nn.Linear(16, self.WIDTH), nn.ReLU(), nn.Linear(self.WIDTH, self.WIDTH), nn.ReLU(),
                                    nn.Linear(self.WIDTH, 4))  # fmt: skip

    def forward(self, inputs: torch.Tensor, targets: torch.Tensor) -> Any:
        """Inputs [N, 8], targets [N, 4]."""
        outputs = self.layers(self.stem(inputs.view(-1, 2, 2, 2)).flatten(1))
        return {"losses": {"loss": (outputs - targets).square().mean()}, "metrics": {}}


class MemoryLog:
    """Notes what is taken of the card where a window begins: the same work lies behind it each time."""

    def __init__(self) -> None:
        self.taken: list[tuple[int, int]] = []  # bytes, and those with what torch keeps for later
        self.pinned: list[int] = []  # bytes of the host

    def before_step(self, storage: Any) -> None:
        if storage.iter % PERIOD == 1:
            self.taken.append((torch.cuda.memory_allocated(), torch.cuda.memory_reserved()))
            self.pinned.append(torch.cuda.host_memory_stats()["allocated_bytes.current"])


@pytest.mark.usefixtures("card")
@pytest.mark.parametrize("kind", KINDS)
def test_a_step_that_does_not_log_never_waits_for_the_card(kind: str, tmp_path: Path) -> None:
    never = NeverWaits(WARM_UP, PERIOD, STEPS)
    short_toy(tmp_path, STEPS, *EVERY_STEP, *KINDS[kind], save=False, hooks=[never]).run()
    assert never.watched == (STEPS - WARM_UP) * (PERIOD - 1) / PERIOD


@pytest.mark.usefixtures("card")
def test_a_wait_would_be_seen(tmp_path: Path) -> None:
    training = short_toy(
        tmp_path, STEPS, *EVERY_STEP, save=False, hooks=[NeverWaits(WARM_UP, PERIOD, STEPS), Reader(50)]
    )
    with pytest.raises(RuntimeError, match="synchronizing CUDA operation"):
        training.run()
    torch.cuda.set_sync_debug_mode("default")


@pytest.mark.usefixtures("card")
def test_neither_steps_nor_saves_take_more_and_more_memory(tmp_path: Path) -> None:
    log = MemoryLog()
    keys = ("SOLVER.SNAPSHOT_ITER", 5, "SOLVER.EMA.ENABLED", True, "SOLVER.SNAPSHOT_BACKGROUND", True)
    short_toy(tmp_path, 10 * PERIOD, *EVERY_STEP, *keys, model=Wide, hooks=[log]).run()
    assert len(log.taken) == 10
    assert set(log.taken[2:]) == {log.taken[2]}, log.taken
    assert log.pinned[-1] - log.pinned[2] < Wide.WIDTH**2, log.pinned  # loaded batches are small, and vary


def _saved(folder: str, keys: tuple[Any, ...]) -> list[str]:
    training = short_toy(Path(folder), 12, *EVERY_STEP, "MISC.DETERMINISTIC", True, "MISC.CHANNELS_LAST", True,
                         "SOLVER.SNAPSHOT_ITER", 2, "SOLVER.SNAPSHOT_KEEP", 0, *keys, model=Wide)  # fmt: skip
    training.run()
    return training.files


def saved(folder: Path, background: bool, *keys: Any) -> list[dict[str, Any]]:
    """What a training on the card saves after each second step. In a process of its own: one that has computed before
    can become deterministic no more."""
    run = run_ranks(_saved, 1, str(folder), ("SOLVER.SNAPSHOT_BACKGROUND", background, *keys))
    assert run == [sorted(f"model_iter{step}.pth" for step in range(2, 13, 2))]
    return [torch.load(folder / "ckpt" / file, weights_only=True) for file in run[0]]


@pytest.mark.parametrize("keys", [(), ("SOLVER.OPTIMIZER.TYPE", "ADAMW", "SOLVER.EMA.ENABLED", True)], ids=str)
def test_what_a_thread_writes_is_bit_for_bit_what_the_loop_would_have_written(
    keys: tuple[Any, ...], tmp_path: Path
) -> None:
    at_once, beside = saved(tmp_path / "at-once", False, *keys), saved(tmp_path / "beside", True, *keys)
    for one, other in zip(at_once, beside, strict=True):
        for part in ("model", "optimizer", "scheduler", "ranks"):
            assert differences(one[part], other[part], part) == []
        assert differences(one["extra"]["hooks"], other["extra"]["hooks"], "hooks") == []
    assert differences(at_once[0]["model"], at_once[1]["model"]) != []
    assert all(value.is_contiguous() for value in beside[0]["model"].values())


def _cards_taken(folder: str) -> tuple[bool, bool]:
    before = torch.cuda.is_initialized()
    short_toy(Path(folder), 6, "SOLVER.SNAPSHOT_ITER", 2).run()
    return before, torch.cuda.is_initialized()


@pytest.mark.usefixtures("card")
def test_a_training_on_the_cpu_takes_nothing_of_the_card(tmp_path: Path) -> None:
    assert run_ranks(_cards_taken, 1, str(tmp_path)) == [(False, False)]
