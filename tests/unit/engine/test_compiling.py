from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from harness.hooks import Bad
from harness.ranks import run_ranks
from harness.toy import Toy, ToyModel, short_toy, weights
from harness.training import differences
from torch._dynamo import lookup_backend

from pet.config import ConfigError
from pet.engine import compiling
from pet.engine.distributed import get_rank
from pet.engine.session import current_session
from pet.runfiles.heartbeat import Section

COMPILE = ("MISC.COMPILE", True)


@pytest.fixture(autouse=True)
def without_generated_code(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """torch traces and differentiates; it writes no kernels, for which not every machine has a compiler."""
    monkeypatch.setattr(compiling, "BACKEND", "aot_eager")
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    yield
    torch._dynamo.reset()


def compiled(folder: Path, *overrides: Any, steps: int = 4, **fields: Any) -> Toy:
    return short_toy(folder, steps, *COMPILE, "MISC.DISPLAY_ITER", 1, *overrides, **fields)


def test_a_compiled_training_gives_the_weights_of_another_one_under_the_same_names(tmp_path: Path) -> None:
    plain = short_toy(tmp_path / "plain", 4)
    expected = weights(plain.run())
    training = compiled(tmp_path / "compiled")
    loop = training.run()
    found = weights(loop)
    assert list(found) == list(expected)
    assert all(torch.allclose(found[name], value, rtol=1e-4, atol=1e-6) for name, value in expected.items())
    assert list(torch.load(training.checkpoints / "model_iter4.pth", weights_only=True)["model"]) == list(expected)
    assert loop._storage.history("recompiles").latest == 0


def test_all_is_compiled_before_the_first_step(tmp_path: Path) -> None:
    loop = compiled(tmp_path, save=False).build()
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] == 1
    loop.run()
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] == 1


@pytest.mark.parametrize("overrides", [(), ("SOLVER.AMP.ENABLED", True, "SOLVER.ACCUMULATE_STEPS", 2)])
def test_a_training_goes_on_exactly(tmp_path: Path, overrides: tuple[Any, ...]) -> None:
    expected = weights(compiled(tmp_path / "whole", *overrides).run())
    part = compiled(tmp_path / "part", *overrides, "SOLVER.SNAPSHOT_ITER", 2, hooks=[Bad(3, ValueError("oh"))])
    with pytest.raises(ValueError, match="oh"):
        part.run()
    assert differences(expected, weights(part.again(hooks=()).run())) == []


class Depths(ToyModel):
    """Needs a new compilation in each of its first steps."""

    def __init__(self) -> None:
        super().__init__()
        self.depth = 0

    def forward(self, inputs: torch.Tensor, targets: torch.Tensor | None = None) -> Any:
        for _ in range(self.depth):
            inputs = torch.tanh(inputs)
        return super().forward(inputs, targets)


class Deeper:
    """Changes what the model computes before a step."""

    def __init__(self, model: Depths, last: int) -> None:
        self.model, self.last = model, last

    def before_step(self, storage: Any) -> None:
        self.model.depth = min(storage.iter, self.last)


@pytest.mark.parametrize(("last", "told"), [(3, False), (7, True)])
def test_compilations_in_later_steps_are_counted_and_many_are_warned_of(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], last: int, told: bool
) -> None:
    model = Depths()
    loop = compiled(tmp_path, steps=8, model=lambda: model, hooks=[Deeper(model, last)], save=False).run()
    assert loop._storage.history("recompiles").latest == last - 1  # that of the first step is none
    output = capsys.readouterr().out
    assert output.count("compiled again") == told
    assert ("compiled again 5 times, now in iteration 6: inputs of many shapes" in output) == told


def test_a_rank_that_compiles_is_not_taken_for_one_that_hangs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sections: list[Section] = []

    def backend(graph: Any, inputs: Any) -> Any:
        sections.append(current_session().heartbeat.section)
        return lookup_backend("aot_eager")(graph, inputs)

    monkeypatch.setattr(compiling, "BACKEND", backend)
    model = Depths()
    during: list[Section] = []

    class Looking:
        def after_backward(self, storage: Any) -> None:
            during.append(current_session().heartbeat.section)

    hooks = [Deeper(model, 2), Looking()]
    loop = compiled(tmp_path, steps=4, model=lambda: model, hooks=hooks, save=False).build()
    sections.clear()
    loop.run()
    assert sections == [Section.INIT] * 2
    assert during == [Section.STEP] * 4


def test_what_torch_cannot_compile_is_told_with_the_key_before_the_first_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compiling, "BACKEND", "inductor")
    import torch._inductor.config as inductor

    without = inductor.patch({"cpp.cxx": ("/no/compiler",), "force_disable_caches": True})
    with without, pytest.raises(ConfigError, match=r"MISC.COMPILE: torch cannot compile.*No working C\+\+ compiler"):
        compiled(tmp_path, save=False).build()


class Broken(ToyModel):
    def forward(self, inputs: torch.Tensor, targets: torch.Tensor | None = None) -> Any:
        return super().forward(inputs[:, :3], targets)


def test_an_error_of_the_model_is_not_one_of_the_compiler(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="shape"):
        short_toy(tmp_path, 1, model=Broken, save=False).run()


def _trained_by_a_rank(folder: str) -> dict[str, Any]:
    compiling.BACKEND = "aot_eager"
    loop = compiled(Path(folder) / str(get_rank()), save=False).run()
    return {"weights": {name: value.tolist() for name, value in weights(loop).items()},
            "recompiles": loop._storage.history("recompiles").latest}  # fmt: skip


def test_ranks_train_a_compiled_model(tmp_path: Path) -> None:
    one, other = run_ranks(_trained_by_a_rank, 2, str(tmp_path))
    assert one == other
    assert one["recompiles"] == 0
