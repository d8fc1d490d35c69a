"""The smallest training that is one: a linear model with four losses, on the real loop with the real hooks."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
from torch import nn

from pet.config import Config, JobEnvironment, get_base_cfg
from pet.engine.checkpointer import CheckPointer
from pet.engine.ddp import distribute
from pet.engine.hooks.build import build_train_hooks
from pet.engine.loader import (
    Collate,
    SizedDataset,
    TrainLoader,
    make_precise_bn_loader,
    make_train_data_loader,
    set_run_length,
)
from pet.engine.loop import TrainLoop
from pet.engine.optimizer import Optimizer
from pet.engine.scheduler import LearningRateScheduler, warmup_iterations
from pet.engine.session import Session, open_session

Batch = tuple[torch.Tensor, torch.Tensor, torch.Tensor]


class ToyModel(nn.Module):
    """Linear 8-8-4 with four losses."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden = nn.Linear(8, 8)
        self.head = nn.Linear(8, 4)

    def forward(self, inputs: torch.Tensor, targets: torch.Tensor | None = None) -> Any:
        """Losses in training, the head's output [N, 4] without targets."""
        outputs = self.head(torch.relu(self.hidden(inputs)))
        if targets is None:
            return outputs
        difference = outputs - targets
        losses = {
            f"loss_{name}": difference[:, i].square().mean() for i, name in enumerate(("cls", "box", "mask", "rpn"))
        }
        return {"losses": losses, "metrics": {}}


class ToyData(torch.utils.data.Dataset[Any]):
    """`size` samples (input [8], target [4], index) that depend on nothing but their index."""

    def __init__(self, size: int = 64) -> None:
        generator = torch.Generator().manual_seed(1)
        self.inputs = torch.randn(size, 8, generator=generator)
        self.targets = torch.randn(size, 4, generator=generator)
        self.fetched: list[int] = []

    def __len__(self) -> int:
        return len(self.inputs)

    def __getitem__(self, index: int) -> Batch | tuple[torch.Tensor, torch.Tensor, int]:
        self.fetched.append(index)
        return self.inputs[index], self.targets[index], index


def toy_config(*overrides: Any) -> Config:
    """A configuration for the CPU, without workers, with the given KEY, value, … on top. Not frozen."""
    cfg = get_base_cfg("cls")
    cfg.merge_from_list([
        "MISC.DEVICE", "cpu", "DATA.LOADER_THREADS", 0, "TRAIN.BATCH_SIZE", 8, "SOLVER.OPTIMIZER.BASE_LR", 0.01,
        "SOLVER.SCHEDULER.TOTAL_ITERS", 40, "SOLVER.SCHEDULER.STEPS", (20, 30), "SOLVER.SCHEDULER.WARM_UP_ITERS", 5,
        *overrides,
    ])  # fmt: skip
    return cfg


def toy_session(run_dir: Path) -> Session:
    """A session whose files lie in `run_dir`."""
    with patch.dict(os.environ, PETJOB_RUN_DIR=str(run_dir)):
        return open_session("tools/tasks/toy/train_net.py")


@dataclass
class Toy:
    """A toy training. `build` puts it together as a training script does, on what the folder holds."""

    folder: Path
    cfg: Config
    save: bool = True  # into folder/ckpt
    model: Callable[[], nn.Module] = ToyModel
    data: SizedDataset | None = None
    collate: Collate | None = None
    hooks: Sequence[Any] = ()
    last_hooks: Callable[[Session, TrainLoader], Iterable[Any]] = lambda session, loader: ()
    environment: JobEnvironment | None = None
    fused: bool | None = None  # as Optimizer takes it
    session: Session | None = None  # None: one of its own

    @property
    def checkpoints(self) -> Path:
        """The checkpoint folder."""
        return self.folder / "ckpt"

    @property
    def files(self) -> list[str]:
        """The names of the checkpoints in it."""
        return sorted(path.name for path in self.checkpoints.glob("model_*.pth") if path.name != "model_latest.pth")

    def again(self, **changes: Any) -> Toy:
        """The same training with another process's eyes: nothing is shared but the folder."""
        return replace(self, **changes)

    def build(self) -> TrainLoop:
        """From the session to the loop, in the order of the training scripts."""
        cfg = self.cfg.clone()
        session = self.session or toy_session(self.folder / "run")
        device = session.start(cfg)
        model = self.model()
        checkpointer = CheckPointer(
            str(self.checkpoints) if self.save else "", keep=cfg.SOLVER.SNAPSHOT_KEEP, environment=self.environment
        )
        session.record_in(checkpointer, cfg, "toy.yaml")
        checkpointer.load_model(model)
        session.place(model, cfg)
        optimizer = Optimizer(model, cfg.SOLVER.OPTIMIZER, self.fused).build()
        checkpointer.load_optimizer(optimizer)
        data = self.data or ToyData()
        loader = make_train_data_loader(cfg, data, checkpointer.iteration + 1, self.collate)
        set_run_length(cfg, loader)
        scheduler = LearningRateScheduler(optimizer, cfg.SOLVER, loader.iter_per_epoch)
        checkpointer.load_scheduler(scheduler)
        precise_bn_args = None
        if cfg.TEST.PRECISE_BN.ENABLED:
            precise_bn_args = [make_precise_bn_loader(cfg, data, self.collate), model, device]
        model = distribute(model, cfg, loader.first_batch)
        warm_up = warmup_iterations(cfg.SOLVER.SCHEDULER, loader.iter_per_epoch)
        hooks = build_train_hooks(
            cfg, optimizer, scheduler, loader.max_iter, warm_up, model=model, session=session,
            checkpointer=checkpointer, precise_bn_args=precise_bn_args,
        )  # fmt: skip
        hooks = [*hooks, *self.hooks, *self.last_hooks(session, loader)]
        return TrainLoop(cfg, model, loader, optimizer, scheduler, checkpointer, hooks)

    def run(self) -> TrainLoop:
        """Build it and train to the end."""
        loop = self.build()
        loop.run()
        return loop


def short_toy(folder: Path, steps: int, *overrides: Any, **fields: Any) -> Toy:
    """A toy training of so many steps, with KEY, value, … on top."""
    return Toy(folder, toy_config("SOLVER.SCHEDULER.TOTAL_ITERS", steps, *overrides), **fields)


def weights(loop: TrainLoop) -> dict[str, torch.Tensor]:
    """The model's parameters and buffers, copied."""
    return {name.removeprefix("module."): value.clone() for name, value in loop.model.state_dict().items()}
