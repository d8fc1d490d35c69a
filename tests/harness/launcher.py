"""Starts real launchers over small training scripts that a test writes, in a folder of their own."""

from __future__ import annotations

import http.client
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import textwrap
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from testbed.processes import free_port

ROOT = Path(__file__).resolve().parents[2]
LAUNCHER = "tools/train_net_all.py"
SCRIPT = "tools/tasks/cls/train_net.py"
CFG = "cfgs/tasks/cls/fake.yaml"
TIMEOUT = 120.0  # seconds; a bound against hanging, not an expectation

# What every fake script begins with. `note` appends one line to the journal that the test reads.
_PRELUDE = """
import json, os, signal, sys, time
from pathlib import Path
from pet.runfiles.checkpoint_info import CheckpointInfo
from pet.runfiles.exits import ExitCode
from pet.runfiles.failure import Failure, write_failure
from pet.runfiles.heartbeat import HeartbeatWriter, Section
from pet.runfiles.metrics import JobMetrics, write_metrics_file
from pet.runfiles.rundir import RunDirectory

FOLDER = Path(os.environ["FAKE_FOLDER"])
RANK, LOCAL_RANK, WORLD_SIZE = (int(os.environ[name]) for name in ("RANK", "LOCAL_RANK", "WORLD_SIZE"))
RUN_DIR = RunDirectory(os.environ["PETJOB_RUN_DIR"])
START = int(RUN_DIR.path.name.removeprefix("start"))

def note(event, **values):
    line = json.dumps({"event": event, "rank": RANK, "start": START, "pid": os.getpid(), **values}) + "\\n"
    descriptor = os.open(FOLDER / "journal", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(descriptor, line.encode())
    os.close(descriptor)

def wait_for(name):
    while not (FOLDER / name).exists():
        time.sleep(0.02)

stops = []
def on_stop(number, frame):
    stops.append(number)
    note("signal", number=int(number))

signal.signal(signal.SIGTERM, on_stop)
signal.signal(signal.SIGINT, on_stop)
note("start")
"""


@dataclass
class Bench:
    """One folder with the launcher, one training script and one configuration."""

    folder: Path
    launched: list[Launched] = field(default_factory=list)

    def write(self, script: str, *, before: str = "") -> None:
        """Make `script` the training script; it finds the names of the prelude, which runs after `before`."""
        target = self.folder / SCRIPT
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(textwrap.dedent(before) + _PRELUDE + textwrap.dedent(script))
        shutil.copy(ROOT / "trainer/tools/train_net_all.py", self.folder / "tools")
        cfg = self.folder / CFG
        cfg.parent.mkdir(parents=True, exist_ok=True)
        cfg.write_text("MISC: {DEVICE: cpu}\nTRAIN: {DATASETS: [fashion_mnist_train]}\n")

    def launch(self, *arguments: str, program: str = LAUNCHER, **environ: str) -> Launched:
        """Start a launcher with `--cfg` of this folder and further arguments and environment variables."""
        number = len(self.launched)
        variables = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("PETJOB_", "PET_"))},
            "PYTHONPATH": str(ROOT / "trainer"),
            "FAKE_FOLDER": str(self.folder),
            "PETJOB_METRICS_PORT": "0",
            "PETJOB_TERMINATION_LOG": str(self.folder / f"termination{number}"),
            **environ,
        }
        with open(self.folder / f"out{number}", "wb") as out, open(self.folder / f"err{number}", "wb") as err:
            process = subprocess.Popen(
                [sys.executable, program, "--cfg", CFG, *arguments],
                cwd=self.folder,
                env=variables,
                stdout=out,
                stderr=err,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )
        launched = Launched(self, process, number)
        self.launched.append(launched)
        return launched

    def launch_nodes(self, count: int, *arguments: str, programs: Sequence[str] = (), **environ: str) -> list[Launched]:
        """Start the launchers of a job of several nodes, of `programs` if they are not all the usual one."""
        common = {
            "PETJOB_UID": "uid-of-the-job", "PETJOB_ATTEMPT": "1", "PETJOB_CHECKPOINT_DIR": "",
            "PET_NNODES": str(count), "PET_MASTER_ADDR": "localhost", "PET_MASTER_PORT": str(free_port()), **environ,
        }  # fmt: skip
        return [
            self.launch(*arguments, program=program, **common, PETJOB_NODE_INDEX=str(node), PET_NODE_RANK=str(node))
            for node, program in enumerate(programs or [LAUNCHER] * count)
        ]

    def touch(self, name: str) -> None:
        """Let a script that waits for `name` go on."""
        (self.folder / name).touch()

    def journal(self, event: str | None = None) -> list[dict[str, Any]]:
        """What the scripts have noted so far, in order; only `event` if given."""
        path = self.folder / "journal"
        lines = path.read_text().splitlines() if path.exists() else []
        entries: list[dict[str, Any]] = [json.loads(line) for line in lines]
        return [entry for entry in entries if event in (None, entry["event"])]

    def close(self) -> None:
        """End whatever is left of this test's processes."""
        for launched in self.launched:
            launched.process.kill()
            launched.process.wait()
        for entry in self.journal("start"):
            if alive(entry["pid"]):
                os.kill(entry["pid"], signal.SIGKILL)


@dataclass
class Launched:
    """One launcher."""

    bench: Bench
    process: subprocess.Popen[bytes]
    number: int

    @property
    def out(self) -> str:
        """Its stdout so far."""
        return (self.bench.folder / f"out{self.number}").read_text()

    @property
    def err(self) -> str:
        """Its stderr so far."""
        return (self.bench.folder / f"err{self.number}").read_text()

    @property
    def termination(self) -> dict[str, Any]:
        """The termination message."""
        message: dict[str, Any] = json.loads((self.bench.folder / f"termination{self.number}").read_text())
        return message

    def wait(self) -> int:
        """Wait for its end; the exit code."""
        return self.process.wait(TIMEOUT)

    def get(self, path: str) -> str:
        """A page of its port. Raises OSError while there is none."""
        return get_page(self.err, path)

    def status(self) -> dict[str, Any]:
        """The document at /status."""
        document: dict[str, Any] = json.loads(self.get("/status"))
        return document


@contextmanager
def bench(folder: Path, script: str) -> Iterator[Bench]:
    """A bench over `script` that leaves no process behind."""
    made = Bench(folder)
    made.write(script)
    try:
        yield made
    finally:
        made.close()


def eventually(condition: Callable[[], Any], what: str, seconds: float = TIMEOUT) -> Any:
    """Wait until `condition` gives something true, and return it; an OSError in it counts as not yet."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            value = condition()
        except OSError:
            value = None
        if value:
            return value
        time.sleep(0.05)
    raise AssertionError(f"never happened: {what}")


def get_page(printed: str, page: str) -> str:
    """A page at the first address that a program has printed as its live one. Raises OSError while there is none."""
    match = re.search(r"live: +(http://\S+)/status", printed)
    if match is None:
        raise ConnectionRefusedError("no address was printed yet")
    try:
        with urllib.request.urlopen(f"{match[1]}{page}", timeout=10) as answer:
            text: str = answer.read().decode()
            return text
    except http.client.HTTPException as error:  # the program ended within its answer
        raise ConnectionResetError(str(error)) from error


def alive(pid: int) -> bool:
    """Whether the process exists and is no zombie."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):  # the second if it ends while it is read
        return False
    return state != "Z"


def free_pair() -> int:
    """A port that nobody listens on, and nor does anybody on the next one."""
    while True:
        first = free_port()
        with suppress(OSError), socket.create_server(("127.0.0.1", first + 1)):
            return first
