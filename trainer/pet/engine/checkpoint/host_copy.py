"""A copy of a training's state in host memory, which a thread may write while training goes on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from pet.engine.checkpoint.snapshot import size_of

# Beside the copy the writer needs memory for its pickles, and the disk's cache should not be squeezed out.
_HEADROOM = 1.5
_CGROUP = Path("/sys/fs/cgroup")
_Place = tuple[str | int, ...]  # the keys on the way to a tensor; names of weights have dots in them


class HostCopy:
    """Buffers by place in the state, made by the first copy that has it and kept while the next ones do: page-locked
    for tensors of a GPU."""

    def __init__(self) -> None:
        self._buffers: dict[_Place, torch.Tensor] = {}  # of the last copy
        self._before: dict[_Place, torch.Tensor] = {}  # of the one before it, while one is made
        self._copied: torch.cuda.Event | None = None

    def fits(self, size: int) -> bool:
        """Whether there is memory for a copy of `size` bytes, beside what the last one has."""
        return available_memory() > _HEADROOM * (size - size_of(self._buffers))

    def take(self, state: dict[str, Any]) -> dict[str, Any]:
        """Copy all tensors, numbers and texts of nested dictionaries, lists and tuples; weights become contiguous.

        Copies from a GPU are queued behind the work it has, so that later steps change nothing of them and the caller
        does not wait: `wait` does, before the copy is read.
        """
        self._before, self._buffers = self._buffers, {}
        copy: dict[str, Any] = self._copy(state, ())
        self._before = {}
        if any(buffer.is_pinned() for buffer in self._buffers.values()):
            self._copied = torch.cuda.Event()  # type: ignore[no-untyped-call]
            self._copied.record()
        return copy

    def wait(self) -> None:
        """Return when the last copy is complete."""
        if self._copied is not None:
            self._copied.synchronize()

    def _copy(self, value: Any, place: _Place) -> Any:
        if isinstance(value, torch.Tensor):
            buffer = self._buffer(value, place)
            buffer.copy_(value.detach(), non_blocking=True)
            return buffer
        if isinstance(value, dict):
            return type(value)((key, self._copy(item, (*place, key))) for key, item in value.items())
        if isinstance(value, (list, tuple)):
            return type(value)(self._copy(item, (*place, index)) for index, item in enumerate(value))
        return value

    def _buffer(self, tensor: torch.Tensor, place: _Place) -> torch.Tensor:
        kept = self._before.get(place)
        if kept is None or kept.shape != tensor.shape or kept.dtype != tensor.dtype:
            form = torch.contiguous_format if place[0] == "model" else torch.preserve_format
            kept = torch.empty_like(tensor, device="cpu", memory_format=form, pin_memory=tensor.is_cuda)
        self._buffers[place] = kept
        return kept


def available_memory() -> int:
    """Bytes that this process may still take: of the machine, or of its container where that has less."""
    lines = Path("/proc/meminfo").read_text().splitlines()
    free = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:"))
    try:
        limit = int((_CGROUP / "memory.max").read_text())
        used = int((_CGROUP / "memory.current").read_text())
        stat = dict(line.split() for line in (_CGROUP / "memory.stat").read_text().splitlines())
    except (OSError, ValueError):  # no cgroup of version 2, or no limit
        return free
    # What is cached of files goes when the memory is needed.
    return min(free, limit - used + int(stat["inactive_file"]))
