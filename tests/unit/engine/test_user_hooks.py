from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from harness.toy import Toy, toy_config

from pet.config import ConfigError
from pet.config.rules.training import HOOK_PRIORITIES
from pet.engine.hooks.base import Priority
from pet.engine.hooks.build import HOOKS, build_user_hooks, register

# What a user brings along: Pet's import paths, two of its points, nothing of ours.
PET_STYLE = """
from pet.lib.utils.checkpointer import CheckPointer
from pet.lib.utils.comm import all_gather, get_rank, get_world_size, is_main_process, synchronize
from pet.lib.utils.events import EventStorage, TensorboardXWriter, get_event_storage
from pet.lib.utils.hooks import PreciseBN, TrainHook
from pet.lib.utils.logger import IterationTimer, LRScheduler, PeriodicWriter, build_train_hooks, write_metrics
from pet.lib.utils.misc import logging_rank


class Watch(TrainHook):
    def __init__(self, every=1):
        self.every = every
        self.begun, self.seen = [], []

    def before_step(self, storage):
        self.begun.append(storage.iter)

    def after_step(self, storage):
        if storage.iter % self.every == 0:
            assert get_event_storage() is storage
            self.seen.append(storage.iter)
            storage.put_scalar("watch_acc", storage.iter / 100)
            logging_rank(f"seen {storage.iter}", distributed=get_world_size() > 1, local_rank=get_rank())


class Duck:
    def __init__(self):
        self.points = []

    def before_train(self):
        self.points.append("before_train")

    def before_step(self, **kwargs):
        self.points.append("before_step")

    def after_step(self, **kwargs):
        self.points.append("after_step" + "".join(f" {key}" for key in sorted(kwargs)))

    def after_train(self, storage):
        self.points.append("after_train")
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The name of a module in the working directory that holds the hooks above."""
    (tmp_path / "users_own_hooks.py").write_text(PET_STYLE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry])
    yield "users_own_hooks"
    sys.modules.pop("users_own_hooks", None)


def test_a_class_is_found_in_the_working_directory_and_gets_its_arguments(module: str) -> None:
    (hook,) = build_user_hooks([{"type": f"{module}:Watch", "args": {"every": 3}}])
    assert hook.every == 3


def test_an_entry_may_give_name_and_priority(module: str) -> None:
    one, two, three = build_user_hooks([
        {"type": f"{module}:Duck", "priority": 7},
        {"type": f"{module}:Duck", "name": "Second", "priority": "WRITER"},
        {"type": f"{module}:Duck"},
    ])  # fmt: skip
    assert one.priority == 7
    assert (two.name, two.priority) == ("Second", Priority.WRITER)
    assert not hasattr(three, "name")
    assert not hasattr(three, "priority")


def test_a_registered_class_is_known_by_its_short_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pet.engine.hooks.build.HOOKS", dict(HOOKS))

    @register("mine")
    class Mine: ...

    (hook,) = build_user_hooks([{"type": "mine"}])
    assert type(hook) is Mine


def test_every_entry_that_cannot_be_built_is_named(module: str) -> None:
    with pytest.raises(ConfigError) as caught:
        build_user_hooks([
            {"type": "mine"},
            {"type": f"{module}:Watch"},
            {"type": f"{module}:Wtach"},
            {"type": "users_other_hooks:Watch"},
            {"type": f"{module}:Duck", "args": {"loud": True}},
            {"type": f"{module}:Duck", "priority": "FIRST"},
        ])  # fmt: skip
    messages = {problem.field: problem.message for problem in caught.value.problems}
    assert list(messages) == [f"TRAIN.HOOKS[{position}]" for position in (0, 2, 3, 4, 5)]
    assert (
        "'mine' cannot be built: give it as module:Class, or one of the registered names" in messages["TRAIN.HOOKS[0]"]
    )
    assert "no attribute 'Wtach'" in messages["TRAIN.HOOKS[2]"]
    assert f"'users_other_hooks' in {os.getcwd()} or where Python looks" in messages["TRAIN.HOOKS[3]"]
    assert "'loud'" in messages["TRAIN.HOOKS[4]"]
    assert "priority 'FIRST' is none of TIMER, AVERAGE, LEARNING_RATE" in messages["TRAIN.HOOKS[5]"]
    assert isinstance(caught.value.__cause__, ValueError)


@pytest.mark.parametrize(("source", "told"), [("class Watch\n", "expected ':'"), ("Watch = Wtach\n", "'Wtach' is not")])
def test_a_module_that_is_no_python_is_a_mistake_of_the_configuration(
    tmp_path: Path, module: str, source: str, told: str
) -> None:
    (tmp_path / f"{module}.py").write_text(source)
    with pytest.raises(ConfigError, match=f"{module}:Watch' cannot be built: .*{told}"):
        build_user_hooks([{"type": f"{module}:Watch"}])


def trained(folder: Path, module: str, *overrides: Any) -> dict[str, Any]:
    """A short training with both hooks, named in the configuration; the hooks by class."""
    hooks = [{"type": f"{module}:Watch", "args": {"every": 2}}, {"type": f"{module}:Duck"}]
    cfg = toy_config("MISC.DISPLAY_ITER", 2, "SOLVER.SCHEDULER.TOTAL_ITERS", 4, "TRAIN.HOOKS", hooks, *overrides)
    loop = Toy(folder, cfg).run()
    return {type(entry.hook).__name__: entry.hook for entry in loop.hooks.hooks}


def test_a_pet_style_hook_of_the_configuration_runs_in_a_training(
    module: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    watch = trained(tmp_path, module)["Watch"]
    assert watch.begun == [1, 2, 3, 4]
    assert watch.seen == [2, 4]
    output = capsys.readouterr().out
    assert "INFO: seen 2\n" in output
    assert "[watch_acc: 0.0200]" in output  # its scalar is in the log of the same step


@pytest.mark.parametrize("epochs", [None, 2])
def test_the_four_points_of_pet_are_called_with_pet_s_keywords(module: str, tmp_path: Path, epochs: int | None) -> None:
    overrides = [] if epochs is None else ["SOLVER.SCHEDULER.TOTAL_EPOCHS", epochs, "TRAIN.BATCH_SIZE", 32]
    points = trained(tmp_path, module, *overrides)["Duck"].points
    keywords = "storage" if epochs is None else "epoch max_epoch storage"
    assert points == ["before_train", *["before_step", f"after_step {keywords}"] * 4, "after_train"]


def test_a_job_is_checked_for_the_priorities_that_there_are() -> None:
    assert tuple(Priority.__members__) == HOOK_PRIORITIES
