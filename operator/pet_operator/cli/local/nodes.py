"""What each launcher of a local run is given: the command line and the environment that its pod would have."""

from __future__ import annotations

import secrets
import socket
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pet
from pet.config import ConfigError, JobEnvironment
from pet.config.job import JobSpec, PetTrainingJob
from pet.config.scripts import locate_script
from pet.runfiles.rundir import run_files_root
from pet_operator.cli.local.folder import RunFolder
from pet_operator.cli.local.record import RunRecord

_HOST = "127.0.0.1"
_LAST_PORT = 65535


def command_of(job: PetTrainingJob, folder: RunFolder) -> list[str]:
    """The launcher's command line, as in a pod. Raises ConfigError if there is nothing to launch."""
    spec, root = job.spec, find_root()
    if spec.config is not None:
        cfg = folder.write_config(spec.cfg, spec.config)
    else:
        cfg = next((path for path in (Path(spec.cfg), root.parent / spec.cfg) if path.exists()), Path(spec.cfg))
    words = [sys.executable, "-u", str(root / "tools" / "train_net_all.py"), f"--cfg={cfg}"]
    # By its name: an embedded configuration lies in a folder whose own place may belong to another script.
    return [*words, "--script", locate_script(spec.cfg, spec.type).path, *spec.script_args, *spec.override_args]


def environments_of(job: PetTrainingJob, folder: RunFolder, record: RunRecord, data: Path) -> list[JobEnvironment]:
    """One environment per node. Raises ConfigError."""
    spec, token = job.spec, secrets.token_hex(4)
    common = JobEnvironment(
        name=job.name,
        uid=record.uid,
        attempt=record.attempt,
        node_name=socket.gethostname(),
        metrics_per_rank=spec.metrics.per_rank,
        bind_address=_HOST,
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
        master_addr=_HOST,
        master_port=_unused_port(),
    )
    return [
        replace(
            common,
            node_index=index,
            node_rank=index,
            metrics_port=port,
            pod_name=f"{job.name}-{record.attempt}-{index}",
            # Made by the launcher, and removed by it even if this program is killed. A folder that was copied has the
            # same uid as its original, and both may run.
            run_dir=str(run_files_root() / f"pet-run-{record.uid}-{record.attempt}-{index}-{token}"),
            termination_log=str(folder.termination_log(index).absolute()),
        )
        for index, port in enumerate(_metrics_ports(spec))
    ]


def find_root() -> Path:
    """The folder that holds `tools/`: the working directory in an image, `trainer/` in a checkout."""
    candidates = [Path.cwd(), Path.cwd() / "trainer", Path(pet.__file__).resolve().parents[1]]
    for candidate in candidates:
        if (candidate / "tools" / "train_net_all.py").exists():
            return candidate
    raise ConfigError.of("--local", "no tools/train_net_all.py here: run it from a checkout of Pet, or in its image")


def _metrics_ports(spec: JobSpec) -> Sequence[int | None]:
    """All nodes share this machine: from the port that the job names one each, else each launcher finds one."""
    first = spec.metrics.port
    if not spec.metrics.port_given:
        return [None] * spec.nodes
    if first + spec.nodes - 1 > _LAST_PORT:
        last = _LAST_PORT - spec.nodes + 1
        raise ConfigError.of(
            "spec.metrics.port", f"{first} leaves no port for each of {spec.nodes} nodes; give at most {last}"
        )
    return range(first, first + spec.nodes)


def _unused_port() -> int:
    """A port for the launchers to meet at, from the kernel: it hands out another one each time it is asked."""
    with socket.socket() as probe:
        probe.bind((_HOST, 0))
        port: int = probe.getsockname()[1]
        return port


def _resume(resume: str, folder: RunFolder) -> str:
    """A path, which in a cluster lies inside the volume, lies inside the output folder here."""
    return resume if resume in ("Auto", "Never") else str((folder.path / resume).absolute())
