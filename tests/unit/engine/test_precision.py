from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from harness.counting import StepCounter, StepMarks, fetch_in_advance
from harness.hooks import Bad
from harness.ranks import run_ranks
from harness.toy import Toy, ToyModel, short_toy, weights
from harness.training import differences

from pet.config import Config, get_base_cfg
from pet.engine.distributed import get_rank
from pet.engine.errors import GradientOverflow, NonFiniteLoss, exit_code
from pet.engine.events import EventStorage
from pet.engine.loop import TrainLoop
from pet.engine.metrics import MOST_OVERFLOWS
from pet.engine.optimizer import Optimizer
from pet.engine.precision import Precision
from pet.runfiles.exits import ExitCode
from pet.runfiles.metrics import JobMetrics, read_metrics_file

FULL: tuple[Any, ...] = ()
BF16 = ("SOLVER.AMP.ENABLED", True)
FP16 = (*BF16, "SOLVER.AMP.DTYPE", "float16")
ALL = pytest.mark.parametrize("amp", [FULL, BF16, FP16], ids=["fp32", "bf16", "fp16"])
TYPES = {FULL: torch.float32, BF16: torch.bfloat16, FP16: torch.float16}
CLIP = ("SOLVER.OPTIMIZER.CLIP_GRADIENTS.ENABLED", True, "SOLVER.OPTIMIZER.CLIP_GRADIENTS.CLIP_TYPE", "full_model")


class Gentle(ToyModel):
    """Its gradients are so small that float16 holds them at the first scale."""

    def forward(self, inputs: torch.Tensor, targets: torch.Tensor | None = None) -> Any:
        outputs = super().forward(inputs, targets)
        if targets is not None:
            outputs["losses"] = {name: loss / 64 for name, loss in outputs["losses"].items()}
        return outputs


def published(loop: TrainLoop) -> JobMetrics:
    metrics = read_metrics_file(loop.session.run_dir.metrics(0))
    assert metrics is not None
    return metrics


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(value, other[name]) for name, value in one.items())


@ALL
def test_the_model_computes_in_the_chosen_precision_and_everything_else_in_full(
    tmp_path: Path, amp: tuple[Any, ...]
) -> None:
    loop = short_toy(tmp_path, 2, *amp, model=Gentle).build()
    seen: list[torch.dtype] = []
    loop.model.get_submodule("head").register_forward_hook(lambda _, inputs, output: seen.append(output.dtype))
    loop.run()
    assert seen == [TYPES[amp]] * 2
    tensors = [*loop.model.state_dict().values(), *(parameter.grad for parameter in loop.model.parameters())]
    tensors += [value for state in loop.optimizer.state.values() for value in state.values()]
    assert {tensor.dtype for tensor in tensors if tensor is not None} == {torch.float32}
    assert published(loop).precision == {FULL: "fp32", BF16: "bf16", FP16: "fp16"}[amp]
    assert (published(loop).amp_loss_scale, published(loop).amp_skipped_steps) == (65536.0 if amp == FP16 else None, 0)


class Seen:
    """The gradients before clipping, and how far the weights move in each step."""

    loop: TrainLoop

    def __init__(self) -> None:
        self.gradients: list[torch.Tensor] = []
        self.moves: list[torch.Tensor] = []

    def before_step(self, storage: EventStorage) -> None:
        self.before = self._weights()

    def after_backward(self, storage: EventStorage) -> None:
        grads = [parameter.grad.flatten() for parameter in self.loop.model.parameters() if parameter.grad is not None]
        self.gradients.append(torch.cat(grads))

    def after_step(self, storage: EventStorage) -> None:
        self.moves.append(self._weights() - self.before)

    def _weights(self) -> torch.Tensor:
        return torch.cat([parameter.detach().flatten() for parameter in self.loop.model.parameters()])


def first_step(folder: Path, *overrides: Any) -> tuple[torch.Tensor, torch.Tensor, float | None]:
    """Gradient, move and the told norm of the first step."""
    hook = Seen()
    loop = short_toy(folder, 1, "SOLVER.SCHEDULER.WARM_UP_ITERS", 0, *overrides, model=Gentle, hooks=[hook]).build()
    hook.loop = loop
    loop.run()
    return hook.gradients[0], hook.moves[0], loop._storage.latest().get("grad_norm")


