"""From Pet's per-parameter rules to a torch optimizer with as few parameter groups as possible.

One group per parameter, as Pet makes them, keeps torch's multi-tensor kernels from doing their work. Parameters of
equal rate and decay share a group here; `optimizer.traversal` keeps Pet's order, which old checkpoints need.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from pet.config import Config
from pet.engine.checkpoint.optimizer_state import configure

logger = logging.getLogger(__name__)

NORM_LAYERS = (nn.modules.batchnorm._NormBase, nn.GroupNorm, nn.LayerNorm, nn.LocalResponseNorm)
NO_DECAY_NAMES = ("relative_position_bias_table", "absolute_pos_embed")


@dataclass(frozen=True)
class Rule:
    """What one parameter trains with."""

    lr: float
    weight_decay: float


class Optimizer:
    """Builds the optimizer that a SOLVER.OPTIMIZER section describes for a model's trainable parameters."""

    def __init__(self, model: nn.Module, solver: Config, fused: bool | None = None) -> None:
        """`fused`: whether torch's fused kernels do the step; None: on CUDA, where they are the fastest."""
        self.model = model
        self.solver = solver
        self.fused = fused

    def build(self) -> torch.optim.Optimizer:
        """The optimizer, with two more attributes.

        `traversal`: the trainable parameters in the order of the model's modules; `base_lrs`: the rate of each group
        before warm-up and policy.
        """
        groups: dict[Rule, list[nn.Parameter]] = {}
        traversal: list[nn.Parameter] = []
        for parameter, rule in self._rules():
            traversal.append(parameter)
            groups.setdefault(rule, []).append(parameter)
        optimizer = self._construct(
            [{"params": params, "lr": rule.lr, "weight_decay": rule.weight_decay} for rule, params in groups.items()]
        )
        configure(optimizer)
        optimizer.traversal = traversal  # type: ignore[attr-defined]
        optimizer.base_lrs = [rule.lr for rule in groups]  # type: ignore[attr-defined]
        return optimizer

    def _construct(self, groups: list[dict[str, Any]]) -> torch.optim.Optimizer:
        solver = self.solver
        on_cuda = any(parameter.is_cuda for parameter in groups[0]["params"])
        fused = (on_cuda if self.fused is None else self.fused) or None
        match solver.TYPE:
            case "SGD":
                sgd = torch.optim.SGD(groups, momentum=solver.MOMENTUM, nesterov=solver.NESTEROV, fused=fused)
                if fused and solver.MOMENTUM:
                    _begin_momentum(sgd)
                return sgd
            case "ADAMW":
                return torch.optim.AdamW(groups, fused=fused)
            case "ADAM":
                return torch.optim.Adam(groups, fused=fused)
            case "RMSPROP":
                return torch.optim.RMSprop(groups, momentum=solver.MOMENTUM)
        raise ValueError(f"SOLVER.OPTIMIZER.TYPE: {solver.TYPE!r} is none of SGD, ADAMW, ADAM, RMSPROP")

    def _rules(self) -> Iterator[tuple[nn.Parameter, Rule]]:
        """Every trainable parameter once, in the order of the model's modules."""
        plain = self.solver.TYPE == "ADAM"
        if plain:
            self._warn_of_ignored_rules()
        seen: set[nn.Parameter] = set()
        for module_name, module in self.model.named_modules():
            for name, parameter in module.named_parameters(recurse=False):
                if not parameter.requires_grad or parameter in seen:
                    continue
                seen.add(parameter)
                if plain:
                    yield parameter, Rule(self.solver.BASE_LR, self.solver.WEIGHT_DECAY)
                else:
                    yield parameter, self._rule(module, f"{module_name}.{name}", name)

    def _rule(self, module: nn.Module, path: str, name: str) -> Rule:
        """Pet's order: later rules override earlier ones, and the rule for biases is the last."""
        solver = self.solver
        lr, decay = solver.BASE_LR, solver.WEIGHT_DECAY
        if path.startswith("backbone.") or ".backbone." in path:
            lr *= solver.BACKBONE_LR_FACTOR
        if any(word in path for word in NO_DECAY_NAMES):
            decay = 0.0
        if isinstance(module, NORM_LAYERS):
            decay = solver.WEIGHT_DECAY_NORM
        elif isinstance(module, nn.Embedding):
            decay = solver.WEIGHT_DECAY_EMBED
        if name == "bias":
            lr, decay = solver.BASE_LR * solver.BIAS_LR_FACTOR, solver.WEIGHT_DECAY_BIAS
        return Rule(lr, decay)

    def _warn_of_ignored_rules(self) -> None:
        solver = self.solver
        ignored = [key for key in ("BIAS_LR_FACTOR", "BACKBONE_LR_FACTOR") if solver[key] != 1.0]
        ignored += [
            key
            for key in ("WEIGHT_DECAY_NORM", "WEIGHT_DECAY_BIAS", "WEIGHT_DECAY_EMBED")
            if solver[key] != solver.WEIGHT_DECAY
        ]
        if ignored:
            logger.warning(
                "SOLVER.OPTIMIZER.TYPE ADAM gives all parameters one rate and decay, as in Pet: %s "
                "are ignored. ADAMW follows them.",
                ", ".join(ignored),
            )


def _begin_momentum(optimizer: torch.optim.SGD) -> None:
    """Zero momentum is what a first step begins with. torch 2.15 takes memory as it finds it for one that overflows in
    float16, and goes on with that."""
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            optimizer.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter)


def clip_gradients(optimizer: torch.optim.Optimizer, clip: Config) -> torch.Tensor | None:
    """Clip all gradients in place by SOLVER.OPTIMIZER.CLIP_GRADIENTS.

    `full_model` scales by one norm over all parameters and returns it, a scalar tensor before clipping on the device;
    `norm` and `value` treat each parameter by itself and return None.
    """
    parameters = [p for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
    match clip.CLIP_TYPE:
        case "full_model":
            return nn.utils.clip_grad_norm_(parameters, clip.CLIP_VALUE, clip.NORM_TYPE, foreach=True)
        case "norm":
            for parameter in parameters:
                nn.utils.clip_grad_norm_(parameter, clip.CLIP_VALUE, clip.NORM_TYPE)
        case "value":
            nn.utils.clip_grad_value_(parameters, clip.CLIP_VALUE, foreach=True)
    return None
