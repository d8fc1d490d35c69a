"""The precision that a model computes in (SOLVER.AMP). Its weights, their gradients and the optimizer stay float32.

float16 loses small gradients, so the loss is scaled up for backward. A step whose gradients overflow is left out on the
device, and the scale is halved; nothing in a step reads the device where the optimizer has a fused kernel.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch

from pet.config import Config

_AS_IT_IS = nullcontext()
NAMES = {torch.float32: "fp32", torch.bfloat16: "bf16", torch.float16: "fp16"}


def compute_dtype(amp: Config) -> torch.dtype:
    """What a SOLVER.AMP section asks for."""
    dtype: torch.dtype = getattr(torch, amp.DTYPE) if amp.ENABLED else torch.float32
    return dtype


class Precision:
    """Everything that SOLVER.AMP changes in a step."""

    def __init__(self, amp: Config, device: torch.device) -> None:
        self.dtype = compute_dtype(amp)
        self._device = device
        self._scales = self.dtype is torch.float16
        self._scaler = torch.amp.GradScaler(device.type, enabled=self._scales)
        self._overflows = torch.zeros((), device=device)

    def autocast(self) -> AbstractContextManager[Any]:
        """A model that runs inside computes in this precision."""
        return _AS_IT_IS if self.dtype is torch.float32 else torch.autocast(self._device.type, self.dtype)

    def scale(self, loss: torch.Tensor) -> torch.Tensor:
        """What backward gets."""
        return self._scaler.scale(loss) if self._scales else loss

    def unscale(self, optimizer: torch.optim.Optimizer) -> None:
        """Give the gradients their true values, once per step."""
        if self._scales:
            self._scaler.unscale_(optimizer)

    def step(self, optimizer: torch.optim.Optimizer) -> dict[str, torch.Tensor]:
        """Let the optimizer step, unless a gradient overflowed.

        Returns the numbers of the scaling, scalars on the device: `amp_scale` of the next step, and `amp_overflows`,
        how many steps in a row up to this one were left out.
        """
        if not self._scales:
            optimizer.step()
            return {}
        # torch tells only by a read of the device whether a step was left out; this is what it would read.
        (overflowed,) = self._scaler._found_inf_per_device(optimizer).values()
        self._overflows = (self._overflows + overflowed) * overflowed
        self._scaler.step(optimizer)
        self._scaler.update()
        scale = self._scaler._scale
        assert scale is not None
        return {"amp_scale": scale, "amp_overflows": self._overflows}

    def state_dict(self) -> dict[str, Any]:
        """The scale and its history; empty where nothing is scaled. Reads the device."""
        if not self._scales:
            return {}
        return {**self._scaler.state_dict(), "overflows": int(self._overflows)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from there; an empty state, of a run that scaled nothing, changes nothing."""
        if self._scales and state:
            self._scaler.load_state_dict(state)
            self._overflows.fill_(state["overflows"])
