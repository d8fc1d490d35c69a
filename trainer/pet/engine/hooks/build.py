"""The hooks of a run: the built-in ones, and those that the user names under TRAIN.HOOKS."""

from __future__ import annotations

import importlib
import logging
import os
import sys
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import torch
from torch import nn

from pet.config import Config, ConfigError, Problem
from pet.config.profile import ProfileWindow
from pet.engine.checkpointer import CheckPointer
from pet.engine.ddp import unwrap
from pet.engine.hooks.average import EMA
from pet.engine.hooks.base import Priority
from pet.engine.hooks.checkpoint import PeriodicCheckpoint
from pet.engine.hooks.garbage import GarbageCollection
from pet.engine.hooks.precise_bn import PreciseBN, batch_norms
from pet.engine.hooks.profiling import Profiler
from pet.engine.hooks.reporting import MetricReducer, PeriodicWriter
from pet.engine.hooks.schedule import LRScheduler
from pet.engine.hooks.timing import IterationTimer
from pet.engine.hooks.waits import WaitLimit
from pet.engine.scheduler import LearningRateScheduler
from pet.engine.session import Session
from pet.engine.tensorboard import TensorboardXWriter, require_tensorboard
from pet.engine.writers import CommonMetricPrinter, EventWriter, JSONWriter, RunFileWriter

logger = logging.getLogger(__name__)

HOOKS: dict[str, type] = {}
Writer = TypeVar("Writer", bound=EventWriter)


def register(name: str) -> Callable[[type], type]:
    """Class decorator: make a hook known by a short name, for TRAIN.HOOKS `type`."""

    def add(hook: type) -> type:
        HOOKS[name] = hook
        return hook

    return add


def build_train_hooks(
    cfg: Config,
    optimizer: torch.optim.Optimizer,
    scheduler: LearningRateScheduler,
    max_iter: int,
    warmup_iter: int,
    *,
    model: nn.Module,
    session: Session,
    checkpointer: CheckPointer,
    ignore_warmup_time: bool = False,
    precise_bn_args: Sequence[Any] | None = None,
) -> list[Any]:
    """Pet's hooks, ours, then the user's. Their order in a step is that of their priorities.

    `precise_bn_args` is what PreciseBN takes, None without it. Raises ConfigError for what cannot be built.
    """
    if cfg.TRAIN.USE_TENSORBOARD:
        require_tensorboard()
    start_iter = checkpointer.iteration + 1
    hooks: list[Any] = [
        IterationTimer(max_iter, start_iter, warmup_iter, ignore_warmup_time),
        WaitLimit(session),
        GarbageCollection(),
        LRScheduler(optimizer, scheduler),
        MetricReducer(guard=cfg.SOLVER.NAN_GUARD),
        PeriodicCheckpoint(
            session,
            cfg.SOLVER.SNAPSHOT_ITER,
            max_iter,
            cfg.SOLVER.SNAPSHOT_FAILURES,
            keep_each=cfg.SOLVER.SNAPSHOT_KEEP_EACH,
            background=_in_background(cfg.SOLVER.SNAPSHOT_BACKGROUND, session),
        ),
    ]
    if cfg.SOLVER.EMA.ENABLED:
        hooks.append(EMA(unwrap(model), cfg.SOLVER.EMA.DECAY))
    if precise_bn_args is not None and batch_norms(unwrap(model)):
        measure = cfg.TEST.PRECISE_BN
        hooks.append(PreciseBN(precise_bn_args, measure.PERIOD, measure.NUM_ITER, max_iter))
    window = ProfileWindow.parse(cfg.MISC.PROFILE)
    if window is not None and session.rank in window.ranks:
        hooks.append(Profiler(session, window, checkpointer.directory or session.run_dir.path))
    if cfg.MISC.COMPILE:
        from pet.engine.hooks.compilation import Recompilations  # seconds to import: it brings torch's compiler

        hooks.append(Recompilations(session))
    if session.rank == 0:
        writers = _writers(cfg, session, checkpointer, max_iter)
        hooks.append(PeriodicWriter(writers, max_iter, cfg.MISC.DISPLAY_ITER, session.metrics.hook_errors))
    return hooks + build_user_hooks(cfg.TRAIN.HOOKS)


