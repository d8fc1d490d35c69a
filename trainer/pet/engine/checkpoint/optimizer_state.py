"""Loading an optimizer's state: as it is, or from Pet's old layout with one group per parameter."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from pet.config.errors import ConfigError, Problem

FIELD = "SOLVER.OPTIMIZER"
KERNELS = ("fused", "foreach", "capturable")  # as torch's groups name them


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
    _check_shapes(optimizer, saved, file)
    groups = [
        {**group, **{name: own[name] for name in KERNELS if name in own}}
        for group, own in zip(saved["param_groups"], optimizer.param_groups, strict=True)
    ]
    # A copy: the state is updated in place, and the loaded tensors are pages of the checkpoint's file.
    optimizer.load_state_dict({"state": _cloned(saved["state"]), "param_groups": groups})


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
