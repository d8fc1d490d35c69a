from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from harness.hooks import Bad
from harness.ranks import run_ranks
from harness.toy import Toy, ToyData, ToyModel, short_toy, weights
from harness.training import differences
from torch import nn

from pet.engine.events import EventStorage
from pet.engine.hooks.precise_bn import PreciseBN
from pet.engine.loader import make_precise_bn_loader
from pet.engine.loop import TrainLoop

PRECISE = ("TEST.PRECISE_BN.ENABLED", True, "TEST.PRECISE_BN.NUM_ITER", 5)
STATISTICS = ("norm.running_mean", "norm.running_var")


class Normed(ToyModel):
    """Two batch norms, of the inputs and behind a layer, and something that draws."""

    def __init__(self) -> None:
        super().__init__()
        self.norm, self.later, self.dropout = nn.BatchNorm1d(8), nn.BatchNorm1d(8), nn.Dropout(0.2)

    def forward(self, inputs: torch.Tensor, targets: torch.Tensor | None = None) -> Any:
        return super().forward(self.dropout(self.later(self.norm(inputs))), targets)


def training(folder: Path, *overrides: Any, steps: int = 6, **fields: Any) -> Toy:
    return short_toy(folder, steps, *PRECISE, *overrides, **{"model": Normed, **fields})


def measured_inputs(toy: Toy) -> torch.Tensor:
    """All inputs that the statistics are taken from."""
    toy.build()  # a session, and what it seeds
    keys = [index for batch in make_precise_bn_loader(toy.cfg, ToyData()).batches for _, index in batch]
    assert len(keys) == 5 * 8
    return ToyData().inputs[keys]


def saved(toy: Toy, step: int) -> dict[str, torch.Tensor]:
    model: dict[str, torch.Tensor] = torch.load(toy.checkpoints / f"model_iter{step}.pth", weights_only=True)["model"]
    return model


def check(model: dict[str, Any], inputs: torch.Tensor) -> None:
    mean, variance = (torch.as_tensor(model[name]) for name in STATISTICS)
    assert torch.allclose(mean.double(), inputs.double().mean(0), atol=1e-6)
    assert torch.allclose(variance.double(), inputs.double().var(0), atol=1e-6)


@pytest.mark.parametrize("workers", [0, 2])
def test_row_10_what_a_save_holds_after_each_period_and_the_last_step_was_measured_before(
    tmp_path: Path, workers: int
) -> None:
    periods = (
        "DATA.LOADER_THREADS",
        workers,
        "TEST.PRECISE_BN.PERIOD",
        2,
        "SOLVER.SNAPSHOT_ITER",
        1,
        "SOLVER.SNAPSHOT_KEEP",
        0,
    )
    toy = training(tmp_path / "run", *periods, steps=5)
    toy.run()
    inputs = measured_inputs(training(tmp_path / "inputs"))
    for step in (2, 4, 5):
        check(saved(toy, step), inputs)
    for step in (1, 3):
        with pytest.raises(AssertionError):
            check(saved(toy, step), inputs)


@pytest.mark.parametrize("names", [{}, {"epoch": 1, "max_epoch": 2}, {"epoch": 1, "max_epochs": 2}])
def test_row_10_both_names_of_the_last_epoch_are_taken(tmp_path: Path, names: dict[str, int]) -> None:
    loop = training(tmp_path, steps=6).build()
    hook = loop.hooks.find(PreciseBN)
    assert hook is not None
    hook.after_step(EventStorage(6), **names)
    check(weights(loop), measured_inputs(training(tmp_path / "inputs")))


def _measured_by_a_rank(folder: str) -> dict[str, list[Any]]:
    loop = training(Path(folder)).run()
    return {name: value.tolist() for name, value in weights(loop).items()}


def test_row_10_statistics_are_those_of_all_ranks_together(tmp_path: Path) -> None:
    one, other = run_ranks(_measured_by_a_rank, 2, str(tmp_path / "run"))
    assert one == other
    check(one, measured_inputs(training(tmp_path / "inputs")))


