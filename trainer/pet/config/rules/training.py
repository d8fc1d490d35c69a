"""Batch, optimizer and the user's hooks."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator

from pet.config.errors import Problem
from pet.config.known import Known
from pet.config.values import show

HOOK_FIELDS: dict[str, tuple[type, ...]] = {"type": (str,), "args": (dict,), "priority": (int, str), "name": (str,)}
_KINDS = {str: "text", int: "a whole number", dict: "a mapping {argument: value}"}
# The names of pet.engine.hooks.base.Priority, as data: a job is checked without torch.
HOOK_PRIORITIES = ("TIMER", "AVERAGE", "LEARNING_RATE", "NORMAL", "PRECISE_BN", "REDUCER", "WRITER", "CHECKPOINT",
                   "EVALUATION", "PROFILER")  # fmt: skip
# `module:Class`, or a word: a hook may be registered by it.
_HOOK = re.compile(r"([\w-]+(\.[\w-]+)*:)?[\w-]+")


def batch(world_size: int, cfg: Known) -> Iterator[Problem]:
    """Every rank has the same share of a batch."""
    size = cfg.TRAIN.BATCH_SIZE
    if size % world_size:
        lower, upper = size // world_size * world_size, (size // world_size + 1) * world_size
        fitting = f"{lower} or {upper}" if lower else f"{upper}"
        yield Problem(
            "TRAIN.BATCH_SIZE",
            f"{size} is for all ranks together and does not divide by the world size {world_size}; give {fitting}",
        )


def nesterov(cfg: Known) -> Iterator[Problem]:
    """It is a kind of momentum, and one of SGD."""
    optimizer = cfg.SOLVER.OPTIMIZER
    if optimizer.NESTEROV and (optimizer.TYPE != "SGD" or optimizer.MOMENTUM == 0):
        yield Problem(
            "SOLVER.OPTIMIZER.NESTEROV",
            f"needs TYPE SGD and a MOMENTUM above 0; here are {optimizer.TYPE} and {optimizer.MOMENTUM:g}",
        )


def hooks(cfg: Known) -> Iterator[Problem]:
    """Each entry says what to build; whether that is there can only the training itself see."""
    for index, entry in enumerate(cfg.TRAIN.HOOKS):
        field = f"TRAIN.HOOKS[{index}]"
        if "type" not in entry:
            yield Problem(f"{field}.type", "is missing; give 'module:Class' or the name of a registered hook")
        for name, value in entry.items():
            if name not in HOOK_FIELDS:
                yield Problem(f"{field}.{name}", f"no such field; a hook has {', '.join(HOOK_FIELDS)}")
            elif not isinstance(value, HOOK_FIELDS[name]) or isinstance(value, bool):
                kinds = " or ".join(_KINDS[kind] for kind in HOOK_FIELDS[name])
                yield Problem(f"{field}.{name}", f"{show(value)} is not {kinds}")
            elif name == "type" and not _HOOK.fullmatch(str(value)):
                message = f"{show(value)} is no hook; give 'module:Class', or a name that a hook is registered by"
                yield Problem(f"{field}.type", message)
            elif name == "priority" and isinstance(value, str) and value not in HOOK_PRIORITIES:
                close = difflib.get_close_matches(value.upper(), HOOK_PRIORITIES, n=1)
                hint = f"did you mean {close[0]}?" if close else f"there are {', '.join(HOOK_PRIORITIES)}, and numbers"
                yield Problem(f"{field}.priority", f"{show(value)} is no priority; {hint}")


RULES = (nesterov, hooks)
