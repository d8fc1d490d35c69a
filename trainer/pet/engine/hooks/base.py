"""What a hook is, and how the loop calls many of them.

One step, in order::

    before_step -> fetch -> to device -> zero_grad -> forward -> loss -> backward -> after_backward
      -> clip -> optimizer step -> after_step: timer, EMA, learning rate, users' hooks, [PreciseBN],
         [window's end: reduce, one read, writers], [save], [evaluate], [profiler] -> storage.step -> stop?
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import torch
from torch import nn

from pet.config.errors import ConfigError, Problem
from pet.engine.distributed import is_peer_error
from pet.engine.errors import NonFinite, PeerLost, StopRequested, StorageFull
from pet.engine.hooks.methods import accepting, warn_of_near_misses
from pet.engine.hooks.point import Point

if TYPE_CHECKING:
    from pet.engine.loop import TrainLoop

logger = logging.getLogger(__name__)

Hook = TypeVar("Hook")

# What passes through a hook without being its mistake.
_NOBODYS_MISTAKE = (NonFinite, PeerLost, StopRequested, StorageFull)


class TrainerView(Protocol):
    """What hooks may see of the loop, and cannot change."""

    @property
    def iteration(self) -> int: ...
    @property
    def max_iter(self) -> int: ...
    @property
    def model(self) -> nn.Module: ...
    @property
    def optimizer(self) -> torch.optim.Optimizer: ...
    @property
    def device(self) -> torch.device: ...


class Priority(IntEnum):
    """Places in the order of hooks: lower runs first, equal ones in the order they were given."""

    TIMER = 10  # first after a step, so that no other hook's time counts as the step's
    AVERAGE = 15  # of the weights as the step left them
    LEARNING_RATE = 20  # before anything that reads or saves the scheduler
    NORMAL = 50  # users' hooks: their scalars reach the writers of the same step
    PRECISE_BN = 55  # before the save, which is to hold what it measures; it leaves no gradients to users' hooks
    REDUCER = 60  # the one read of the window, just before those who need it
    WRITER = 70
    CHECKPOINT = 80  # a save comes before an evaluation that may fail
    EVALUATION = 90
    PROFILER = 100  # so that its steps are whole


class TrainHook:
    """Base of all hooks. Pet's four points, and five of ours; override those you need.

    Epochs are counted from 1. A hook with state that must survive a restart defines `state_dict` and
    `load_state_dict`; the state is kept under the hook's `name`.
    """

    name: str = ""
    priority: int = Priority.NORMAL
    trainer: TrainerView

    def before_train(self) -> None:
        """Before the first step."""

    def before_step(self, storage: Any) -> None:
        """Before a step's data is fetched."""

    def after_backward(self, storage: Any) -> None:
        """Gradients are there, of all batches of the step and in their true size; not yet clipped."""

    def after_step(self, storage: Any, **epochs: int) -> None:
        """The optimizer has stepped. `epochs` is `epoch` and `max_epoch` in epoch mode, empty otherwise."""

    def after_eval(self, metrics: dict[str, float]) -> None:
        """An evaluation has finished, on all ranks."""

    def on_checkpoint(self, state: dict[str, Any]) -> None:
        """A checkpoint is about to be written; what is added to `state` is saved in it."""

    def on_stop(self, reason: str) -> None:
        """All ranks agreed to stop after this step; its state is saved, if there was time for it."""

    def on_exception(self, exc: BaseException) -> None:
        """Training ends by this error."""

    def after_train(self, storage: Any) -> None:
        """After the last step, however training ended."""


_EPOCHS = ("epoch", "max_epoch")
POINTS = tuple(name for name, value in vars(TrainHook).items() if inspect.isfunction(value))


class LoopHook(TrainHook):
    """A hook of the engine that acts on the loop: saves, evaluates. Its `trainer` is the loop itself."""

    trainer: TrainLoop

    def catch_up(self) -> None:
        """All state is that after the last finished step, the random one too: do what this step is still owed."""


class _View:
    """A TrainerView of a loop."""

    def __init__(self, loop: TrainerView) -> None:
        self._loop = loop

    @property
    def iteration(self) -> int:
        return self._loop.iteration

    @property
    def max_iter(self) -> int:
        return self._loop.max_iter

    @property
    def model(self) -> nn.Module:
        return self._loop.model

    @property
    def optimizer(self) -> torch.optim.Optimizer:
        return self._loop.optimizer

    @property
    def device(self) -> torch.device:
        return self._loop.device


