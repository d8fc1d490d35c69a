"""One rank of a training that must go on exactly: all that a resume could lose is in it, and noted."""

from __future__ import annotations

import hashlib
import os
import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from torch import nn

from harness.toy import Toy, toy_config, toy_session
from pet.engine import compiling
from pet.engine.ddp import unwrap
from pet.engine.hooks.base import HookSet, TrainHook
from pet.engine.loop import TrainLoop
from pet.engine.rng import get_rng_state
from pet.engine.sampler import TrainBatches
from pet.engine.update import Update

EPOCHS, EPOCH = 5, 9  # steps of an epoch
BATCH = 12  # over all ranks; divides by 1, 2, 3 and 4
REST = 1  # batches that are short in the last step of an epoch where a step takes several
KEYS: tuple[Any, ...] = (
    "TRAIN.BATCH_SIZE", BATCH, "SOLVER.SCHEDULER.TOTAL_EPOCHS", EPOCHS, "SOLVER.SCHEDULER.STEPS", (4,),
    "SOLVER.SNAPSHOT_ITER", 0, "SOLVER.SNAPSHOT_KEEP", 0, "SOLVER.OPTIMIZER.TYPE", "ADAMW",
    "SOLVER.OPTIMIZER.CLIP_GRADIENTS.ENABLED", True, "SOLVER.OPTIMIZER.CLIP_GRADIENTS.CLIP_TYPE", "full_model",
)  # fmt: skip

# What a rank did: for each step a list by batch, and digests by part of its state, before the first and after the last.
Life = dict[str, Any]


def live(folder: str, keys: Sequence[Any], without: str) -> Life:
    """Train to the end from what the folder holds; `without` names one of SAFEGUARDS."""
    cfg, diary = toy_config(*KEYS, *keys), Diary()
    # On a CPU a model to be compiled is traced and differentiated alone: not every machine has a compiler.
    backend = "aot_eager" if cfg.MISC.DEVICE == "cpu" else compiling.BACKEND
    safeguard = SAFEGUARDS[without].taken_out() if without else nullcontext()
    with patch.object(compiling, "BACKEND", backend), safeguard:
        data = Samples(samples_of_an_epoch(cfg.SOLVER.ACCUMULATE_STEPS))
        # Ranks that share a card are all told to be the first of their node, whose files these would be for each.
        session = toy_session(Path(folder) / f"run-{os.environ['RANK']}")
        loop = Toy(Path(folder), cfg, model=Net, data=data, hooks=[Unsteady(), diary], session=session).build()
        begins, start = loop.iteration, _digests(loop)
        diary.follow(loop._update)
        loop.run()
    return {"begins": begins, "start": start, "samples": diary.samples, "losses": diary.losses, "end": _digests(loop)}


def samples_of_an_epoch(accumulate: int) -> int:
    """So many that an epoch has EPOCH steps of `accumulate` batches each, the last of them REST batches short."""
    return BATCH * (EPOCH * accumulate - (REST if accumulate > 1 else 0))


@dataclass(frozen=True)
class Safeguard:
    """What makes a resume exact: how to take it out of the engine, and where it is missed."""

    taken_out: Callable[[], AbstractContextManager[Any]]
    missed_in: str


def _from_the_first_sample(size: int, batch_size: int, max_iter: int, start_iter: int, *others: Any) -> TrainBatches:
    return TrainBatches(size, batch_size, max_iter, 1, *others)


def _no_first_pass() -> AbstractContextManager[Any]:
    """All parameters are believed to be used: DDP that looks for unused ones keeps its first buckets for ever."""
    stack = ExitStack()
    stack.enter_context(patch("pet.engine.ddp._backward", lambda *_: None))
    stack.enter_context(patch("pet.engine.ddp._find_unused", lambda *_: False))
    return stack


SAFEGUARDS = {
    "random state": Safeguard(lambda: patch("pet.engine.loop.set_rng_state", lambda state: None), "losses"),
    "pass before the first step": Safeguard(_no_first_pass, "parameters"),
    "place among the samples": Safeguard(
        lambda: patch("pet.engine.loader.TrainBatches", _from_the_first_sample), "samples"
    ),
    "state of hooks": Safeguard(lambda: patch.object(HookSet, "load_state_dict", lambda self, states: None), "hooks"),
}


class Samples(torch.utils.data.Dataset[Any]):
    """(input [8], target [5], index), with noise of all generators, new in each epoch. The target's last number is the
    index."""

    def __init__(self, size: int) -> None:
        generator = torch.Generator().manual_seed(1)
        self.inputs = torch.randn(size, 8, generator=generator)
        self.targets = torch.randn(size, 4, generator=generator)

    def __len__(self) -> int:
        return len(self.inputs)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor, int]:
        inputs = self.inputs[index] + 0.1 * torch.randn(8) + 0.1 * random.random() + 0.1 * np.random.rand()
        return inputs, torch.cat([self.targets[index], torch.tensor([float(index)])]), index


