"""How long a rank waits for the others before it gives up by itself."""

from __future__ import annotations

from pet.engine.distributed import limit_waits
from pet.engine.events import EventStorage
from pet.engine.hooks.base import Priority, TrainHook
from pet.engine.session import Session
from pet.runfiles.patience import FIRST_SECONDS, read_patience, usual_limit

# The launcher's watchdog has to speak first: it tells who is waited for. What it learns in a start it tells the next.
_MARGIN_SECONDS = 30.0


class WaitLimit(TrainHook):
    """Replaces the process group's long limit, meant for the first step, by one a little above the watchdog's."""

    priority = Priority.TIMER

    def __init__(self, session: Session) -> None:
        self.session = session
        self.learnt = read_patience(session.run_dir.patience)
        self.limit = 0.0

    def after_step(self, storage: EventStorage, **epochs: int) -> None:
        """After the first step, and where a later wait was longer than all before."""
        if self.limit and not storage.closes_window:
            return
        own = usual_limit(self.session.environment.stall_seconds, self.session.heartbeat.longest_silence)
        # Whatever the job demands: of the others one may still be in its second step, or compile anew.
        limit = max(FIRST_SECONDS, own, self.learnt)
        if limit > self.limit:
            self.limit = limit
            limit_waits(limit + _MARGIN_SECONDS)
