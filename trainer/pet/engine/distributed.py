"""The process group, and the few collectives on Python objects that happen outside a step.

Every function works in one process without a group. Objects travel over a gloo group of their own, so they never touch
the device and never meet the gradients' collectives.
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, TypeVar, cast

import torch
import torch.distributed as dist
from torch.distributed import PrefixStore  # type: ignore[attr-defined]  # left out of its __all__
from torch.distributed.rendezvous import rendezvous

from pet.engine.errors import PeerLost
from pet.engine.likeness import facts_of_this_rank, require_alike
from pet.engine.signs import begin_collective
from pet.runfiles.failure import text_of

if TYPE_CHECKING:
    from collections.abc import Iterator

T = TypeVar("T")

# gloo and NCCL report a vanished peer as a plain RuntimeError in some paths (backward, waits). These are its words, and
# the names in it of who says them: a user's own code may say the same of a server of its own.
_LOST_PEER = (
    "Connection closed by peer",
    "Connection reset by peer",
    "Broken pipe",
    "Connection refused",
    "Timed out waiting",
    "Application timeout",
    "NCCL communicator was aborted",
    "remote process exited",
)
_SPEAKERS = ("/gloo/", "NCCL")

_control_group: dist.ProcessGroup | None = None


def init_process_group(device: torch.device, timeout_seconds: float = 1800.0, config_hash: str | None = None) -> None:
    """Join the group that the launcher's environment describes: NCCL for CUDA, gloo for CPU, none for one process.

    With a `config_hash` all ranks are compared first, see `pet.engine.likeness`; raises what it raises. Does nothing in
    a process that has joined.
    """
    global _control_group
    if int(os.environ.get("WORLD_SIZE", "1")) <= 1 or _control_group is not None:
        return
    timeout, backend = timedelta(seconds=timeout_seconds), "nccl" if device.type == "cuda" else "gloo"
    with peer_errors():
        store, rank, world_size = next(rendezvous("env://", timeout=timeout))
        # Should ranks of another training come to this address, they can neither read nor write here.
        store = PrefixStore(os.environ.get("TORCHELASTIC_RUN_ID", ""), store)
        if config_hash is not None:
            require_alike(store, rank, world_size, facts_of_this_rank(backend, world_size, config_hash))
        dist.init_process_group(backend, store=store, rank=rank, world_size=world_size, timeout=timeout)
        _control_group = cast("dist.ProcessGroup", dist.new_group(backend="gloo", timeout=timeout))


def limit_waits(seconds: float) -> None:
    """Collectives that begin from now on fail once they have waited so long for other ranks."""
    if dist.is_initialized():
        for group in (dist.group.WORLD, _control_group):
            dist.set_timeout(timedelta(seconds=seconds), group)


def destroy_process_group() -> None:
    """Leave the group, if there is one."""
    global _control_group
    if dist.is_initialized():
        dist.destroy_process_group()
    _control_group = None


def control_group() -> dist.ProcessGroup:
    """The gloo group for objects and flags. Raises RuntimeError outside a group of processes."""
    if _control_group is None:
        raise RuntimeError("there is no process group: call init_process_group first")
    return _control_group


def get_rank() -> int:
    """This process's rank, 0 without a group."""
    return dist.get_rank() if dist.is_initialized() else 0


def get_world_size() -> int:
    """The number of ranks, 1 without a group."""
    return dist.get_world_size() if dist.is_initialized() else 1


def is_main_process() -> bool:
    """Whether this is rank 0, which writes logs and checkpoints."""
    return get_rank() == 0


def synchronize() -> None:
    """Wait until every rank is here."""
    if get_world_size() > 1:
        with peer_errors():
            dist.barrier(group=control_group())


def broadcast_object(value: T) -> T:
    """Rank 0's value, on every rank."""
    if get_world_size() == 1:
        return value
    box = [value]
    with peer_errors():
        dist.broadcast_object_list(box, src=0, group=control_group())
    return box[0]


def gather_objects(value: T) -> list[T] | None:
    """Every rank's value in the order of ranks on rank 0, None on the others."""
    if get_world_size() == 1:
        return [value]
    values: list[T] | None = [value] * get_world_size() if is_main_process() else None
    with peer_errors():
        dist.gather_object(value, values, dst=0, group=control_group())
    return values


def all_gather_objects(value: T) -> list[T]:
    """Every rank's value in the order of ranks, on every rank."""
    if get_world_size() == 1:
        return [value]
    values = [value] * get_world_size()
    with peer_errors():
        dist.all_gather_object(values, value, group=control_group())
    return values


@contextmanager
def peer_errors() -> Iterator[None]:
    """Around a collective, or several: count it, and turn its failure into PeerLost, so that this rank is never taken
    for the cause."""
    begin_collective()
    try:
        yield
    except RuntimeError as error:  # torch's DistError family derives from it
        if is_peer_error(error):
            raise PeerLost(str(error).splitlines()[0]) from error
        raise


def is_peer_error(error: BaseException) -> bool:
    """Whether the error says that another rank, or the connection to it, is gone."""
    if isinstance(error, (dist.DistBackendError, dist.DistNetworkError, dist.DistStoreError)):
        return True
    if not isinstance(error, RuntimeError):
        return False
    text = text_of(error)
    return any(words in text for words in _LOST_PEER) and any(name in text for name in _SPEAKERS)
