"""The learning rate of every step: Pet's warm-up times Pet's policy, as pure functions of the iteration.

Step k runs with `factor(k - 1)`. A fresh scheduler stands at iteration 1; after step k it stands at k + 1, and that is
the number a checkpoint holds.
"""

from __future__ import annotations

import logging
import math
from bisect import bisect_right
from typing import Any

import torch

from pet.config import Config

logger = logging.getLogger(__name__)


class LearningRateScheduler:
    """Sets the learning rate of each parameter group to its base rate times `factor`.

    Args:
        optimizer: from `Optimizer.build()`, or any other: then its groups' `lr` at construction are the base rates.
        solver: the SOLVER section. With TOTAL_EPOCHS unset or not positive, TOTAL_ITERS, STEPS and WARM_UP_ITERS count
            iterations; otherwise TOTAL_EPOCHS and STEPS count epochs of `iter_per_epoch` iterations.
        iter_per_epoch: iterations in one epoch; only used when epochs are given.
    """

    def __init__(self, optimizer: torch.optim.Optimizer, solver: Config, iter_per_epoch: int = -1) -> None:
        scheduler = solver.SCHEDULER
        self.optimizer = optimizer
        self.policy: str = scheduler.POLICY
        self.gamma: float = scheduler.GAMMA
        self.lr_pow: float = scheduler.LR_POW
        self.max_iter, milestones = _horizon(scheduler, iter_per_epoch)
        self.milestones = milestones if "STEP" in self.policy else []
        self.warm_up_iters = warmup_iterations(scheduler, iter_per_epoch)
        self.warm_up_factor: float = scheduler.WARM_UP_FACTOR
        self.warm_up_method: str = scheduler.WARM_UP_METHOD
        self.log_threshold: float = scheduler.LOG_LR_CHANGE_THRESHOLD
        self.iteration = 1
        self.info: dict[str, float] = {"best_acc": 0.0, "best_epoch": 0, "cur_acc": 0.0, "cur_epoch": 0}
        # Not from the groups once a state was loaded: that holds the rates of the run it was saved in.
        self.base_lrs = list(getattr(optimizer, "base_lrs", None) or [group["lr"] for group in optimizer.param_groups])
        # All rates move by one factor, so the most common one stays so.
        self.shown_group = self._most_common()
        self._warn_of_jump()
        self._apply()

    def factor(self, iteration: int) -> float:
        """What multiplies the base rates at this 0-based iteration."""
        return self._warm_up(iteration) * self._policy(iteration)

    def step(self) -> None:
        """Go to the next iteration and set its rates."""
        self.iteration += 1
        if not self._jumps_at(self.iteration - 1):
            self._apply()
            return
        before = self.lr
        self._apply()
        if _ratio(before, self.lr) > self.log_threshold:
            logger.info("Changing learning rate %.6f -> %.6f", before, self.lr)

    @property
    def lr(self) -> float:
        """The rate that is shown: that of most parameters, the first of them in a tie."""
        return float(self.optimizer.param_groups[self.shown_group]["lr"])

    def state_dict(self) -> dict[str, Any]:
        """Everything but the optimizer. Only `iteration` and `info` are read back: the curve is the config's."""
        return {name: value for name, value in vars(self).items() if name != "optimizer"}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go to the saved iteration and set its rates, which the optimizer's own state may have overwritten."""
        self.iteration = int(state["iteration"])
        self.info.update(state.get("info") or {})
        self._apply()

    def _apply(self) -> None:
        factor = self.factor(self.iteration - 1)
        for group, base_lr in zip(self.optimizer.param_groups, self.base_lrs, strict=True):
            group["lr"] = base_lr * factor

    def _most_common(self) -> int:
        """The first group that has the rate of most parameters."""
        counts: dict[float, int] = {}
        for group, base_lr in zip(self.optimizer.param_groups, self.base_lrs, strict=True):
            counts[base_lr] = counts.get(base_lr, 0) + len(group["params"])
        return self.base_lrs.index(max(counts, key=lambda rate: counts[rate]))

    def _jumps_at(self, iteration: int) -> bool:
        """Whether the curve has a step here. Where it is smooth, each iteration changes the rate: nothing to log."""
        ends_warm_up = self.warm_up_method == "CONSTANT" and iteration == self.warm_up_iters
        return ends_warm_up or iteration in self.milestones

    def _warn_of_jump(self) -> None:
        if self.policy != "STEP_COSINE" or not self.milestones:
            return
        last = self.milestones[-1]
        before, after = self._policy(last - 1), self._policy(last)
        if after > before:
            logger.warning(
                "STEP_COSINE raises the learning rate at iteration %d: factor %.4f -> %.4f", last, before, after
            )

    def _warm_up(self, iteration: int) -> float:
        if iteration >= self.warm_up_iters:
            return 1.0
        if self.warm_up_method == "CONSTANT":
            return self.warm_up_factor
        alpha = iteration / self.warm_up_iters
        return self.warm_up_factor * (1 - alpha) + alpha

    def _policy(self, iteration: int) -> float:
        before_last = bool(self.milestones) and iteration < self.milestones[-1]
        if self.policy == "STEP" or (self.policy == "STEP_COSINE" and before_last):
            return float(self.gamma ** bisect_right(self.milestones, iteration))
        progress = min(iteration / self.max_iter, 1.0)
        if self.policy == "POLY":
            return float((1.0 - progress) ** self.lr_pow)
        return 0.5 * (1.0 + math.cos(math.pi * progress))


def _ratio(one: float, other: float) -> float:
    """How many times the larger rate is the smaller one."""
    smaller, larger = sorted((one, other))
    return larger / smaller if smaller else math.inf


def warmup_iterations(scheduler: Config, iter_per_epoch: int) -> int:
    """The length of the warm-up in iterations: WARM_UP_EPOCHS where it is set, else WARM_UP_ITERS."""
    if scheduler.WARM_UP_EPOCHS is not None:
        iterations: float = scheduler.WARM_UP_EPOCHS * iter_per_epoch
        return round(iterations)
    return int(scheduler.WARM_UP_ITERS)


def _horizon(scheduler: Config, iter_per_epoch: int) -> tuple[int, list[int]]:
    """The last iteration and the milestones, both in iterations."""
    epochs = scheduler.TOTAL_EPOCHS
    if epochs is None or epochs <= 0:
        return int(scheduler.TOTAL_ITERS), [int(step) for step in scheduler.STEPS]
    return round(epochs * iter_per_epoch), [round(step * iter_per_epoch) for step in scheduler.STEPS]