@ALL
@pytest.mark.parametrize("batches", [1, 3])
@pytest.mark.parametrize("clip", [None, 1e-4, 1e3])
def test_5_every_option_holds_in_every_precision(
    tmp_path: Path, amp: tuple[Any, ...], batches: int, clip: float | None
) -> None:
    # detectron2's trainer for AMP drops an option of the one without.
    keys = ["SOLVER.ACCUMULATE_STEPS", batches, "SOLVER.OPTIMIZER.BIAS_LR_FACTOR", 1.0,
            "SOLVER.OPTIMIZER.WEIGHT_DECAY", 0.0]  # fmt: skip
    keys += [] if clip is None else [*CLIP, "SOLVER.OPTIMIZER.CLIP_GRADIENTS.CLIP_VALUE", clip]
    expected, _, _ = first_step(tmp_path / "full", *keys)
    gradient, move, told = first_step(tmp_path / "amp", *keys, *amp)
    assert torch.allclose(gradient, expected, rtol=0.03, atol=2e-4)
    norm = float(gradient.norm())
    if clip is None:
        assert told is None
    else:
        assert told == pytest.approx(norm, rel=1e-5)
    applied = gradient * min(1.0, clip / norm if clip else 1.0)
    assert torch.allclose(move, -0.01 * applied, rtol=1e-3, atol=1e-7)


class Spoilt(Gentle):
    """Its gradient overflows float16 in some calls, its loss does not."""

    def __init__(self, *calls: int, loss: float = 1.0) -> None:
        super().__init__()
        self.spoilt, self.factor, self.calls = calls, loss, 0

    def forward(self, inputs: torch.Tensor, targets: torch.Tensor | None = None) -> Any:
        outputs = super().forward(inputs, targets)
        if targets is None:
            return outputs
        self.calls += 1
        if self.calls in self.spoilt:
            loss = outputs["losses"]["loss_box"]
            loss.register_hook(lambda gradient: gradient * math.inf)
            outputs["losses"]["loss_box"] = loss * self.factor
        return outputs


FUSED = pytest.mark.parametrize("fused", [False, True])


@FUSED
@pytest.mark.parametrize("spoilt", [1, 3])
def test_a_step_that_overflows_changes_no_weight_and_is_counted(tmp_path: Path, fused: bool, spoilt: int) -> None:
    hook = Seen()
    training = short_toy(tmp_path, 4, *FP16, "SOLVER.SNAPSHOT_ITER", 1, "SOLVER.SNAPSHOT_KEEP", 0,
                         model=lambda: Spoilt(spoilt, loss=math.inf), hooks=[hook], fused=fused)  # fmt: skip
    loop = training.build()
    hook.loop = loop
    loop.run()
    assert [bool(move.abs().sum() == 0) for move in hook.moves] == [step == spoilt for step in range(1, 5)]
    assert all(parameter.isfinite().all() for parameter in loop.model.parameters())
    assert published(loop).amp_skipped_steps == 1
    assert published(loop).amp_loss_scale == 32768.0
    saved = torch.load(training.checkpoints / f"model_iter{spoilt}.pth", weights_only=True)["extra"]["scaler"]
    assert (saved["scale"], saved["overflows"]) == (32768.0, 1)
    saved = torch.load(training.checkpoints / "model_iter4.pth", weights_only=True)["extra"]["scaler"]
    assert (saved["scale"], saved["_growth_tracker"], saved["overflows"]) == (32768.0, 4 - spoilt, 0)


