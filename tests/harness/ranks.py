"""Runs a function of a test as several ranks: real processes, a real gloo group."""

from __future__ import annotations

import importlib.util
import multiprocessing
import os
import sys
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

from testbed.processes import free_port

TIMEOUT = 300  # seconds; a bound against hanging, not an expectation

# One server imports torch once and forks a fresh rank from there in milliseconds.
context = multiprocessing.get_context("forkserver")
context.set_forkserver_preload(["torch._dynamo"])  # an optimizer imports it


def run_ranks(
    function: Callable[..., Any], world_size: int, *args: Any, environ: dict[str, str] | None = None
) -> list[Any]:
    """Call `function(*args)`, a top-level function, in `world_size` ranks of one group; their results by rank.

    `environ` is added to each rank's environment. Raises AssertionError with the tracebacks of the ranks that failed.
    """
    port = free_port()
    ranks, ends = [], []
    for rank in range(world_size):
        mine, theirs = context.Pipe(duplex=False)
        variables = {
            "RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(world_size),
            "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "OMP_NUM_THREADS": "1", **(environ or {}),
        }  # fmt: skip
        where = (function.__code__.co_filename, function.__name__)
        process = context.Process(target=_rank, args=(where, args, variables, sys.path, theirs))
        process.start()
        theirs.close()
        ranks.append(process)
        ends.append(mine)
    try:
        outcomes = [_receive(end, rank) for rank, end in enumerate(ends)]
    finally:
        for process in ranks:
            process.join(5)
            process.kill()
    failures = [text for text, _ in outcomes if text]
    assert not failures, "\n".join(failures)
    return [value for _, value in outcomes]


def _receive(end: Connection, rank: int) -> tuple[str, Any]:
    if not end.poll(TIMEOUT):
        return f"rank {rank} said nothing for {TIMEOUT} s", None
    try:
        outcome: tuple[str, Any] = end.recv()
    except EOFError:
        return f"rank {rank} died", None
    return outcome


def _rank(where: tuple[str, str], args: Any, variables: dict[str, str], path: list[str], end: Connection) -> None:
    os.environ.update(variables)
    sys.path[:] = path
    # Its own children, a loader's workers, begin as those of a rank under a launcher: the server's way is inherited.
    multiprocessing.set_start_method(None, force=True)
    import torch

    from pet.engine.distributed import destroy_process_group, init_process_group

    torch.set_num_threads(1)
    try:
        init_process_group(torch.device("cpu"), timeout_seconds=60)
        end.send(("", getattr(_load(where[0]), where[1])(*args)))
        destroy_process_group()
    except BaseException:
        end.send((f"rank {variables['RANK']}:\n{traceback.format_exc()}", None))


def _load(path: str) -> Any:
    """The test's own file as a module: how pytest names it does not matter here."""
    spec = importlib.util.spec_from_file_location("rank_program", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["rank_program"] = module
    spec.loader.exec_module(module)
    return module
