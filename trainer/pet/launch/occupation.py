"""The launcher's hold on the checkpoint folder: one launcher at a time, as far as that can be had."""

from __future__ import annotations

import time
from contextlib import ExitStack

from pet.launch import signals
from pet.launch.plan import Plan
from pet.launch.talk import say
from pet.store.lock import FolderLock
from pet.store.opening import owner_for
from pet.store.owner import Identity

_LOOK_SECONDS = 0.5


def hold_folder(plan: Plan, stack: ExitStack) -> None:
    """Lock the checkpoint folder until `stack` closes. The launcher of node 0 does it for its job.

    A folder that another process uses is refused with a ConfigError: by hand, and where it belongs to somebody else,
    at once, else after the grace period. The launcher of a program that was killed has its ranks save and leaves by
    itself, and the job may be started again meanwhile.

    In a cluster the operator lets an attempt begin when the one before is over, so who has the lock even then is cut
    off from it, on a node that was lost: it is passed over, for the owner record keeps it from writing.
    """
    environment = plan.environment
    if not plan.checkpoint_dir or environment.node_index != 0:
        return
    identity = Identity.of(environment)
    lock = FolderLock(plan.checkpoint_dir, identity.folder_field)
    stack.callback(lock.release)
    if identity.uid and _acquire_within(lock, environment.grace_seconds, identity):
        return
    if identity.local:
        lock.acquire()
    else:
        say("going on without its lock: only the newest attempt may write there")


def _acquire_within(lock: FolderLock, seconds: float, identity: Identity) -> bool:
    """Whether it was had in that time, or is of no use any more: a stop was asked for. Raises what `owner_for` does,
    for a folder that will not be ours when it is free."""
    deadline = time.monotonic() + seconds
    holder = lock.try_acquire()
    if holder is None:
        return True
    owner_for(lock.path, identity)
    say(f"the checkpoint folder is in use by {holder}: waiting up to {seconds:g} s for it to end")
    while time.monotonic() < deadline:
        time.sleep(_LOOK_SECONDS)
        if lock.try_acquire() is None or not signals.inbox.empty():
            return True
    return False