@dataclass(frozen=True)
class NamedHook:
    """A hook at its place: any object with some of the points as methods."""

    name: str
    priority: int
    hook: Any


class HookSet:
    """The hooks of a run in their order, and the points at which the loop calls them."""

    def __init__(self, hooks: Sequence[Any], errors: dict[str, int] | None = None) -> None:
        """Order by priority, stable for equals. Raises ConfigError where two hooks have one name.

        Errors that hooks raise are counted by name in `errors`.
        """
        self.errors = {} if errors is None else errors
        self._blamed: Exception | None = None
        named = [
            NamedHook(
                getattr(hook, "name", "") or type(hook).__name__, int(getattr(hook, "priority", Priority.NORMAL)), hook
            )
            for hook in hooks
        ]
        _require_unique_names(named)
        for entry in named:
            warn_of_near_misses(entry.hook, POINTS)
        self.hooks = sorted(named, key=lambda entry: entry.priority)
        self.before_train = self._bind("before_train")
        self.catch_up = self._bind("catch_up", of=LoopHook)
        self.before_step = self._bind("before_step")
        self.after_backward = self._bind("after_backward")
        self.after_step = self._bind("after_step")
        self.after_eval = self._bind("after_eval")
        self.on_checkpoint = self._bind("on_checkpoint")
        # What the next start depends on comes before what users' hooks may take their time for.
        self.on_stop = self._bind("on_stop", first=LoopHook)
        self.on_exception = self._bind("on_exception", first=LoopHook)
        self.after_train = self._bind("after_train")

    def attach(self, loop: TrainerView) -> None:
        """Let the hooks see the loop."""
        for entry in self.hooks:
            if isinstance(entry.hook, TrainHook):
                entry.hook.trainer = loop if isinstance(entry.hook, LoopHook) else _View(loop)

    def find(self, kind: type[Hook]) -> Hook | None:
        """The first hook of a class, None without one."""
        return next((entry.hook for entry in self.hooks if isinstance(entry.hook, kind)), None)

    def state_dict(self) -> dict[str, Any]:
        """The state of every hook that has one, by name."""
        return {entry.name: entry.hook.state_dict() for entry in self.hooks if hasattr(entry.hook, "state_dict")}

    def load_state_dict(self, states: dict[str, Any]) -> None:
        """Give every hook its state. A hook without one starts fresh; a state without its hook is logged."""
        stateful = {entry.name: entry.hook for entry in self.hooks if hasattr(entry.hook, "load_state_dict")}
        for name, hook in stateful.items():
            if name in states:
                hook.load_state_dict(states[name])
            else:
                logger.info("hook %s: no state in the checkpoint, starts fresh", name)
        for name in states.keys() - stateful.keys():
            logger.warning("the checkpoint holds the state of hook %s, which is not in this run", name)

    def _bind(self, point: str, *, first: type = object, of: type = object) -> Point:
        calls, names = [], []
        for entry in sorted(self.hooks, key=lambda entry: not isinstance(entry.hook, first)):
            method = getattr(entry.hook, point, None) if isinstance(entry.hook, of) else None
            if method is not None and getattr(type(entry.hook), point, None) is not getattr(LoopHook, point):
                calls.append(accepting(method, f"{point} of hook {entry.name}", _given_at(point)))
                names.append(entry.name)
        return Point(calls, lambda place, error: self._blame(names[place], point, error))

    def _blame(self, name: str, point: str, error: Exception) -> None:
        """An error says whose it is, and is counted. Only the innermost hook is to blame: one that saves or evaluates
        calls others."""
        if error is self._blamed or isinstance(error, _NOBODYS_MISTAKE) or is_peer_error(error):
            return
        self._blamed = error
        self.errors[name] = self.errors.get(name, 0) + 1
        error.add_note(f"raised by hook {name} in {point}")


def _given_at(point: str) -> list[str]:
    """The keywords with which the loop calls a point, those of epoch mode included."""
    _, *parameters = inspect.signature(getattr(LoopHook, point)).parameters
    return [name for parameter in parameters for name in (_EPOCHS if parameter == "epochs" else (parameter,))]


def _require_unique_names(named: Sequence[NamedHook]) -> None:
    seen: set[str] = set()
    problems = []
    for entry in named:
        if entry.name in seen:
            problems.append(
                Problem("TRAIN.HOOKS", f"two hooks are named {entry.name!r}: give one of them another `name`")
            )
        seen.add(entry.name)
    if problems:
        raise ConfigError(problems)
