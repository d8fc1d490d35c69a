"""How all ranks agree to stop after the same step, without a wait in the steps before.

At a boundary every rank begins a reduce of its flag on the control group; at the next boundary it looks at the result.
Whoever was asked to stop, all ranks see it at the same step. Between two rounds lie so many steps as fit half a second:
rare enough to cost nothing, often enough that Ctrl-C answers at once. Where a step takes longer than that, or its time
is not known yet, the result is awaited at once: that costs nothing beside the step, and one step more may be too
much for the time that is left after a stop signal.
"""

from __future__ import annotations

import torch
import torch.distributed as dist

from pet.engine.distributed import control_group, get_world_size, peer_errors
from pet.engine.signals import stop_requested

LATENCY_SECONDS = 0.5


class StopAgreement:
    """Asked once after each step, by every rank. `agreed`: it was asked for, and all ranks know it."""

    def __init__(self) -> None:
        self.agreed = False
        self._alone = get_world_size() == 1
        self._flag = torch.zeros(1, dtype=torch.int32)
        # Shares memory with the tensor: reading it is no torch operation.
        self._view = self._flag.numpy()
        self._round: dist.Work | None = None
        self._last_round = 0
        self._interval = 1
        self._at_once = True

    def pace(self, step_seconds: float) -> None:
        """Set the distance of rounds from the step time, which must be the same number on every rank."""
        self._interval = max(1, int(LATENCY_SECONDS / max(step_seconds, 1e-4)))
        self._at_once = step_seconds > LATENCY_SECONDS

    def reached(self, iteration: int) -> bool:
        """Whether all ranks stop after this step. Raises PeerLost if one of them is gone."""
        if self._alone:
            self.agreed = stop_requested() is not None
            return self.agreed
        if self._round is not None and self.settle():
            return True
        if iteration - self._last_round >= self._interval:
            self._begin()
            self._last_round = iteration
            return self._at_once and self.settle()
        return False

    def now(self) -> bool:
        """The same at once, before what a stop should not have to wait for. Collective."""
        if self._alone:
            self.agreed = stop_requested() is not None
        elif not self.settle():
            self._begin()
            self.settle()
        return self.agreed

    def settle(self) -> bool:
        """Await the round under way, if any; whether all ranks stop."""
        if self._round is not None:
            with peer_errors():
                self._round.wait()
            self._round = None
            self.agreed = bool(self._view[0])
        return self.agreed

    def _begin(self) -> None:
        self._view[0] = stop_requested() is not None
        with peer_errors():
            self._round = dist.all_reduce(self._flag, dist.ReduceOp.MAX, group=control_group(), async_op=True)
