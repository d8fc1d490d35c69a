"""The processes of a local run: one launcher per node."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from typing import Any, BinaryIO

from pet.config import JobEnvironment

Print = Callable[[int, str], None]  # (node index, line)

_PR_SET_PDEATHSIG = 1
# Loaded here: between fork and exec a child of a program with threads may call little.
_LIBC: Any = ctypes.CDLL(None) if sys.platform == "linux" else None


class Launchers:
    """All launchers of one attempt. Their output goes line by line to `show` and to one log file per node."""

    def __init__(
        self,
        command: Sequence[str],
        environments: Sequence[JobEnvironment],
        devices: int,
        logs: Sequence[BinaryIO],
        show: Print,
    ) -> None:
        """`devices`: GPUs of one node; nodes that share this machine take those that this program may use in turn.

        `logs` are closed in the end. Start with `start`.
        """
        self.command = list(command)
        self.environments = environments
        self.devices = devices
        self.logs = logs
        self.show = show
        self.processes: list[subprocess.Popen[str]] = []
        self._readers: list[threading.Thread] = []

    def start(self) -> None:
        """Start them all, each in a session of its own: a terminal's Ctrl-C reaches this process alone."""
        for index, environment in enumerate(self.environments):
            process = subprocess.Popen(
                self.command, env=self._environ(index, environment), text=True, errors="replace", bufsize=1,
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                start_new_session=True, preexec_fn=_end_with_parent,
            )  # fmt: skip
            self.processes.append(process)
            reader = threading.Thread(target=self._read, args=(index, process), daemon=True)
            reader.start()
            self._readers.append(reader)

    def stop(self) -> None:
        """Ask those that run to save and stop."""
        for process in self.processes:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """End those that run at once."""
        for process in self.processes:
            if process.poll() is None:
                process.kill()

    def codes(self) -> list[int | None]:
        """Exit codes by node, None while running."""
        return [process.poll() for process in self.processes]

    def join(self) -> list[int]:
        """Wait for the end of all, and of their output; returns their exit codes by node."""
        codes = [process.wait() for process in self.processes]
        for reader in self._readers:
            reader.join()
        return codes

    def _environ(self, index: int, environment: JobEnvironment) -> dict[str, str]:
        environ = {**os.environ, **environment.to_environ()}
        if len(self.environments) > 1 and self.devices:
            mine = slice(index * self.devices, (index + 1) * self.devices)
            allowed = os.environ.get("CUDA_VISIBLE_DEVICES")
            names = allowed.split(",") if allowed is not None else list(map(str, range(mine.stop)))
            environ["CUDA_VISIBLE_DEVICES"] = ",".join(names[mine])
        return environ

    def _read(self, index: int, process: subprocess.Popen[str]) -> None:
        """To the end of the output, whatever becomes of it here: a pipe that nobody reads would stop the training."""
        assert process.stdout is not None
        kept = True
        with self.logs[index] as log:
            for line in process.stdout:
                try:
                    if kept:
                        log.write(line.encode())
                except OSError as error:
                    kept = False
                    self.show(index, f"pet: this output is not written to {log.name} any more: {error}")
                self.show(index, line.rstrip("\n"))


def _end_with_parent() -> None:
    """In the child: be told to stop when this program dies (Linux; elsewhere a launcher then goes on by itself)."""
    if _LIBC is not None:
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
