from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
import torch
from harness.counting import StepCounter, StepMarks, fetch_in_advance
from harness.hooks import Bad
from harness.ranks import run_ranks
from harness.toy import Toy, ToyModel, short_toy, weights
from harness.training import differences
from torch import nn

from pet.engine.distributed import get_rank
from pet.engine.events import EventStorage
from pet.engine.hooks.evaluation import Evaluation
from pet.engine.loader import TrainLoader
from pet.engine.loop import TrainLoop
from pet.engine.session import Session

DECAY = 0.75
EMA = ("SOLVER.EMA.ENABLED", True, "SOLVER.EMA.DECAY", DECAY)
AMP = ("SOLVER.AMP.ENABLED", True)


class Normed(ToyModel):
    """With running statistics."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(8)

    def forward(self, inputs: torch.Tensor, targets: torch.Tensor | None = None) -> Any:
        return super().forward(self.norm(inputs), targets)


class History:
    """The weights after every step."""

    loop: TrainLoop

    def __init__(self) -> None:
        self.weights: list[dict[str, torch.Tensor]] = []

    def before_train(self) -> None:
        self.weights.append(weights(self.loop))

    def after_step(self, storage: EventStorage) -> None:
        self.weights.append(weights(self.loop))


def averaging(folder: Path, *overrides: Any, steps: int = 6, **fields: Any) -> Toy:
    return short_toy(folder, steps, *EMA, "SOLVER.OPTIMIZER.BASE_LR", 0.2, *overrides, **{"model": Normed, **fields})


def evaluated_by(evaluate: Callable[[Any], dict[str, float]], cfg: Any) -> Callable[..., Iterable[Any]]:
    def hooks(session: Session, loader: TrainLoader) -> list[Evaluation]:
        return [Evaluation(session, evaluate, cfg, loader, key_metric="top1")]

    return hooks


def saved(training: Toy, file: str) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    """The model in a checkpoint and the averaged one beside it."""
    state = torch.load(training.checkpoints / file, weights_only=True)
    return state["model"], state["extra"]["hooks"]["EMA"]["model"]


@pytest.mark.parametrize("overrides", [(), AMP, (*AMP, "SOLVER.AMP.DTYPE", "float16")], ids=["fp32", "bf16", "fp16"])
def test_the_average_is_that_of_the_weights_after_each_step_in_full_precision(
    tmp_path: Path, overrides: tuple[Any, ...]
) -> None:
    hook = History()
    training = averaging(tmp_path, *overrides, hooks=[hook])
    hook.loop = loop = training.build()
    loop.run()
    first, *steps = hook.weights
    assert len(steps) == 6
    model, averages = saved(training, "model_iter6.pth")
    assert list(averages) == list(model)
    for name, value in averages.items():
        if name in dict(loop.model.named_parameters()):
            expected = first[name].double()
            for step in steps:
                expected = DECAY * expected + (1 - DECAY) * step[name].double()
            assert value.dtype is torch.float32
            assert torch.allclose(value.double(), expected, rtol=1e-5, atol=1e-6)
            assert not torch.equal(value, model[name])
        else:
            assert torch.equal(value, model[name])


def test_a_training_is_the_same_with_an_average_and_without(tmp_path: Path) -> None:
    plain = weights(averaging(tmp_path / "plain", "SOLVER.EMA.ENABLED", False).run())
    cfg = averaging(tmp_path).cfg
    cfg.merge_from_list(["TEST.FREQUENCY_ITERS", 2])
    hooks = evaluated_by(lambda model: {"top1": 0.5}, cfg)
    other = averaging(tmp_path / "average", "TEST.FREQUENCY_ITERS", 2, last_hooks=hooks).run()
    assert differences(plain, weights(other)) == []


def test_the_average_is_what_is_evaluated_and_lies_beside_the_best_model(tmp_path: Path) -> None:
    seen: list[dict[str, torch.Tensor]] = []

    def evaluate(model: nn.Module) -> dict[str, float]:
        seen.append({name: value.clone() for name, value in model.state_dict().items()})
        return {"top1": 0.25}

    cfg = averaging(tmp_path).cfg
    training = averaging(tmp_path, last_hooks=evaluated_by(evaluate, cfg))
    loop = training.run()
    for file in ("model_iter6.pth", "model_epoch0-25.00.pth"):
        model, averages = saved(training, file)
        assert differences(dict(weights(loop)), dict(model)) == []
        assert differences(seen[0], dict(averages)) == []


def test_an_evaluation_that_fails_leaves_the_weights_that_train(tmp_path: Path) -> None:
    def evaluate(model: nn.Module) -> dict[str, float]:
        raise ValueError("oh")

    loop = averaging(tmp_path, last_hooks=evaluated_by(evaluate, averaging(tmp_path).cfg)).build()
    with pytest.raises(ValueError, match="oh"):
        loop.run()
    model = torch.load(tmp_path / "ckpt/model_iter6.pth", weights_only=True)["model"]
    assert differences(dict(model), weights(loop)) == []


@pytest.mark.parametrize("stop", [1, 3, 5])
@pytest.mark.parametrize("overrides", [(), (*AMP, "SOLVER.ACCUMULATE_STEPS", 2)], ids=["fp32", "bf16"])
def test_13_resumed_average_and_weights_are_bit_for_bit_those_of_an_uninterrupted_run(
    tmp_path: Path, stop: int, overrides: tuple[Any, ...]
) -> None:
    # ultralytics resumes from an average in float16, the only thing that it keeps.
    whole = averaging(tmp_path / "whole", *overrides)
    whole.run()
    part = averaging(tmp_path / "part", *overrides, "SOLVER.SNAPSHOT_ITER", stop,
                     hooks=[Bad(stop + 1, ValueError("oh"))])  # fmt: skip
    with pytest.raises(ValueError, match="oh"):
        part.run()
    part.again(hooks=()).run()
    for expected, found in zip(saved(whole, "model_iter6.pth"), saved(part, "model_iter6.pth"), strict=True):
        assert differences(dict(expected), dict(found)) == []


def test_an_average_that_is_switched_on_later_begins_with_the_weights_of_the_checkpoint(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    averaging(tmp_path, "SOLVER.EMA.ENABLED", False, steps=3).run()
    before = torch.load(tmp_path / "ckpt/model_iter3.pth", weights_only=True)["model"]
    training = averaging(tmp_path, steps=4)
    training.run()
    assert "hook EMA: no state in the checkpoint, starts fresh" in capsys.readouterr().out
    model, averages = saved(training, "model_iter4.pth")
    expected = DECAY * before["head.weight"] + (1 - DECAY) * model["head.weight"]
    assert torch.allclose(averages["head.weight"], expected)


class Tied(ToyModel):
    """One weight under two names."""

    def __init__(self) -> None:
        super().__init__()
        self.shared = nn.Linear(8, 8)
        self.shared.weight = self.hidden.weight

    def forward(self, inputs: torch.Tensor, targets: torch.Tensor | None = None) -> Any:
        return super().forward(self.shared(inputs), targets)


def test_a_weight_with_two_names_is_averaged_under_both(tmp_path: Path) -> None:
    training = averaging(tmp_path, model=Tied)
    training.run()
    model, averages = saved(training, "model_iter6.pth")
    assert torch.equal(averages["shared.weight"], averages["hidden.weight"])
    assert not torch.equal(averages["shared.weight"], model["shared.weight"])


def counted(folder: Path, enabled: bool) -> StepCounter:
    counter = StepCounter()
    loop = averaging(folder, "SOLVER.EMA.ENABLED", enabled, "MISC.DISPLAY_ITER", 6, hooks=[StepMarks(counter.mark)])
    built = loop.build()
    fetch_in_advance(built)
    with counter.watching():
        built.run()
    return counter


def test_it_costs_one_operation_a_step_and_no_read(tmp_path: Path) -> None:
    plain, average = counted(tmp_path / "plain", False), counted(tmp_path / "average", True)
    assert average.reads[:-1] == [[]] * 5
    assert [count - 1 for count in average.operations[1:-1]] == plain.operations[1:-1]


def _evaluated_by_a_rank(folder: str) -> dict[str, list[float]]:
    seen: list[dict[str, list[float]]] = []

    def evaluate(model: nn.Module) -> dict[str, float]:
        seen.append({name: value.flatten().tolist() for name, value in model.state_dict().items()})
        return {"top1": 0.25}

    path = Path(folder) / str(get_rank())
    averaging(path, last_hooks=evaluated_by(evaluate, averaging(path).cfg), save=False).run()
    return seen[0]


def test_all_ranks_evaluate_the_same_average_with_the_statistics_of_rank_0(tmp_path: Path) -> None:
    one, other = run_ranks(_evaluated_by_a_rank, 2, str(tmp_path))
    assert one == other
