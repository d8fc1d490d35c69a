"""Kubernetes' quantities of bytes, as far as we compute with them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

_UNITS = {
    "": 1,
    **{letter: 1000**power for power, letter in enumerate("kMGTPE", start=1)},
    **{f"{letter}i": 1024**power for power, letter in enumerate("KMGTPE", start=1)},
}
_QUANTITY = re.compile(r"(\d+\.?\d*|\.\d+)([eE][-+]?\d{1,2})?([A-Za-z]*)")
_LARGEST = 64 * 1024**3


def shared_memory_size(container: Mapping[str, Any]) -> str:
    """The size of /dev/shm where the job gives none: a quarter of the container's memory limit, 64Gi at most.

    It counts against that limit; 64 MiB, the default without a volume, breaks NCCL and the workers of data loaders.
    """
    limit = _memory(container, "limits")
    return "64Gi" if limit is None else str(min(limit // 4, _LARGEST))


def memory_request(container: Mapping[str, Any], size: str) -> str | None:
    """What a container asks for together with its /dev/shm of this size, which is in no request otherwise; at most its
    limit. None where that is nothing to compute with: without a request of its own what it gets is its limit, or
    chance; and the size that is taken without a limit says nothing of what will be used.
    """
    own, limit = _memory(container, "requests"), _memory(container, "limits")
    shared = read_bytes(size or shared_memory_size(container)) if size or limit is not None else None
    if own is None or shared is None:
        return None
    return str(own + shared if limit is None else max(own, min(own + shared, limit)))


def _memory(container: Mapping[str, Any], kind: str) -> int | None:
    memory = ((container.get("resources") or {}).get(kind) or {}).get("memory")
    return read_bytes(str(memory)) if memory is not None else None


def read_bytes(text: str) -> int | None:
    """`16Gi` → 17179869184, `1e9` → 1000000000; None for what is no quantity, which the API server then refuses."""
    match = _QUANTITY.fullmatch(text.strip())
    if match is None or match[3] not in _UNITS:
        return None
    return int(Decimal(match[1] + (match[2] or "")) * _UNITS[match[3]])