def test_row_10_nothing_else_changes(tmp_path: Path) -> None:
    plain = weights(training(tmp_path / "plain", "TEST.PRECISE_BN.ENABLED", False).run())
    toy = training(tmp_path / "precise", "TEST.PRECISE_BN.PERIOD", 1, data=ToyData())
    found = weights(toy.run())
    changed = {name for name in plain if not torch.equal(plain[name], found[name])}
    assert changed == {*STATISTICS, "later.running_mean", "later.running_var"}


def test_one_batch_gives_what_torch_takes_from_one_batch(tmp_path: Path) -> None:
    loop = training(tmp_path, "TEST.PRECISE_BN.NUM_ITER", 1, steps=1, model=NormedTwice).run()
    model = loop.model
    assert isinstance(model, NormedTwice)
    found = weights(loop)
    batch = next(iter(make_precise_bn_loader(loop.cfg, ToyData())))
    for layer in (model.norm, model.later):
        layer.momentum = 1.0
    model(batch[0], batch[1])
    expected = weights(loop)
    for layer in ("norm", "later"):
        for name in ("running_mean", "running_var"):
            assert torch.allclose(found[f"{layer}.{name}"], expected[f"{layer}.{name}"], rtol=1e-5, atol=1e-6)


class NormedTwice(Normed):
    """Without what draws."""

    def __init__(self) -> None:
        super().__init__()
        self.dropout = nn.Identity()  # type: ignore[assignment]


class Aside(Normed):
    """One of the batch norms is named in its call, another is never called."""

    def __init__(self) -> None:
        super().__init__()
        self.named, self.aside = nn.BatchNorm1d(8), nn.BatchNorm1d(3)

    def forward(self, inputs: torch.Tensor, targets: torch.Tensor | None = None) -> Any:
        return super().forward(self.named(input=inputs), targets)


def test_a_layer_without_input_keeps_what_it_has(tmp_path: Path) -> None:
    toy = training(tmp_path, model=Aside)
    toy.run()
    model = saved(toy, 6)
    assert torch.equal(model["aside.running_mean"], torch.zeros(3))
    assert torch.equal(model["aside.running_var"], torch.ones(3))
    inputs = measured_inputs(toy).double()
    assert torch.allclose(model["named.running_mean"].double(), inputs.mean(0), atol=1e-6)


class Frozen(Normed):
    """The first layer keeps its statistics."""

    def __init__(self) -> None:
        super().__init__()
        self.norm.eval()


def test_layers_in_evaluation_mode_keep_what_they_have(tmp_path: Path) -> None:
    found = weights(training(tmp_path, model=Frozen).run())
    assert torch.equal(found["norm.running_mean"], torch.zeros(8))
    assert not torch.equal(found["later.running_mean"], torch.zeros(8))


def hook_of(loop: TrainLoop) -> PreciseBN | None:
    return loop.hooks.find(PreciseBN)


def test_without_a_layer_that_trains_there_is_nothing_to_measure(tmp_path: Path) -> None:
    assert hook_of(training(tmp_path / "plain", model=ToyModel).build()) is None
    assert hook_of(training(tmp_path / "normed").build()) is not None


@pytest.mark.parametrize("stop", [2, 3])
def test_a_training_goes_on_exactly(tmp_path: Path, stop: int) -> None:
    keys = ("TEST.PRECISE_BN.PERIOD", 2, "SOLVER.AMP.ENABLED", True)
    expected = weights(training(tmp_path / "whole", *keys).run())
    part = training(tmp_path / "part", *keys, "SOLVER.SNAPSHOT_ITER", stop, hooks=[Bad(stop + 1, ValueError("oh"))])
    with pytest.raises(ValueError, match="oh"):
        part.run()
    assert differences(expected, weights(part.again(hooks=()).run())) == []
