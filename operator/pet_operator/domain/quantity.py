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
    limit = ((container.get("resources") or {}).get("limits") or {}).get("memory")
    size = read_bytes(str(limit)) if limit is not None else None
    return "64Gi" if size is None else str(min(size // 4, _LARGEST))


def read_bytes(text: str) -> int | None:
    """`16Gi` → 17179869184, `1e9` → 1000000000; None for what is no quantity, which the API server then refuses."""
    match = _QUANTITY.fullmatch(text.strip())
    if match is None or match[3] not in _UNITS:
        return None
    return int(Decimal(match[1] + (match[2] or "")) * _UNITS[match[3]])
