"""Kubernetes' quantities of bytes, as far as we compute with them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

_UNITS = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12, "P": 10**15} | {
    f"{letter}i": 1024**power for power, letter in enumerate("KMGTP", start=1)
}
_LARGEST = 64 * 1024**3


def shared_memory_size(container: Mapping[str, Any]) -> str:
    """The size of /dev/shm where the job gives none: a quarter of the container's memory limit, 64Gi at most.

    It counts against that limit; 64 MiB, the default without a volume, breaks NCCL and the workers of data loaders.
    """
    limit = ((container.get("resources") or {}).get("limits") or {}).get("memory")
    size = read_bytes(str(limit)) if limit is not None else None
    return "64Gi" if size is None else str(min(size // 4, _LARGEST))


def read_bytes(text: str) -> int | None:
    """`16Gi` → 17179869184; None for what is no quantity, which the API server then refuses."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([A-Za-z]*)", text.strip())
    if match is None or match[2] not in _UNITS:
        return None
    return int(Decimal(match[1]) * _UNITS[match[2]])
