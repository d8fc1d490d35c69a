"""Writers that store without a pause in a process of their own, for readers to be tried against.

Here and not in a test file: a spawned process finds only modules that can be imported by name.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from pet.runfiles.heartbeat import HeartbeatWriter
from pet.runfiles.metrics import JobMetrics, write_metrics_file

TIMEOUT = 60.0  # seconds; a bound against hanging, not an expectation


@contextmanager
def writing(write: Callable[[Path, Any], None], path: Path) -> Iterator[BaseProcess]:
    """`write(path, stop)` in another process during the block, after which it must have ended well."""
    context = multiprocessing.get_context("spawn")
    stop = context.Event()
    process = context.Process(target=write, args=(path, stop), daemon=True)
    process.start()
    try:
        yield process
    finally:
        stop.set()
        process.join(TIMEOUT)
        process.kill()
    assert process.exitcode == 0


def beat(path: Path, stop: Any) -> None:
    """Heartbeats that each hold one number in three places."""
    heart = HeartbeatWriter(path, attempt=2, restart=1, rank=5, local_rank=1)
    number = 0
    while not stop.is_set():
        number += 1
        heart.step(number, 1.0, 0.5)


def publish(path: Path, stop: Any) -> None:
    """Metric files whose losses follow from their iteration."""
    number = 0
    while not stop.is_set():
        number += 1
        losses = {f"loss{index}": float(number) for index in range(number % 50)}
        write_metrics_file(path, JobMetrics(attempt=1, restart=0, world_size=1, iteration=number, losses=losses))
