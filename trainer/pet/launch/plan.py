"""What to start, decided and checked before anything is started: script, configuration, ranks, checkpoint folder."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from pet.config import (
    Config,
    ConfigError,
    JobEnvironment,
    Problem,
    Script,
    check_config,
    config_warnings,
    load_config,
    resolve_script,
)
from pet.config.environment import INHERITED
from pet.launch.devices import cpu_ranks, cuda_devices, visible_cuda_devices
from pet.launch.options import Options


@dataclass(frozen=True)
class Plan:
    """One launcher's part of a job.

    `devices` is the CUDA_VISIBLE_DEVICES of the ranks, none on the CPU. `checkpoint_dir` is the effective folder, empty
    to save nothing; with `own_only` only this job's own checkpoints in it are gone on from. By hand the environment
    lacks uid and attempt until `pet.launch.identity` has settled them.
    """

    script: Script
    script_file: str
    cfg_file: str
    arguments: tuple[str, ...]
    environment: JobEnvironment
    ranks_per_node: int
    devices: tuple[str, ...]
    checkpoint_dir: str
    own_only: bool
    current_time: str
    warnings: tuple[str, ...]

    @property
    def world_size(self) -> int:
        """Ranks of the whole job."""
        return self.environment.nnodes * self.ranks_per_node

    @property
    def run_id(self) -> str:
        """Names this attempt among launchers: one of another attempt cannot join."""
        return f"{self.environment.uid}-{self.environment.attempt}"

    def command(self, local_rank: int) -> list[str]:
        """The command line of one rank."""
        return [
            sys.executable,
            "-u",
            self.script_file,
            f"--cfg={self.cfg_file}",
            f"--local_rank={local_rank}",
            *self.arguments,
        ]

    def rank_environ(self, inherited: Mapping[str, str], run_dir: Path) -> dict[str, str]:
        """The environment that all ranks of one start share; the agent adds each rank's own variables."""
        environ = {
            name: value
            for name, value in inherited.items()
            if name not in INHERITED and not name.startswith("TORCHELASTIC_")
        }
        environ |= replace(self.environment, run_dir=str(run_dir), nproc_per_node=self.ranks_per_node).to_environ()
        environ["CURRENT_TIME"] = self.current_time
        if self.ranks_per_node > 1:
            environ.setdefault("OMP_NUM_THREADS", "1")
        if self.devices:
            environ["CUDA_VISIBLE_DEVICES"] = ",".join(self.devices)
        return environ


def make_plan(options: Options, environment: JobEnvironment, tools: Path) -> Plan:
    """Decide everything; raises ConfigError with what the user has to change. Only a CUDA job imports torch here."""
    _check_identity(environment)
    available = available_scripts(tools)
    script = _script(options, available)
    cfg = load_config(script.name, cfg_file=options.cfg_file, overrides=options.overrides)
    if cfg.MISC.DEVICE == "cpu":
        devices: tuple[str, ...] = ()
        ranks = cpu_ranks(options, environment)
    else:
        devices = cuda_devices(options, environment, visible_cuda_devices())
        ranks = len(devices)
    problems = check_config(cfg, environment.nnodes * ranks)
    if problems:
        raise ConfigError(problems)
    return Plan(
        script=script,
        script_file=_shown(available[script.path]),
        cfg_file=options.cfg_file,
        arguments=options.rest,
        environment=environment,
        ranks_per_node=ranks,
        devices=devices,
        checkpoint_dir=_checkpoint_dir(cfg, environment),
        own_only=environment.own_only(auto_resume=cfg.TRAIN.AUTO_RESUME),
        current_time=datetime.now(UTC).strftime("%Y-%m-%d_%H-%M-%S"),
        # A job's were told when it was checked.
        warnings=(*script.warnings, *map(str, config_warnings(cfg))) if environment.by_hand else (),
    )


def available_scripts(tools: Path) -> dict[str, Path]:
    """The training scripts on disk: `tools/tasks/cls/train_net.py` → its file."""
    patterns = ("vision/train_net.py", "projects/*/train_net.py", "tasks/*/train_net.py")
    files = [file for pattern in patterns for file in sorted(tools.glob(pattern))]
    return {f"tools/{file.relative_to(tools).as_posix()}": file for file in files}


def _script(options: Options, available: Mapping[str, Path]) -> Script:
    if options.script is None:
        return resolve_script(options.cfg_file, options.type, available.keys())
    if options.script not in available:
        raise ConfigError.of("--script", f"{options.script!r} is not here; there are: {', '.join(available)}")
    _, type_, *name, _ = options.script.split("/")
    return Script(path=options.script, type=type_, name=name[0] if name else type_, warnings=())


def _check_identity(environment: JobEnvironment) -> None:
    if environment.node_rank >= environment.nnodes:
        # It would wait for a launcher of node 0 that nobody starts.
        raise ConfigError.of(
            "PET_NODE_RANK", f"is {environment.node_rank}, but PET_NNODES is {environment.nnodes}: nodes count from 0"
        )
    if environment.nnodes > 1 and (environment.by_hand or environment.attempt is None):
        # Without a common name for the attempt, launchers of two attempts could meet.
        missing = [
            name
            for name, absent in (("PETJOB_UID", environment.by_hand), ("PETJOB_ATTEMPT", environment.attempt is None))
            if absent
        ]
        raise ConfigError(
            Problem(name, f"is needed with PET_NNODES {environment.nnodes}: set it to the same value on every node")
            for name in missing
        )


def _checkpoint_dir(cfg: Config, environment: JobEnvironment) -> str:
    return str(cfg.MISC.CKPT) if environment.checkpoint_dir is None else environment.checkpoint_dir


def _shown(file: Path) -> str:
    """The path as a person would type it: relative where the file lies below the working directory."""
    here = Path(os.getcwd())
    return str(file.relative_to(here)) if file.is_relative_to(here) else str(file)
