"""The one rank of a job, as a process of its own through the real entry; the test leads it from save to save."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from harness.ranks import TIMEOUT, context
from pet.config import JobEnvironment
from pet.runfiles.failure import Failure, read_failure
from pet.runfiles.rundir import RunDirectory

# Saved this step, in a run that went on from that iteration.
Saved = tuple[int, int]


class Solo:
    """A run of `job` on the checkpoint folder `<folder>/ckpt`, which saves after every step and then waits."""

    def __init__(self, folder: Path, job: JobEnvironment, number: int = 0) -> None:
        self._run_dir = folder / f"run{number}"
        job = replace(job, checkpoint_dir=str(folder / "ckpt"), run_dir=str(self._run_dir))
        environ = {**job.to_environ(), "RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "1", "OMP_NUM_THREADS": "1"}
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_live, args=(environ, sys.path, theirs), daemon=True)
        self._process.start()
        theirs.close()

    def saved(self) -> Saved | None:
        """The next save, once it is committed; None if there comes none because the process ended."""
        assert self._pipe.poll(TIMEOUT), f"nothing for {TIMEOUT} s"
        try:
            saved: Saved = self._pipe.recv()
        except EOFError:
            return None
        return saved

    def go_on(self) -> None:
        """Let it go on after a save."""
        self._pipe.send(None)

    def end(self) -> int | None:
        """Its exit code."""
        self._process.join(TIMEOUT)
        return self._process.exitcode

    @property
    def failure(self) -> Failure:
        """What it left for its launcher."""
        failure = read_failure(RunDirectory(self._run_dir).failure(0))
        assert failure is not None
        return failure

    def kill(self) -> None:
        """End it, if it has not ended."""
        self._process.kill()
        self._process.join()


class Starter:
    """Starts one run after the other in the same folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.started: list[Solo] = []

    def __call__(self, job: JobEnvironment) -> Solo:
        """A new start of this job."""
        self.started.append(Solo(self._folder, job, len(self.started)))
        return self.started[-1]


@contextmanager
def starter(folder: Path) -> Iterator[Starter]:
    """A starter that leaves no process behind."""
    start = Starter(folder)
    try:
        yield start
    finally:
        for solo in start.started:
            solo.kill()


def _live(environ: dict[str, str], path: list[str], pipe: Connection) -> None:
    os.environ.update(environ)
    sys.path[:] = path
    from harness.runs import begin
    from pet.engine.entry import run

    def main(args: Any, session: Any) -> None:
        training = begin("", session.environment)
        while True:
            step = training.scheduler.iteration
            training.reach(step)
            training.save()
            pipe.send((step, training.checkpointer.iteration))
            pipe.recv()

    run(main, "tools/tasks/toy/train_net.py", ["--cfg", "none.yaml"])
