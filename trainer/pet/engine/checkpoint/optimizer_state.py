"""Loading an optimizer's state: as it is, or from Pet's old layout with one group per parameter.

Taken is what the optimizer has gathered of each parameter, and what it went by (momentum, decay), which a hook may have
changed. Where the configuration says otherwise than it did when that was saved, the configuration counts.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import torch

from pet.config.errors import ConfigError, Problem

FIELD = "SOLVER.OPTIMIZER"
KERNELS = ("fused", "foreach", "capturable")  # as torch's groups name them
CONFIGURED = "configured"  # in each group: what the configuration gave it to go by
# What a step needs of what the steps before have gathered, for each parameter.
_ADAM = {"step", "exp_avg", "exp_avg_sq"}
_RMSPROP = {"step", "square_avg"}
_MOMENTUM = "momentum_buffer"


def load_optimizer_state(optimizer: torch.optim.Optimizer, saved: Mapping[str, Any], file: str) -> None:
    """Fill `optimizer` from the optimizer's part of a checkpoint.

    Raises ConfigError listing what does not fit. The learning rates are set by the scheduler afterwards. Which kernels
    do the step is the device's matter, and no part of a state: it may have been saved on another.
    """
    sizes = [len(group["params"]) for group in saved["param_groups"]]
    current = [len(group["params"]) for group in optimizer.param_groups]
    if sizes != current:
        if sizes != [1] * sum(current):
            raise ConfigError.of(
                FIELD,
                f"groups of {current} parameters, {file} holds groups of {sizes}: resume needs "
                "the groups that were saved; set the optimizer's keys back",
            )
        saved = _regrouped(optimizer, saved)
    _check_kind(optimizer, saved, file)
    _check_shapes(optimizer, saved, file)
    groups = [_settled(group, own) for group, own in zip(saved["param_groups"], optimizer.param_groups, strict=True)]
    # A copy: the state is updated in place, and the loaded tensors are pages of the checkpoint's file. What was never
    # gathered begins as it would at a first step.
    state = {**optimizer.state_dict()["state"], **_cloned(saved["state"])}
    optimizer.load_state_dict({"state": state, "param_groups": groups})


def configure(optimizer: torch.optim.Optimizer) -> None:
    """Note in each group what it is to go by, so that a later start knows what the configuration has changed."""
    for group in optimizer.param_groups:
        group[CONFIGURED] = {name: value for name, value in group.items() if name not in ("params", "lr", *KERNELS)}


def _settled(saved: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """A group as it was saved, but for what is another device's or configuration's."""
    before, now = saved.get(CONFIGURED, {}), own.get(CONFIGURED, {})
    changed = {name: value for name, value in now.items() if name in before and before[name] != value}
    kept = {name: own[name] for name in (*KERNELS, CONFIGURED) if name in own}
    return {**saved, **kept, **changed}


def _check_kind(optimizer: torch.optim.Optimizer, saved: Mapping[str, Any], file: str) -> None:
    for state in saved["state"].values():
        if not _fits(optimizer, state.keys()):
            raise ConfigError.of(
                f"{FIELD}.TYPE",
                f"{file} holds {', '.join(sorted(state))} of each parameter, which is not what "
                f"{type(optimizer).__name__} with these keys goes on from: set the optimizer's keys back, or begin a "
                "new job with the model of that checkpoint (TRAIN.WEIGHTS)",
            )


def _fits(optimizer: torch.optim.Optimizer, names: Collection[str]) -> bool:
    """Whether a state of these names lets it go on."""
    match optimizer:
        case torch.optim.Adam():  # AdamW too
            return _ADAM.issubset(names)
        case torch.optim.RMSprop():
            momentum = {_MOMENTUM} if any(group["momentum"] for group in optimizer.param_groups) else set()
            return (_RMSPROP | momentum).issubset(names)
        case torch.optim.SGD():
            return {_MOMENTUM}.issuperset(names)
    return True


def _regrouped(optimizer: torch.optim.Optimizer, saved: Mapping[str, Any]) -> dict[str, Any]:
    """The old layout in the groups of `optimizer`: both know the parameters in the order of Pet's traversal."""
    traversal = getattr(optimizer, "traversal", None) or _parameters(optimizer)
    old = {id(parameter): group["params"][0] for parameter, group in zip(traversal, saved["param_groups"], strict=True)}
    order = [old[id(parameter)] for parameter in _parameters(optimizer)]
    state = {new: saved["state"][index] for new, index in enumerate(order) if index in saved["state"]}
    return {"state": state, "param_groups": optimizer.state_dict()["param_groups"]}


def _parameters(optimizer: torch.optim.Optimizer) -> list[torch.Tensor]:
    """All parameters in the order of the groups, which is that of the indices in a state."""
    return [parameter for group in optimizer.param_groups for parameter in group["params"]]


def _check_shapes(optimizer: torch.optim.Optimizer, saved: Mapping[str, Any], file: str) -> None:
    indices = [index for group in saved["param_groups"] for index in group["params"]]
    problems = [
        Problem(
            FIELD,
            f"{name} of parameter {position} has shape {list(value.shape)} in {file}, the parameter "
            f"{list(parameter.shape)}",
        )
        for position, (index, parameter) in enumerate(zip(indices, _parameters(optimizer), strict=True))
        for name, value in saved["state"].get(index, {}).items()
        if isinstance(value, torch.Tensor) and value.dim() > 0 and value.shape != parameter.shape
    ]
    if problems:
        raise ConfigError(problems)


def _cloned(value: Any) -> Any:
    if isinstance(value, torch.Tensor):
        return value.clone()
    if isinstance(value, dict):
        return {key: _cloned(item) for key, item in value.items()}
    return value
