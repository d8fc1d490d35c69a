"""A run without loop and launcher: model, optimizer, scheduler and checkpointer, put together as a script does."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from pet.config import Config, JobEnvironment, get_base_cfg
from pet.engine.checkpointer import CheckPointer
from pet.engine.optimizer import Optimizer
from pet.engine.scheduler import LearningRateScheduler
from pet.runfiles.checkpoint_info import CheckpointInfo

JOB = JobEnvironment(cluster_uid="c1", namespace="ns", name="job", uid="uid-1", attempt=1)
ANOTHER = replace(JOB, name="another", uid="uid-9")


class TinyNet(nn.Module):
    """A stem with 3 input channels, a norm, a head."""

    def __init__(self, classes: int = 2) -> None:
        super().__init__()
        stem = OrderedDict(conv1=nn.Conv2d(3, 4, 3, bias=False), bn1=nn.BatchNorm2d(4))
        self.backbone = nn.Sequential(stem)
        self.head = nn.Linear(4, classes)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Images [N, 3, H, W] to logits [N, classes]."""
        logits: torch.Tensor = self.head(self.backbone(images).relu().mean((2, 3)))
        return logits


def tiny_net(seed: int = 0, classes: int = 2) -> TinyNet:
    """A model whose weights depend on the seed alone."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return TinyNet(classes)


def solver(*overrides: Any) -> Config:
    """SOLVER with rules that make several groups, a warm-up and a step, with KEY, value, … on top."""
    cfg = get_base_cfg("cls")
    cfg.merge_from_list([
        "SOLVER.OPTIMIZER.BASE_LR", 0.1, "SOLVER.OPTIMIZER.MOMENTUM", 0.9, "SOLVER.OPTIMIZER.WEIGHT_DECAY_NORM", 0.0,
        "SOLVER.OPTIMIZER.BIAS_LR_FACTOR", 2.0, "SOLVER.SCHEDULER.TOTAL_EPOCHS", None,
        "SOLVER.SCHEDULER.TOTAL_ITERS", 20, "SOLVER.SCHEDULER.POLICY", "STEP", "SOLVER.SCHEDULER.STEPS", (8, 14),
        "SOLVER.SCHEDULER.WARM_UP_ITERS", 4, *overrides,
    ])  # fmt: skip
    return cfg.SOLVER


@dataclass
class Run:
    """What takes part in a save."""

    checkpointer: CheckPointer
    model: TinyNet
    optimizer: torch.optim.Optimizer
    scheduler: LearningRateScheduler

    def train(self, until: int) -> Iterator[list[float]]:
        """Train to the end of this step; yields the learning rates that each step uses."""
        while self.scheduler.iteration <= until:
            generator = torch.Generator().manual_seed(self.scheduler.iteration)
            images = torch.randn(4, 3, 6, 6, generator=generator)
            self.optimizer.zero_grad()
            self.model(images).square().mean().backward()
            self.optimizer.step()
            rates = [group["lr"] for group in self.optimizer.param_groups]
            self.scheduler.step()
            yield rates

    def reach(self, step: int) -> None:
        """Train to the end of this step."""
        for _ in self.train(step):
            pass

    def save(self, **options: Any) -> CheckpointInfo | None:
        """Save at the present step."""
        return self.checkpointer.save(self.model, self.optimizer, self.scheduler, **options)

    def save_best(self, accuracy: float, epoch: int) -> CheckpointInfo | None:
        """Save as the best model, if it is."""
        return self.checkpointer.save_best(self.model, self.optimizer, self.scheduler, accuracy, epoch)

    def state(self) -> dict[str, Any]:
        """Everything that training goes on from, copied."""
        state = {"model": dict(self.model.state_dict()), "optimizer": self.optimizer.state_dict(),
                 "scheduler": self.scheduler.state_dict()}  # fmt: skip
        return _copied(state)


def begin(folder: Path | str, environment: JobEnvironment = JOB, *, seed: int = 0, overrides: tuple[Any, ...] = (),
          **options: Any) -> Run:  # fmt: skip
    """Start a run: what it loads decides over the `seed` of its model."""
    checkpointer = CheckPointer(str(folder), environment=environment, **options)
    settings, model = solver(*overrides), tiny_net(seed)
    checkpointer.load_model(model)
    optimizer = Optimizer(model, settings.OPTIMIZER).build()
    checkpointer.load_optimizer(optimizer)
    scheduler = LearningRateScheduler(optimizer, settings)
    checkpointer.load_scheduler(scheduler)
    return Run(checkpointer, model, optimizer, scheduler)


def trained(folder: Path, *steps: int, environment: JobEnvironment = JOB, **options: Any) -> Run:
    """A run that saved after each of these steps."""
    run = begin(folder, environment, **options)
    for step in steps:
        run.reach(step)
        run.save()
    return run


def files(folder: Path) -> list[str]:
    """The data files that lie in a checkpoint folder."""
    return sorted(path.name for path in folder.glob("model_*.pth"))


def _copied(value: Any) -> Any:
    if isinstance(value, torch.Tensor):
        return value.detach().clone()
    if isinstance(value, dict):
        return type(value)((key, _copied(item)) for key, item in value.items())
    if isinstance(value, (list, tuple)):
        return type(value)(map(_copied, value))
    return value
