"""The launcher's hold on the checkpoint folder: one launcher at a time, as far as that can be had."""

from __future__ import annotations

import time
from contextlib import ExitStack

from pet.launch import signals
from pet.launch.plan import Plan
from pet.launch.talk import say
from pet.store.lock import FolderLock
from pet.store.owner import Identity

_LOOK_SECONDS = 0.5


def hold_folder(plan: Plan, stack: ExitStack) -> None:
    """Lock the checkpoint folder until `stack` closes. The launcher of node 0 does it for its job.

    Outside a cluster, a folder that another process uses is refused with a ConfigError. In a cluster the operator lets
    an attempt begin when the one before is over, so who still has the lock is cut off from it, on a node that was lost:
    it gets the grace period to end and is then passed over, for the owner record keeps it from writing.
    """
    environment = plan.environment
    if not plan.checkpoint_dir or environment.node_index != 0:
        return
    identity = Identity.of(environment)
    lock = FolderLock(plan.checkpoint_dir, identity.folder_field)
    stack.callback(lock.release)
    if identity.local:
        lock.acquire()
    else:
        _acquire_within(lock, environment.grace_seconds)


def _acquire_within(lock: FolderLock, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    holder = lock.try_acquire()
    if holder is None:
        return
    say(f"the checkpoint folder is in use by {holder}: waiting up to {seconds:g} s for it to end")
    while time.monotonic() < deadline and signals.inbox.empty():
        time.sleep(_LOOK_SECONDS)
        if lock.try_acquire() is None:
            return
    say("going on without its lock: only the newest attempt may write there")