class Net(nn.Module):
    """A convolution, batch norm, dropout, and enough parameters for the order of a sum over ranks to show."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(8, 16), nn.Unflatten(1, (4, 2, 2)), nn.Conv2d(4, 4, 3, padding=1), nn.Flatten(),
            nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.3), nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, 4),
        )  # fmt: skip
        self.noise = torch.zeros(())  # on the inputs of the running step; no part of the state

    def forward(self, inputs: torch.Tensor, targets: torch.Tensor) -> Any:
        """Inputs [N, 8], targets [N, 5]."""
        difference = self.layers(inputs + self.noise) - targets[:, :4]
        losses = {"loss_one": difference[:, :2].square().mean(), "loss_two": difference[:, 2:].abs().mean()}
        return {"losses": losses, "metrics": {}}


class Unsteady(TrainHook):
    """A user's hook that draws from Python's and numpy's generators, and has a state that changes the gradients."""

    def __init__(self) -> None:
        self.drift = 0.0

    def before_step(self, storage: Any) -> None:
        net = unwrap(self.trainer.model)
        assert isinstance(net, Net)
        net.noise.fill_(0.1 * random.random() + 0.1 * np.random.rand())

    def after_backward(self, storage: Any) -> None:
        self.drift = 0.9 * self.drift + 0.01 * (storage.iter % 7)
        for parameter in self.trainer.model.parameters():
            assert parameter.grad is not None
            parameter.grad.mul_(1 + self.drift)

    def state_dict(self) -> dict[str, Any]:
        return {"drift": self.drift}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.drift = state["drift"]


class Diary:
    """Writes down what each step trains on, and the losses as hexadecimal numbers: all their bits."""

    def __init__(self) -> None:
        self.samples: list[list[Any]] = []
        self.losses: list[list[Any]] = []

    def before_step(self, storage: Any) -> None:
        self.samples.append([])
        self.losses.append([])

    def follow(self, update: Update) -> None:
        """Note each batch once its gradient is made. A hook of the model would be compiled with it."""
        backward = update.backward

        def noting(inputs: torch.Tensor, targets: torch.Tensor, share: float, *, last: bool) -> Any:
            outputs, loss = backward(inputs, targets, share, last=last)
            self.note(inputs, targets, outputs["losses"])
            return outputs, loss

        update.backward = noting  # type: ignore[assignment, method-assign]

    def note(self, inputs: torch.Tensor, targets: torch.Tensor, losses: dict[str, torch.Tensor]) -> None:
        """One batch. With its noise a sample is that of an epoch."""
        samples = zip(inputs, targets, strict=True)
        self.samples[-1].append([(int(target[-1]), digest(sample)) for sample, target in samples])
        self.losses[-1].append({name: loss.item().hex() for name, loss in losses.items()})


def _digests(loop: TrainLoop) -> dict[str, str]:
    return {part: digest(state) for part, state in _state(loop).items()}


def _state(loop: TrainLoop) -> dict[str, Any]:
    """Everything in this rank's memory that a next step depends on, and the numbers that are shown."""
    model = unwrap(loop.model)
    return {
        "parameters": dict(model.named_parameters()),
        "buffers": dict(model.named_buffers()),
        "optimizer": loop.optimizer.state_dict(),
        "scheduler": loop.scheduler.state_dict(),
        "precision": loop._update.precision.state_dict(),
        "random state": get_rng_state(),
        "hooks": loop.hooks.state_dict(),
        "shown numbers": loop._storage.state_dict(),
    }


def digest(value: Any) -> str:
    """SHA-256 of nested dictionaries and lists of tensors and plain values, bit for bit."""
    sha = hashlib.sha256()
    for piece in _pieces(value):
        sha.update(piece)
    return sha.hexdigest()


def _pieces(value: Any) -> Iterator[bytes]:
    if isinstance(value, torch.Tensor):
        yield f"{value.dtype}{list(value.shape)}".encode()
        yield value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()
    elif isinstance(value, dict):
        for key, item in value.items():
            yield f"{key!r}:".encode()
            yield from _pieces(item)
    elif isinstance(value, (list, tuple)):
        yield f"{len(value)} items".encode()
        for item in value:
            yield from _pieces(item)
    else:
        yield f"{value.hex() if isinstance(value, float) else value!r};".encode()
