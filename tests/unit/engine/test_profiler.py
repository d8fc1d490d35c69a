from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from harness.hooks import Bad
from harness.toy import Toy, short_toy
from torch.profiler import profile

from pet.engine.hooks import profiling


def profiled(folder: Path, window: str, *overrides: Any, steps: int = 8, **fields: Any) -> Toy:
    return short_toy(folder, steps, "MISC.PROFILE", window, *overrides, **fields)


def trace(toy: Toy, name: str) -> list[dict[str, Any]]:
    with gzip.open(toy.checkpoints / "profile" / name) as file:
        events: list[dict[str, Any]] = json.load(file)["traceEvents"]
    return events


def optimizer_steps(events: list[dict[str, Any]]) -> int:
    return len([event for event in events if event.get("name", "").startswith("Optimizer.step")])


@pytest.mark.parametrize(("window", "name", "steps"), [("3:2", "steps3-4-rank0.json.gz", 2),
                                                      ("1:1", "steps1-1-rank0.json.gz", 1),
                                                      ("8:1:0,3", "steps8-8-rank0.json.gz", 1)])  # fmt: skip
def test_the_steps_of_the_window_are_in_a_trace_beside_the_checkpoints(
    tmp_path: Path, window: str, name: str, steps: int
) -> None:
    toy = profiled(tmp_path, window)
    toy.run()
    assert optimizer_steps(trace(toy, name)) == steps


def test_one_profiler_is_made_for_the_window_and_none_for_other_steps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # detectron2 opens one in every step.
    made: list[int] = []

    class Counted(profile):
        def __init__(self, **options: Any) -> None:
            made.append(1)
            super().__init__(**options)

    monkeypatch.setattr(profiling, "profile", Counted)
    profiled(tmp_path, "3:2", steps=20).run()
    assert len(made) == 1


@pytest.mark.parametrize("window", ["", "3:2:1"])
def test_ranks_that_are_not_named_profile_nothing(tmp_path: Path, window: str) -> None:
    toy = profiled(tmp_path, window)
    toy.run()
    assert not (toy.checkpoints / "profile").exists()


def test_a_window_that_training_ends_in_is_written(tmp_path: Path) -> None:
    toy = profiled(tmp_path, "3:50", hooks=[Bad(5, ValueError("oh"))])
    with pytest.raises(ValueError, match="oh"):
        toy.run()
    assert optimizer_steps(trace(toy, "steps3-52-rank0.json.gz")) >= 2


def test_a_run_that_resumes_behind_the_beginning_profiles_nothing(tmp_path: Path) -> None:
    profiled(tmp_path, "", steps=4).run()
    toy = profiled(tmp_path, "3:4", steps=8)
    toy.run()
    assert not (toy.checkpoints / "profile").exists()


def test_a_trace_that_cannot_be_written_stops_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    toy = profiled(tmp_path, "3:2")
    toy.checkpoints.mkdir()
    (toy.checkpoints / "profile").write_text("in the way")
    assert toy.run().iteration == 8
    assert "WARNING: the profile was not written" in capsys.readouterr().out


def test_weights_are_the_same_with_a_profile(tmp_path: Path) -> None:
    plain, other = profiled(tmp_path / "plain", "").run(), profiled(tmp_path / "other", "3:2").run()
    for one, same in zip(plain.model.parameters(), other.model.parameters(), strict=True):
        assert torch.equal(one, same)
