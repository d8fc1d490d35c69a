"""Servers as child processes: their output in a file, ready when they say so, gone when we are."""

from __future__ import annotations

import ctypes
import random
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None)
_POLL_SECONDS = 0.05
# Below what kernels give to outgoing connections: a port that is free now is free in a second.
_PORTS = range(20000, 32000)
_DICE = random.SystemRandom()  # tests seed the common one, each process alike


class ServerFailed(Exception):
    """A server ended, or was not ready in time; the message holds the end of its log."""


class Server:
    """One program. `start` and `stop` it, or use it in a `with` statement, which does both."""

    def __init__(
        self, name: str, command: Sequence[str | Path], log: Path, environ: Mapping[str, str] | None = None
    ) -> None:
        self.name = name
        self.command = [str(word) for word in command]
        self.log = log
        self.environ = environ
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Server:
        self.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.stop()

    @property
    def running(self) -> bool:
        """Whether it was started and has not ended."""
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        """The process id of the newest start."""
        assert self._process is not None, f"{self.name} was not started"
        return self._process.pid

    def start(self) -> None:
        """Start it. The kernel ends it with the thread that calls this, however that one dies."""
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self.command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=self.environ,
                start_new_session=True, preexec_fn=_end_with_parent,
            )  # fmt: skip

    def wait_until(self, ready: Callable[[], bool], seconds: float = 180.0) -> None:
        """Wait for `ready()`. Raises ServerFailed if it ends before, or is not ready in time."""
        limit = time.monotonic() + seconds
        while not ready():
            if not self.running:
                raise ServerFailed(f"{self.name} ended with {self.exit_code}:\n{self.tail()}")
            if time.monotonic() > limit:
                raise ServerFailed(f"{self.name} was not ready after {seconds:g} s:\n{self.tail()}")
            time.sleep(_POLL_SECONDS)

    @property
    def exit_code(self) -> int | None:
        """None while it runs, and before it was started."""
        return self._process.poll() if self._process else None

    def send(self, number: signal.Signals) -> None:
        """Send a signal, for example SIGKILL, SIGSTOP or SIGCONT."""
        assert self._process is not None, f"{self.name} was not started"
        self._process.send_signal(number)

    def kill(self) -> None:
        """End it at once, as a crash would."""
        self.send(signal.SIGKILL)
        self.join()

    def stop(self, seconds: float = 10.0) -> None:
        """Ask it to end, and end it when it does not."""
        if self._process is None:
            return
        if self._process.poll() is None:
            self._process.terminate()
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill()

    def join(self, seconds: float | None = None) -> int:
        """Wait for its end; returns the exit code."""
        assert self._process is not None, f"{self.name} was not started"
        return self._process.wait(seconds)

    def tail(self, lines: int = 20) -> str:
        """The end of its log."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])


def free_port(taken: Collection[int] = ()) -> int:
    """A TCP port other than those taken, that nobody listens on."""
    while True:
        port = _DICE.choice(_PORTS)
        if port not in taken:
            with suppress(OSError), socket.socket() as probe:
                probe.bind(("", port))
                return port


def free_ports(number: int) -> list[int]:
    """Different ones."""
    ports: list[int] = []
    while len(ports) < number:
        ports.append(free_port(ports))
    return ports


def _end_with_parent() -> None:
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
