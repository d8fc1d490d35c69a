"""The processes of a local run: one launcher per node, with the arguments and the environment that a pod would get."""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pet
from pet.config import ConfigError, JobEnvironment
from pet.config.job import PetTrainingJob
from pet_operator.cli.local.folder import RunFolder, RunRecord

Print = Callable[[int, str], None]  # (node index, line)

_PR_SET_PDEATHSIG = 1
# Loaded here: between fork and exec a child of a program with threads may call little.
_LIBC: Any = ctypes.CDLL(None) if sys.platform == "linux" else None


class Launchers:
    """All launchers of one attempt. Their output goes line by line to `show` and to one log file per node."""

    def __init__(
        self, command: Sequence[str], environments: Sequence[JobEnvironment], devices: int, logs: Path, show: Print
    ) -> None:
        """`devices`: GPUs of one node; nodes that share this machine take them in turn. Start with `start`."""
        self.command = list(command)
        self.environments = environments
        self.devices = devices
        self.logs = logs
        self.show = show
        self.processes: list[subprocess.Popen[str]] = []
        self._readers: list[threading.Thread] = []

    def start(self) -> None:
        """Start them all, each in a session of its own: a terminal's Ctrl-C reaches this process alone."""
        self.logs.mkdir(parents=True, exist_ok=True)
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
            first = index * self.devices
            environ["CUDA_VISIBLE_DEVICES"] = ",".join(str(first + offset) for offset in range(self.devices))
        return environ

    def _read(self, index: int, process: subprocess.Popen[str]) -> None:
        """To the end of the output, whatever becomes of it here: a pipe that nobody reads would stop the training."""
        assert process.stdout is not None
        kept = True
        with (self.logs / f"node-{index}.log").open("ab", buffering=0) as log:
            for line in process.stdout:
                try:
                    if kept:
                        log.write(line.encode())
                except OSError as error:
                    kept = False
                    self.show(index, f"pet: this output is not written to {log.name} any more: {error}")
                self.show(index, line.rstrip("\n"))


def command_of(job: PetTrainingJob, folder: RunFolder) -> list[str]:
    """The launcher's command line, as in a pod. Raises ConfigError if there is nothing to launch."""
    spec, root = job.spec, find_root()
    if spec.config is not None:
        cfg = folder.write_config(spec.cfg, spec.config)
    else:
        cfg = next((path for path in (Path(spec.cfg), root.parent / spec.cfg) if path.exists()), Path(spec.cfg))
    words = [sys.executable, "-u", str(root / "tools" / "train_net_all.py"), "--cfg", str(cfg)]
    if spec.type:
        words += ["--type", spec.type]
    return [*words, *spec.script_args, *spec.override_args]


def environments_of(job: PetTrainingJob, folder: RunFolder, record: RunRecord, data: Path) -> list[JobEnvironment]:
    """One environment per node."""
    spec, port = job.spec, free_port(29500)
    common = JobEnvironment(
        name=job.name,
        uid=record.uid,
        attempt=record.attempt,
        metrics_per_rank=spec.metrics.per_rank,
        bind_address="127.0.0.1",
        startup_seconds=float(spec.deadlines.startup_seconds),
        stall_seconds=None if spec.deadlines.stall_seconds is None else float(spec.deadlines.stall_seconds),
        grace_seconds=float(spec.checkpoint.grace_period_seconds),
        restarts_left=spec.restart.max_restarts,
        restart_window_seconds=float(spec.restart.window_seconds),
        checkpoint_dir=str(folder.checkpoints.absolute()),
        checkpoint_keep=spec.checkpoint.keep,
        resume=_resume(spec.checkpoint.resume, folder),
        data_dir=str(data.absolute()),
        nnodes=spec.nodes,
        nproc_per_node=spec.ranks_per_node,
        master_addr="127.0.0.1",
        master_port=port,
    )
    ports: list[int] = []
    for index in range(spec.nodes):
        ports.append(free_port(max([spec.metrics.port + index, *(used + 1 for used in ports)])))
    host = socket.gethostname()
    return [
        replace(common, node_index=index, node_rank=index, metrics_port=ports[index], node_name=host,
                pod_name=f"{job.name}-{record.attempt}-{index}",
                termination_log=str((folder.logs / f"termination-{index}.json").absolute()))
        for index in range(spec.nodes)
    ]  # fmt: skip


def find_root() -> Path:
    """The folder that holds `tools/`: the working directory in an image, `trainer/` in a checkout."""
    candidates = [Path.cwd(), Path.cwd() / "trainer", Path(pet.__file__).resolve().parents[1]]
    for candidate in candidates:
        if (candidate / "tools" / "train_net_all.py").exists():
            return candidate
    raise ConfigError.of("--local", "no tools/train_net_all.py here: run it from a checkout of Pet, or in its image")


def free_port(first: int) -> int:
    """The first free TCP port from `first` on. Raises ConfigError if there is none."""
    for port in range(first, min(first + 1000, 65536)):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise ConfigError.of("spec.metrics.port", f"no free port from {first} on: give another")


def _resume(resume: str, folder: RunFolder) -> str:
    """A path, which in a cluster lies inside the volume, lies inside the output folder here."""
    return resume if resume in ("Auto", "Never") else str((folder.path / resume).absolute())


def _end_with_parent() -> None:
    """In the child: be told to stop when this program dies (Linux; elsewhere a launcher then goes on by itself)."""
    if _LIBC is not None:
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
