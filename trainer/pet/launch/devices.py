"""How many ranks this node runs, and on which devices."""

from __future__ import annotations

import os

from pet.config import ConfigError, JobEnvironment
from pet.launch.options import Options


def cpu_ranks(options: Options, environment: JobEnvironment) -> int:
    """Ranks on the CPU: PET_NPROC_PER_NODE, else `--nproc`, else one. Raises ConfigError."""
    if options.gpu_id is not None:
        raise ConfigError.of(
            "--gpu_id",
            f"{options.gpu_id!r} names CUDA devices, but MISC.DEVICE is cpu: leave it out, or set MISC.DEVICE cuda",
        )
    count = environment.nproc_per_node if environment.nproc_per_node is not None else options.nproc
    if count is not None and count < 1:
        field = "--nproc" if environment.nproc_per_node is None else "PET_NPROC_PER_NODE"
        raise ConfigError.of(field, f"{count} ranks cannot train: give 1 or more")
    return count or 1


def cuda_devices(options: Options, environment: JobEnvironment, device_count: int) -> tuple[str, ...]:
    """The value of CUDA_VISIBLE_DEVICES for the ranks, one entry per rank.

    `device_count` is the number of devices that this process sees. `--gpu_id` counts among those. Raises ConfigError:
    training never falls back to the CPU by itself.
    """
    if options.nproc is not None:
        raise ConfigError.of("--nproc", "counts ranks on the CPU, but MISC.DEVICE is cuda: use --gpu_id")
    if device_count == 0:
        raise ConfigError.of(
            "MISC.DEVICE", "is cuda, but no CUDA device is visible here: set MISC.DEVICE cpu to train on the CPU"
        )
    chosen = list(range(device_count)) if options.gpu_id is None else _ids(options.gpu_id, device_count)
    if environment.nproc_per_node is not None:
        if not 1 <= environment.nproc_per_node <= len(chosen):
            raise ConfigError.of(
                "PET_NPROC_PER_NODE",
                f"{environment.nproc_per_node} ranks on {len(chosen)} devices: each rank needs one of its own",
            )
        chosen = chosen[: environment.nproc_per_node]
    visible = [name.strip() for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name.strip()]
    return tuple(visible[index] if visible else str(index) for index in chosen)


def visible_cuda_devices() -> int:
    """The number of CUDA devices that torch sees. Imports torch."""
    import torch

    return torch.cuda.device_count()


def _ids(text: str, device_count: int) -> list[int]:
    try:
        ids = [int(part) for part in text.split(",")]
    except ValueError:
        raise ConfigError.of("--gpu_id", f"{text!r} is no list of device numbers: write it as 0,1,2") from None
    if len(set(ids)) < len(ids):
        raise ConfigError.of("--gpu_id", f"{text!r} names a device twice")
    missing = [number for number in ids if not 0 <= number < device_count]
    if missing:
        raise ConfigError.of(
            "--gpu_id", f"there is no device {', '.join(map(str, missing))}: {device_count} visible, numbered from 0"
        )
    return ids
