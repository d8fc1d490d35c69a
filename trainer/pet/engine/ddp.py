"""Data-parallel training: wrapping the model so that a resumed run adds gradients up in the same order.

DDP rebuilds its buckets at the start of its second iteration. A resumed run would thus reduce its first step in another
layout than the uninterrupted one, and sums of floats depend on their order. One forward and backward before the first
step gets that over with; it changes nothing else, and is the first test of all ranks' connections.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from pet.config import Config, ConfigError
from pet.engine.checkpoint.reading import tensor_crc
from pet.engine.compiling import compile_model, first_compilation
from pet.engine.distributed import all_gather_objects, get_world_size, peer_errors
from pet.engine.precision import Precision
from pet.engine.rng import get_rng_state, set_rng_state
from pet.runfiles.failure import text_of

Batch = tuple[Any, Any, Any]

_NO_GRADIENT = re.compile(r"did not receive grad for rank \d+: ([\d ]+)")


def distribute(model: nn.Module, cfg: Config, first_batch: Callable[[], Batch]) -> nn.Module:
    """The model, compiled if asked for, in DDP, warmed up with a first batch of (inputs, targets, indices).

    In one process the model itself, and no batch is asked for. Parameters, buffers, gradients and random state are as
    before. Raises ConfigError where the model cannot be compiled.
    """
    if get_world_size() == 1 and not cfg.MISC.COMPILE:
        return model
    device = next(model.parameters()).device
    precision = Precision(cfg.SOLVER.AMP, device)
    inputs, targets, indices = first_batch()
    batch = inputs.to(device), targets.to(device), indices
    with nothing_happened(model):
        wrapped = model
        find_unused = get_world_size() > 1 and _find_unused(model, cfg.SOLVER.DDP.FIND_UNUSED, batch, precision)
        if cfg.MISC.COMPILE:
            compile_model(model)
        if get_world_size() > 1:
            wrapped = _wrapped(model, cfg, find_unused)
        with peer_errors(), first_compilation():
            _backward(wrapped, batch, precision)
    return wrapped


def _wrapped(model: nn.Module, cfg: Config, find_unused: bool) -> DistributedDataParallel:
    # Renamed in newer releases of torch.
    parameters = inspect.signature(DistributedDataParallel.__init__).parameters
    sync = "forward_sync_buffers" if "forward_sync_buffers" in parameters else "broadcast_buffers"
    device = next(model.parameters()).device
    with peer_errors():
        return DistributedDataParallel(
            model, device_ids=[device] if device.type == "cuda" else None, find_unused_parameters=find_unused,
            static_graph=cfg.SOLVER.DDP.STATIC_GRAPH, gradient_as_bucket_view=True,
            **{sync: cfg.SOLVER.DDP.BROADCAST_BUFFERS},
        )  # fmt: skip


def require_same_state(model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    """Compare parameters and optimizer state over the ranks, which must not begin to train unlike ones. Collective.

    Raises ConfigError on all of them, naming the odd ones. Reads the whole state from the device.
    """
    if get_world_size() == 1:
        return
    state = [list(unwrap(model).parameters()), optimizer.state_dict()["state"]]
    crcs = all_gather_objects(tensor_crc(state))
    odd = [rank for rank, crc in enumerate(crcs) if crc != crcs[0]]
    if odd:
        raise ConfigError.of(
            "MODEL",
            f"ranks {odd} have other parameters, or another optimizer state, than rank 0 before the first step: what "
            "makes them must not depend on the rank",
        )


def unwrap(model: nn.Module) -> nn.Module:
    """The model inside DDP, or the model itself."""
    return model.module if isinstance(model, DistributedDataParallel) else model


def broadcast_buffers(model: nn.Module) -> None:
    """Give every rank the buffers of rank 0: running statistics differ between ranks, and rank 0's are the model's."""
    if get_world_size() == 1:
        return
    with peer_errors():
        for buffer in model.buffers():
            dist.broadcast(buffer, src=0)


def sum_losses(outputs: dict[str, Any]) -> torch.Tensor:
    """What backward gets: the sum of the model's losses, which are weighted already."""
    first, *others = outputs["losses"].values()
    total: torch.Tensor = sum(others, start=first)
    return total


def explain_unused(error: BaseException, model: nn.Module) -> RuntimeError | None:
    """For DDP's error about parameters without a gradient one that names them and the key; None for other errors."""
    found = _NO_GRADIENT.search(text_of(error))
    if found is None:
        return None
    names = [name for name, parameter in unwrap(model).named_parameters() if parameter.requires_grad]
    unused = ", ".join(names[int(index)] for index in found[1].split())
    return RuntimeError(f"no gradient in the last step for {unused}: set SOLVER.DDP.FIND_UNUSED True, or use them")


def _find_unused(model: nn.Module, setting: str | bool, batch: Batch, precision: Precision) -> bool:
    """Whether DDP has to look for parameters without a gradient; "auto" tries one backward to find out."""
    if setting != "auto":
        return bool(setting)
    _backward(model, batch, precision)
    unused = any(parameter.requires_grad and parameter.grad is None for parameter in model.parameters())
    return any(all_gather_objects(unused))


def _backward(model: nn.Module, batch: Batch, precision: Precision) -> None:
    inputs, targets, _ = batch
    with precision.autocast():
        loss = sum_losses(model(inputs, targets))
    torch.autograd.backward(loss)


@contextmanager
def nothing_happened(model: nn.Module) -> Iterator[None]:
    """Afterwards buffers, gradients and random state are what they were before."""
    buffers = [(buffer, buffer.clone()) for buffer in model.buffers()]
    rng = get_rng_state()
    try:
        yield
    finally:
        with torch.no_grad():
            for buffer, before in buffers:
                buffer.copy_(before)
        model.zero_grad(set_to_none=True)
        set_rng_state(rng)
