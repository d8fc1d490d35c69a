"""A real training over one or two launchers on this machine, each watched through its port as the operator does."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from testbed.processes import free_port

from harness.launcher import alive, eventually, get_page
from harness.network import Network
from harness.training import ROOT, TIMEOUT, Training


@dataclass
class Node:
    """One launcher. `seen` are the failures that its /status ever told, in order."""

    process: subprocess.Popen[str]
    folder: Path
    index: int
    seen: list[dict[str, Any]] = field(default_factory=list)

    @property
    def output(self) -> str:
        """What it and its ranks have printed so far."""
        return (self.folder / f"out{self.index}").read_text()

    @property
    def termination(self) -> dict[str, Any]:
        """Its last word."""
        message: dict[str, Any] = json.loads((self.folder / f"termination{self.index}").read_text())
        return message

    def status(self) -> dict[str, Any]:
        """The document at /status. Raises OSError while there is none."""
        document: dict[str, Any] = json.loads(get_page(self.output, "/status"))
        self.seen += [failure for failure in document["failures"] if failure not in self.seen]
        return document

    def ranks(self) -> dict[int, int]:
        """The processes of its ranks, by rank."""
        pids = [int(pid) for file in Path(f"/proc/{self.process.pid}/task").glob("*/children")
                for pid in _read(file).split()]  # fmt: skip
        environs = {pid: _read(Path(f"/proc/{pid}/environ")).split("\0") for pid in pids}
        return {int(word.removeprefix("RANK=")): pid for pid, environ in environs.items()
                for word in environ if word.startswith("RANK=")}  # fmt: skip


class Gang:
    """The launchers of one attempt of a training, and what they told. `killed` are processes that a test has killed.

    With a network each is on a machine of its own.
    """

    def __init__(self, training: Training, nodes: int, attempt: int = 1, network: Network | None = None) -> None:
        self.folder = training.folder
        self.network = network
        self.folder.mkdir(parents=True, exist_ok=True)
        common = {
            "PETJOB_UID": "uid-of-the-job", "PETJOB_ATTEMPT": str(attempt), "PETJOB_METRICS_PORT": "0",
            "PET_NNODES": str(nodes), "PET_NPROC_PER_NODE": str(training.ranks // nodes),
            "PET_MASTER_ADDR": "localhost" if network is None else network.address(0),
            "PET_MASTER_PORT": str(free_port()),
        }  # fmt: skip
        self.meeting = common["PET_MASTER_ADDR"], int(common["PET_MASTER_PORT"])
        self.killed: set[int] = set()
        self.nodes = [self._launch(training, index, common) for index in range(nodes)]

    @property
    def over(self) -> bool:
        """Whether all launchers have ended."""
        return all(node.process.poll() is not None for node in self.nodes)

    def wait(self) -> list[int]:
        """Hear them until all have ended; their exit codes. Raises AssertionError if they do not end."""
        eventually(lambda: (self.hear(), self.over)[1], "all launchers end", seconds=TIMEOUT)
        return [node.process.returncode for node in self.nodes]

    def hear(self) -> list[dict[str, Any]]:
        """Ask all launchers that answer; every failure that was told so far."""
        for node in self.nodes:
            try:
                node.status()
            except OSError:
                continue
        return [failure for node in self.nodes for failure in node.seen]

    def ranks(self) -> dict[int, int]:
        """The processes of all ranks."""
        return {rank: pid for node in self.nodes for rank, pid in node.ranks().items()}

    def free_port(self) -> bool:
        """Whether nobody listens at the rendezvous any more."""
        with socket.socket() as probe:
            return probe.connect_ex(self.meeting) != 0

    @property
    def output(self) -> str:
        """Of all launchers."""
        return "\n".join(node.output for node in self.nodes)

    def signal(self, number: int, *indices: int) -> None:
        """To these launchers, or to all of them."""
        for node in self.nodes:
            if node.index in indices or not indices:
                node.process.send_signal(number)

    @property
    def messages(self) -> list[Path]:
        """Where the launchers leave their last words."""
        return [self.folder / f"termination{node.index}" for node in self.nodes]

    def processes(self) -> list[int]:
        """Everything of this training that lives: launchers, ranks and their children."""
        return processes_of(*self.messages)

    def close(self) -> None:
        """End what is left."""
        for pid in self.processes():
            os.kill(pid, signal.SIGKILL)
        for node in self.nodes:
            node.process.wait()

    def _launch(self, training: Training, index: int, common: dict[str, str]) -> Node:
        environ = {
            **training.environment(), **common, "PETJOB_NODE_INDEX": str(index), "PET_NODE_RANK": str(index),
            "PETJOB_TERMINATION_LOG": str(self.folder / f"termination{index}"),
        }  # fmt: skip
        command = training.arguments()
        if self.network is not None:
            environ["PETJOB_BIND_ADDRESS"] = self.network.address(index)
            command = [*self.network.on(index), *command]
        with open(self.folder / f"out{index}", "w", encoding="utf-8") as out:
            process = subprocess.Popen(command, cwd=ROOT, env=environ, text=True, stdout=out,
                                       stdin=subprocess.DEVNULL, stderr=subprocess.STDOUT)  # fmt: skip
        (self.folder / f"launcher{index}.pid").write_text(str(process.pid))
        return Node(process, self.folder, index)


@contextmanager
def gang(training: Training, nodes: int, attempt: int = 1, network: Network | None = None) -> Iterator[Gang]:
    """Launchers of which nothing is left behind."""
    made = Gang(training, nodes, attempt, network)
    try:
        yield made
    finally:
        made.close()


def processes_of(*messages: Path) -> list[int]:
    """What lives of the launchers that have to leave these termination messages, with all that they have started."""
    marks = {f"PETJOB_TERMINATION_LOG={message}" for message in messages}
    environs = {int(path.name): _read(path / "environ").split("\0") for path in Path("/proc").glob("[0-9]*")}
    return [pid for pid, words in environs.items() if alive(pid) and marks.intersection(words)]


def left_behind(*messages: Path) -> list[int]:
    """What outlives these launchers, once it had time to end."""
    deadline = time.monotonic() + 10
    while (left := processes_of(*messages)) and time.monotonic() < deadline:
        time.sleep(0.1)
    return left


def _read(path: Path) -> str:
    """A file of /proc, empty once its process is gone."""
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
