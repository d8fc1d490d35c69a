"""That all ranks run the same: compared through the store before the first collective, which would hang or train
something else where they do not.
"""

from __future__ import annotations

import hashlib
import json
import platform
import sys
import time
from collections import Counter
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Protocol

import torch

import pet
from pet.config.errors import ConfigError, Problem
from pet.engine.errors import PeerLost

LIMIT_SECONDS = 60.0
_LINGER_SECONDS = 5.0
_POLL_SECONDS = 0.05

Facts = Mapping[str, str]


class Store(Protocol):
    """What is asked of torch's store."""

    def set(self, key: str, value: str) -> None: ...
    def get(self, key: str) -> bytes: ...
    def add(self, key: str, amount: int) -> int: ...
    def check(self, keys: list[str]) -> bool: ...
    def wait(self, keys: list[str], timeout: timedelta) -> None: ...


def facts_of_this_rank(backend: str, world_size: int, config_hash: str) -> Facts:
    """What must be the same on all ranks of a run."""
    nccl = ".".join(map(str, torch.cuda.nccl.version())) if backend == "nccl" else "none"  # type: ignore[no-untyped-call]
    return {
        "torch": str(torch.__version__),
        "CUDA": torch.version.cuda or "none",
        "NCCL": nccl,
        "Python": platform.python_version(),
        "backend": backend,
        "number of ranks": str(world_size),
        "code": code_hash(),
        "configuration": config_hash,
    }


def code_hash() -> str:
    """16 hexadecimal digits of the library's sources and of the script that runs."""
    package = Path(pet.__file__).parent
    files = sorted(file for file in package.rglob("*.py") if file.is_file())  # an editor's lock is a link to nowhere
    names = [str(file.relative_to(package)) for file in files]
    script = getattr(sys.modules["__main__"], "__file__", None)
    if script is not None and Path(script).is_file():
        files.append(Path(script))
        names.append("script")
    digest = hashlib.sha256()
    for name, file in zip(names, files, strict=True):
        data = file.read_bytes()
        digest.update(f"{name} {len(data)}\n".encode() + data)
    return digest.hexdigest()[:16]


def require_alike(store: Store, rank: int, world_size: int, facts: Facts, seconds: float = LIMIT_SECONDS) -> None:
    """Compare with the other ranks. Raises ConfigError on all of them, naming the odd ones, and PeerLost if one has
    told nothing within `seconds`."""
    keys = [f"facts/{other}" for other in range(world_size)]
    store.set(keys[rank], json.dumps(dict(facts)))
    try:
        store.wait(keys, timedelta(seconds=seconds))
    except RuntimeError as error:  # torch's DistStoreError derives from it
        silent = [other for other, key in enumerate(keys) if not store.check([key])]
        raise PeerLost(f"ranks {silent} did not say within {seconds:g} s what they run") from error
    problems = differences([json.loads(store.get(key)) for key in keys])
    read = store.add("facts/read", 1)
    if not problems:
        return
    # The store lives in rank 0, which must not be the first to leave.
    deadline = time.monotonic() + _LINGER_SECONDS
    while rank == 0 and read < world_size and time.monotonic() < deadline:
        time.sleep(_POLL_SECONDS)
        read = store.add("facts/read", 0)
    raise ConfigError(problems)


def differences(facts: list[Facts]) -> list[Problem]:
    """In what which ranks differ from what most have, from rank 0 where there is no majority."""
    problems = []
    for name in dict.fromkeys(name for each in facts for name in each):
        values = [each.get(name, "nothing") for each in facts]
        usual = max(Counter(values).items(), key=lambda item: (item[1], item[0] == values[0]))[0]
        odd: dict[str, list[int]] = {}
        for rank, value in enumerate(values):
            if value != usual:
                odd.setdefault(value, []).append(rank)
        problems += [
            Problem(
                f"ranks {ranks}" if len(ranks) > 1 else f"rank {ranks[0]}",
                f"{name} is {value}, on the other ranks {usual}: give all pods the same image and configuration",
            )
            for value, ranks in odd.items()
        ]
    return problems