def build_user_hooks(entries: list[dict[str, Any]]) -> list[Any]:
    """One hook per entry `{type: "module:Class" or a registered name, args: {…}, name: …, priority: …}`.

    Modules are found as Python finds them, and in the working directory. Raises ConfigError with every entry that
    cannot be built.
    """
    if os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())
    hooks: list[Any] = []
    problems: list[Problem] = []
    first: Exception | None = None
    for position, entry in enumerate(entries):
        try:
            hooks.append(_user_hook(entry))
        except (ImportError, SyntaxError, NameError, AttributeError, TypeError, ValueError) as error:
            where = f" in {os.getcwd()} or where Python looks" if isinstance(error, ModuleNotFoundError) else ""
            problems.append(Problem(f"TRAIN.HOOKS[{position}]", f"{entry['type']!r} cannot be built: {error}{where}"))
            first = first or error
    if problems:
        raise ConfigError(problems) from first  # whose traceback shows the user's own line
    return hooks


def _user_hook(entry: dict[str, Any]) -> Any:
    hook = _hook_class(entry["type"])(**entry.get("args", {}))
    if "name" in entry:
        hook.name = entry["name"]
    if "priority" in entry:
        hook.priority = _priority(entry["priority"])
    return hook


def _priority(value: int | str) -> int:
    if isinstance(value, int):
        return value
    if value not in Priority.__members__:
        raise ValueError(f"priority {value!r} is none of {', '.join(Priority.__members__)}, and no number")
    return Priority[value]


def _hook_class(kind: str) -> type:
    if kind in HOOKS:
        return HOOKS[kind]
    module, separator, name = kind.partition(":")
    if not separator:
        known = ", ".join(sorted(HOOKS)) or "none"
        raise ValueError(f"give it as module:Class, or one of the registered names ({known})")
    found: type = getattr(importlib.import_module(module), name)
    return found


def _in_background(setting: bool | str, session: Session) -> bool:
    """ "auto": where the copy is all that training waits for. On a CPU a thread takes from the steps what it saves."""
    return session.device.type == "cuda" if setting == "auto" else bool(setting)


def _writers(cfg: Config, session: Session, checkpointer: CheckPointer, max_iter: int) -> list[EventWriter]:
    metrics = session.metrics
    metrics.max_iterations, metrics.iteration = max_iter, checkpointer.iteration
    metrics.checkpoint_interval_iterations = cfg.SOLVER.SNAPSHOT_ITER if cfg.SOLVER.SNAPSHOT_ITER > 0 else None
    session.publish()  # what this start goes on from is not to wait for the first window
    records, board = None, None
    if cfg.TRAIN.SAVE_AS_JSON and checkpointer.directory:
        records = _in_folder(JSONWriter, "metrics.json", session, checkpointer)
    if cfg.TRAIN.USE_TENSORBOARD and checkpointer.directory:
        board = _in_folder(TensorboardXWriter, "tensorboard_log", session, checkpointer)
    return [
        CommonMetricPrinter(metrics.cfg, max_iter),
        *([records] if records else []),
        *([board] if board else []),
        RunFileWriter(session, max_iter, redo_until=records.redo_until if records else 0),
    ]


def _in_folder(kind: Callable[..., Writer], name: str, session: Session, checkpointer: CheckPointer) -> Writer | None:
    """A writer of this start into the checkpoint folder; training can do without it."""
    path = os.path.join(checkpointer.directory, name)
    try:
        return kind(path, uid=checkpointer.uid, attempt=session.attempt, resumed_from=checkpointer.iteration)
    except OSError as error:
        logger.warning("the numbers are not kept in a file: %s; training goes on", error)
        return None
