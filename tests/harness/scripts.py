"""Runs small training scripts as a rank: a process of their own, through the engine's entry, to their exit code."""

from __future__ import annotations

import errno
import os
import sys
import time
from argparse import Namespace
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing import active_children, set_start_method
from pathlib import Path
from typing import Any
from unittest.mock import patch

from torch._utils import ExceptionWrapper

from harness.hooks import Bad
from harness.ranks import context
from harness.toy import short_toy
from pet.config import ConfigError
from pet.data.errors import SampleError
from pet.engine.entry import run
from pet.engine.errors import CheckpointUnusable, Fenced, NonFiniteLoss, PeerLost, StopRequested
from pet.engine.session import Session
from pet.engine.workers import end_workers
from pet.runfiles.failure import Failure, read_failure
from pet.runfiles.heartbeat import Heartbeat, read_heartbeat

TIMEOUT = 120  # seconds; a bound against hanging, not an expectation


def _from_a_worker() -> BaseException:
    """As torch brings it from a loader's worker."""
    try:
        raise SampleError("sample 3 of birds, a.png: truncated")
    except SampleError:
        wrapper = ExceptionWrapper(where="in DataLoader worker process 0")
    try:
        wrapper.reraise()
    except SampleError as error:
        return error
    raise AssertionError("it is always raised")


ERRORS: dict[str, Callable[[], BaseException]] = {
    "config": lambda: ConfigError.of("TRAIN.BATCH_SIZE", "is odd"),
    "value": lambda: ValueError("oh"),
    "loss": lambda: NonFiniteLoss(7, "cls_loss", float("nan")),
    "peer": lambda: PeerLost("Connection closed by peer"),
    "unusable": lambda: CheckpointUnusable("none verifies"),
    "fenced": lambda: Fenced("a newer attempt owns the folder"),
    "stop": lambda: StopRequested("stop requested, saved at iteration 4"),
    "sample": lambda: SampleError("sample 3 of birds, a.png: truncated"),
    "worker-sample": _from_a_worker,
    "full": lambda: OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)),
    "interrupt": KeyboardInterrupt,
    "exit": lambda: SystemExit(3),
    "no-restart": lambda: SystemExit(93),
}


class WorkerKiller:
    """Kills the loader's worker before a step."""

    def __init__(self, step: int) -> None:
        self.step = step

    def before_step(self, storage: Any) -> None:
        if storage.iter == self.step:
            (worker,) = active_children()
            worker.kill()


def main(args: Namespace, session: Session) -> None:
    """Fail as the first option says, or train with a worker and fail or lose it in the third step, or end a worker at
    work."""
    what, *_ = [*args.opts, "nothing"]
    if what == "no-room-for-new-files":
        full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        patch("pet.runfiles.failure.replace_text", side_effect=full).start()
        raise ERRORS["value"]()
    if what in ERRORS:
        raise ERRORS[what]()
    if what == "end-workers":
        batches = iter(short_toy(session.run_dir.path, 30, "DATA.LOADER_THREADS", 1, session=session).build().loader)
        next(batches)
        workers = active_children()
        end_workers()
        for worker in workers:
            assert worker.pid is not None
            os.waitid(os.P_PID, worker.pid, os.WEXITED | os.WNOWAIT)  # leaves it to torch to find out how it died
        time.sleep(0.01)  # a line to raise in
    if what == "lose-worker":
        hooks = [WorkerKiller(3)]
        short_toy(session.run_dir.path, 30, "DATA.LOADER_THREADS", 1, hooks=hooks, session=session).run()
    if what.startswith("training-"):
        hooks = [Bad(3, ERRORS[what.removeprefix("training-")]())]
        short_toy(session.run_dir.path, 30, "DATA.LOADER_THREADS", 1, hooks=hooks, session=session).run()


@dataclass(frozen=True)
class Ended:
    """How a script ended, and what it left."""

    code: int
    output: str
    failure: Failure | None
    heartbeat: Heartbeat | None


def run_script(folder: Path, *argv: str) -> Ended:
    """Run `main` with a command line."""
    process = context.Process(target=_rank, args=(folder, argv, sys.path))
    process.start()
    process.join(TIMEOUT)
    assert process.exitcode is not None, "the script never ended"
    directory = folder / "run"
    return Ended(process.exitcode, (folder / "output").read_text(), read_failure(directory / "failure-0.json"),
                 read_heartbeat(directory / "heartbeat-0"))  # fmt: skip


def _rank(folder: Path, argv: Sequence[str], path: list[str]) -> None:
    sys.path[:] = path
    set_start_method("fork", force=True)  # for loader workers, as in a rank; this process inherited another one
    os.environ.update(RANK="0", LOCAL_RANK="0", WORLD_SIZE="1", PETJOB_RUN_DIR=str(folder / "run"), PETJOB_ATTEMPT="4")
    output = os.open(folder / "output", os.O_WRONLY | os.O_CREAT)
    os.dup2(output, 1)
    os.dup2(output, 2)
    run(main, "tools/tasks/toy/train_net.py", argv)
