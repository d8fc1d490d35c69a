"""Containers as processes, each with all that descends from it."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from testbed.process_node import shim
from testbed.process_node.errors import StartError

KILLED = 128 + signal.SIGKILL


class Process:
    """The first process of a container, behind its shim. `end` is done with its exit code when all are gone."""

    def __init__(self, shim_process: asyncio.subprocess.Process, pid: int, runner: Runner) -> None:
        self.pid = pid
        self.started = datetime.now(UTC)
        self.finished = self.started
        self._shim = shim_process
        self._runner = runner
        self.end = asyncio.create_task(self._wait())

    def terminate(self) -> None:
        """SIGTERM to the first process, as a kubelet does."""
        self._signal(signal.SIGTERM)

    async def kill(self) -> int:
        """SIGKILL to all; returns the exit code of the first one when they are gone, 128 + n for a signal."""
        self._signal(shim.KILL)
        return await asyncio.shield(self.end)

    def _signal(self, number: signal.Signals) -> None:
        with suppress(ProcessLookupError):
            self._shim.send_signal(number)

    async def _wait(self) -> int:
        code = await self._shim.wait()
        self.finished = datetime.now(UTC)
        await self._runner.forget(self._shim.pid, killed=code < 0)
        return code if code >= 0 else KILLED


class Runner:
    """Starts processes. One in a process, which it makes the reaper of what shims leave behind when they are killed."""

    def __init__(self) -> None:
        shim.become_subreaper()
        self._shims: set[int] = set()
        self._starting = asyncio.Lock()

    async def start(self, command: Sequence[str], folder: str, environ: Mapping[str, str], log: Path) -> Process:
        """Start a command in a folder; what it says is appended to `log`. Raises StartError."""
        line = [sys.executable, "-I", "-S", shim.__file__, str(os.getpid()), folder, *command]
        with log.open("ab") as output:
            async with self._starting:
                started = await asyncio.create_subprocess_exec(
                    *line,
                    stdin=asyncio.subprocess.DEVNULL,
                    stdout=asyncio.subprocess.PIPE,
                    stderr=output,
                    env=dict(environ),
                )
                self._shims.add(started.pid)
        assert started.stdout is not None
        word, _, rest = (await started.stdout.readline()).decode().strip().partition(" ")
        if word == "started":
            return Process(started, int(rest), self)
        await self.forget(started.pid, killed=await started.wait() < 0)
        raise StartError(rest or "the shim was killed")

    async def forget(self, shim_pid: int, *, killed: bool) -> None:
        """A shim has ended. One that was killed leaves its container to us: our children that are no shims."""
        async with self._starting:  # a child that is being started is in no list yet
            self._shims.discard(shim_pid)
            while killed and (strays := shim.children(os.getpid()) - self._shims):
                for stray in strays:
                    for pid in (stray, *shim.descendants(stray)):
                        with suppress(ProcessLookupError):
                            os.kill(pid, signal.SIGKILL)
                    os.waitpid(stray, 0)