@FUSED
@pytest.mark.parametrize("kind", ["SGD", "ADAMW", "ADAM"])
def test_a_checkpoint_of_other_kernels_is_gone_on_from_with_ones_own(tmp_path: Path, kind: str, fused: bool) -> None:
    """It is that of another device. With its kernels the optimizer would not hear of an overflow."""
    keys = (*FP16, "SOLVER.OPTIMIZER.TYPE", kind)
    short_toy(tmp_path, 2, *keys, model=Gentle, fused=not fused).run()
    hook = Seen()
    loop = short_toy(tmp_path, 4, *keys, model=lambda: Spoilt(1), hooks=[hook], fused=fused).build()
    hook.loop = loop
    loop.run()
    assert {group["fused"] for group in loop.optimizer.param_groups} == {fused or None}
    assert [bool(move.abs().sum() == 0) for move in hook.moves] == [True, False]


@pytest.mark.parametrize("kind", ["SGD", "ADAMW", "ADAM"])
def test_after_a_first_step_that_overflows_the_optimizer_begins_as_if_it_had_not_been(kind: str) -> None:
    # torch's fused SGD takes memory as it finds it for the momentum of such a step.
    def trained(spoilt: bool) -> list[list[float]]:
        torch.manual_seed(0)
        model, cfg = ToyModel(), config(*FP16, "SOLVER.OPTIMIZER.TYPE", kind)
        optimizer = Optimizer(model, cfg.SOLVER.OPTIMIZER, fused=True).build()
        precision = Precision(cfg.SOLVER.AMP, torch.device("cpu"))
        for step in range(not spoilt, 4):
            optimizer.zero_grad()
            precision.scale(sum(p.square().sum() for p in model.parameters())).backward()  # type: ignore[arg-type]
            if step == 0:
                model.head.bias.grad.fill_(math.inf)  # type: ignore[union-attr]
            precision.unscale(optimizer)
            precision.step(optimizer)
        return [parameter.tolist() for parameter in model.parameters()]

    assert trained(True) == trained(False)


def config(*overrides: Any) -> Config:
    cfg = get_base_cfg("cls")
    cfg.merge_from_list(list(overrides))
    return cfg


def test_an_overflow_is_known_where_nothing_else_is_told(tmp_path: Path) -> None:
    keys = (*FP16, *CLIP, "TRAIN.METRICS_ON", False, "MISC.DISPLAY_ITER", 1)
    loop = short_toy(tmp_path, 4, *keys, model=lambda: Spoilt(2, loss=math.inf)).run()
    assert (loop.iteration, published(loop).amp_skipped_steps) == (4, 1)
    assert not {"grad_norm", "total_loss"} & set(loop._storage.histories())


@pytest.mark.parametrize("period", [1, 7, 200])
def test_fifty_overflows_in_a_row_are_an_error_and_fewer_are_not(tmp_path: Path, period: int) -> None:
    keys = (*FP16, "MISC.DISPLAY_ITER", period)
    few = (*range(2, 1 + MOST_OVERFLOWS), *range(2 + MOST_OVERFLOWS, 1 + 2 * MOST_OVERFLOWS))
    loop = short_toy(tmp_path / "few", 110, *keys, model=lambda: Spoilt(*few)).run()
    assert published(loop).amp_skipped_steps == len(few) == 2 * (MOST_OVERFLOWS - 1)
    many = range(5, 5 + MOST_OVERFLOWS)
    with pytest.raises(GradientOverflow, match=r"in 50 steps in a row, from iteration 5 on.*bfloat16") as caught:
        short_toy(tmp_path / "many", 110, *keys, model=lambda: Spoilt(*many)).run()
    assert caught.value.iteration == 5
    assert exit_code(caught.value) is ExitCode.NUMERIC_GUARD


def test_after_overflows_that_outlast_all_older_checkpoints_the_oldest_is_gone_on_from(tmp_path: Path) -> None:
    keys = (*FP16, "SOLVER.SNAPSHOT_ITER", 10, "SOLVER.SNAPSHOT_KEEP", 2)
    training = short_toy(tmp_path, 110, *keys, model=lambda: Spoilt(*range(15, 15 + MOST_OVERFLOWS)))
    with pytest.raises(GradientOverflow):
        training.run()
    assert training.files == ["model_iter50.pth", "model_iter60.pth"]
    assert training.build().iteration == 50


