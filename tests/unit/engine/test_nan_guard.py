"""Numbers that are not finite: nothing of them is saved, and the next start goes on from before them."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from harness.hooks import Everywhere
from harness.stores import hidden
from harness.toy import Toy, ToyData, short_toy, toy_config, weights

from pet.engine.errors import NonFinite, NonFiniteLoss, NonFiniteWeights, exit_code
from pet.engine.events import EventStorage
from pet.engine.hooks.average import EMA
from pet.engine.hooks.evaluation import Evaluation
from pet.engine.loader import make_train_data_loader

STEPS, BATCH = 12, 8
KEYS = ("SOLVER.SNAPSHOT_ITER", 3, "SOLVER.SNAPSHOT_KEEP", 0)


class BadData(ToyData):
    """200 samples, of which the first in the batch of step `step` is NaN (0: none)."""

    def __init__(self, step: int) -> None:
        super().__init__(200)
        if step:
            self.inputs[ORDER[BATCH * (step - 1)]] = math.nan


def _order() -> list[int]:
    """The samples in the order in which they are trained on, more than are needed."""
    loader = make_train_data_loader(toy_config("SOLVER.SCHEDULER.TOTAL_ITERS", 2 * STEPS), ToyData(200))
    return [index for batch in loader.batches for _, index in batch]


ORDER = _order()


def toy(folder: Path, step: int, *keys: Any, **fields: Any) -> Toy:
    return short_toy(folder, STEPS, *KEYS, *keys, data=BadData(step), **fields)


@pytest.mark.parametrize(("step", "before"), [(7, 6), (6, 3), (2, 0)])
def test_a_bad_sample_ends_training_with_77_again_and_again(tmp_path: Path, step: int, before: int) -> None:
    training = toy(tmp_path, step)
    for _ in range(2):
        with pytest.raises(NonFiniteLoss, match=f"at iteration {step}") as raised:
            training.run()
        assert exit_code(raised.value) == 77
        assert training.files == [f"model_iter{number}.pth" for number in range(3, before + 1, 3)]
        assert training.build().iteration == before


@pytest.mark.parametrize("step", [7, 6, 2])
@pytest.mark.parametrize("workers", [0, 2])
def test_its_samples_are_left_out_on_request(
    tmp_path: Path, step: int, workers: int, capsys: pytest.CaptureFixture[str]
) -> None:
    keys = ("SOLVER.NAN_GUARD_SKIP", True, "DATA.LOADER_THREADS", workers)
    training = toy(tmp_path, step, *keys)
    with pytest.raises(NonFiniteLoss):
        training.run()
    # The update of the step before may have done it, unless what it gave was saved, and thus finite.
    gone = [step] if (step - 1) % 3 == 0 else [step - 1, step]
    expected = [n for place in range(1, STEPS + len(gone) + 1) if place not in gone
                for n in ORDER[BATCH * (place - 1) : BATCH * place]]  # fmt: skip
    resumed = (step - 1) // 3 * 3
    again = training.again(data=BadData(step))
    loop = again.run()
    if not workers:
        assert again.data.fetched == expected[BATCH * resumed :]  # type: ignore[union-attr]
    words = f"the samples of steps {', '.join(map(str, gone))} are left out"
    assert words in capsys.readouterr().out
    assert loop.iteration == STEPS
    # Whoever goes on from there leaves out the same, and one that was interrupted again ends with the same weights.
    for file in ("model_iter12", "model_iter9"):
        for path in training.checkpoints.glob(f"{file}.*"):
            path.unlink()
    (training.checkpoints / "model_latest.pth").unlink()
    rest = training.again(data=BadData(step)).run()
    assert rest.iteration == STEPS
    assert all(torch.equal(value, weights(loop)[name]) for name, value in weights(rest).items())


class Spoils:
    """Makes one weight, or what the optimizer or the EMA keeps of it, infinite after a step, which no loss of that step
    tells."""

    def __init__(self, step: int, part: str) -> None:
        self.step, self.part = step, part
        self.loop: Any = None

    def after_step(self, storage: EventStorage) -> None:
        if storage.iter == self.step:
            parameter = next(self.loop.model.parameters())
            match self.part:
                case "weight":
                    value = parameter.data
                case "momentum":
                    value = self.loop.optimizer.state[parameter]["momentum_buffer"]
                case "average":
                    value = self.loop.hooks.find(EMA)._averages[0]
            value.view(-1)[0] = math.inf


@pytest.mark.parametrize(
    ("part", "number", "name"),
    [("weight", 8, "model.hidden.weight"), ("momentum", 8, r"optimizer.\d.momentum_buffer"),
     ("average", 4, "EMA.hidden.weight")],
)  # fmt: skip
def test_a_state_that_no_loss_tells_of_is_not_saved_either(tmp_path: Path, part: str, number: int, name: str) -> None:
    spoils = Spoils(6, part)
    training = toy(tmp_path, 0, "SOLVER.EMA.ENABLED", part == "average", hooks=[spoils])
    spoils.loop = training.build()
    words = f"1 of {number} tensors are not finite after iteration 6, among them {name}:"
    with pytest.raises(NonFiniteWeights, match=words) as raised:
        spoils.loop.run()
    assert exit_code(raised.value) == 77
    assert training.files == ["model_iter3.pth"]
    assert not hidden(training.checkpoints, "rolledback")


def test_no_best_model_comes_of_a_step_whose_losses_were_not_read_yet(tmp_path: Path) -> None:
    def result(model: Any) -> dict[str, float]:
        return {"top1": 0.5}

    cfg = toy_config("SOLVER.SCHEDULER.TOTAL_ITERS", STEPS, "TEST.FREQUENCY_ITERS", 4, "SOLVER.SNAPSHOT_ITER", 0)
    training = Toy(
        tmp_path, cfg, data=BadData(4), hooks=[hook := Everywhere()],
        last_hooks=lambda session, loader: [Evaluation(session, result, cfg, loader, key_metric="top1")],
    )  # fmt: skip
    with pytest.raises(NonFinite, match="at iteration 4"):
        training.run()
    assert training.files == []
    assert "after_eval" not in hook.calls


def test_without_the_look_at_the_state_it_would_be_saved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pet.engine.checkpoint.snapshot.require_finite", lambda state, iteration: None)
    spoils = Spoils(6, "weight")
    training = toy(tmp_path, 0, hooks=[spoils])
    spoils.loop = training.build()
    with pytest.raises(NonFiniteLoss):
        spoils.loop.run()
    assert "model_iter6.pth" in training.files