def test_overflows_in_a_row_are_counted_on_over_a_restart(tmp_path: Path) -> None:
    spoilt = range(5, 5 + MOST_OVERFLOWS)
    keys = (*FP16, "SOLVER.SNAPSHOT_ITER", 20)
    part = short_toy(tmp_path, 110, *keys, model=lambda: Spoilt(*spoilt), hooks=[Bad(31, ValueError("oh"))])
    with pytest.raises(ValueError, match="oh"):
        part.run()
    with pytest.raises(GradientOverflow) as caught:
        part.again(hooks=(), model=lambda: Spoilt(*(step - 20 for step in spoilt))).run()
    assert caught.value.iteration == 5


@pytest.mark.parametrize("amp", [FULL, BF16], ids=["fp32", "bf16"])
def test_without_a_scale_there_is_no_such_thing_as_a_harmless_overflow(tmp_path: Path, amp: tuple[Any, ...]) -> None:
    with pytest.raises(NonFiniteLoss, match="loss 'loss_box' is inf at iteration 2"):
        short_toy(tmp_path, 9, *amp, "MISC.DISPLAY_ITER", 1, model=lambda: Spoilt(2, loss=math.inf)).run()


@ALL
@pytest.mark.parametrize("stop", [2, 3])
def test_a_training_goes_on_exactly(tmp_path: Path, amp: tuple[Any, ...], stop: int) -> None:
    keys = (*amp, *CLIP, "SOLVER.ACCUMULATE_STEPS", 2)
    whole = short_toy(tmp_path / "whole", 6, *keys, model=lambda: Spoilt(6))
    part = short_toy(tmp_path / "part", 6, *keys, "SOLVER.SNAPSHOT_ITER", stop, model=lambda: Spoilt(6),
                     hooks=[Bad(stop + 1, ValueError("oh"))])  # fmt: skip
    if amp != FP16:  # there an overflow would be an error
        whole, part = whole.again(model=Gentle), part.again(model=Gentle)
    expected = weights(whole.run())
    with pytest.raises(ValueError, match="oh"):
        part.run()
    rest = part.again(hooks=(), model=lambda: Spoilt(6 - 2 * stop)) if amp == FP16 else part.again(hooks=())
    assert same(expected, weights(rest.run()))
    ends = [torch.load(toy.checkpoints / "model_iter6.pth", weights_only=True)["extra"]["scaler"]
            for toy in (whole, part)]  # fmt: skip
    assert differences(*ends) == []
    assert (ends[0] != {}) == (amp == FP16)


def test_a_scale_begins_anew_where_the_checkpoint_has_none(tmp_path: Path) -> None:
    training = short_toy(tmp_path, 4, *BF16, "SOLVER.SNAPSHOT_ITER", 2)
    training.run()
    loop = short_toy(tmp_path, 6, *FP16, model=Gentle).run()
    assert published(loop).amp_loss_scale == 65536.0


@ALL
def test_a_step_reads_nothing(tmp_path: Path, amp: tuple[Any, ...]) -> None:
    counter = StepCounter()
    loop = short_toy(tmp_path, 8, *amp, *CLIP, "MISC.DISPLAY_ITER", 8, hooks=[StepMarks(counter.mark)],
                     fused=True).build()  # fmt: skip
    fetch_in_advance(loop)
    with counter.watching():
        loop.run()
    assert counter.reads[:-1] == [[]] * 7
    assert len(set(counter.operations[1:-1])) == 1


def _overflow_of_one_rank(folder: str) -> dict[str, Any]:
    spoilt = (3,) if get_rank() == 1 else ()  # the first call is the pass before the first step
    training: Toy = short_toy(Path(folder), 4, *FP16, "SOLVER.DDP.FIND_UNUSED", False, model=lambda: Spoilt(*spoilt))
    loop = training.run()
    return {"weights": {name: value.tolist() for name, value in weights(loop).items()},
            "scale": loop._update.precision.state_dict(), "overflows": loop._storage.overflows}  # fmt: skip


def test_ranks_leave_out_the_same_steps(tmp_path: Path) -> None:
    one, other = run_ranks(_overflow_of_one_rank, 2, str(tmp_path))
    assert one == other
    assert (one["overflows"], one["scale"]["scale"]) == (1, 32768.0)
