"""This rank's side of a run: who it is, what it runs on, and the files through which the launcher sees it.

There is one session per process. `pet.engine.entry` opens it before the script's `main`; the loop and the hooks report
through it. A report that cannot be written never stops training.
"""

from __future__ import annotations

import logging
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import nn

from pet.config import Config, ConfigError, JobEnvironment, config_hash
from pet.engine.distributed import init_process_group
from pet.engine.logger import open_log_file, setup_logger
from pet.engine.precision import NAMES, compute_dtype
from pet.engine.rng import seed_everything
from pet.engine.signs import send_signs_to
from pet.runfiles.atomic import replace_text
from pet.runfiles.heartbeat import HeartbeatWriter, Section
from pet.runfiles.metrics import JobMetrics, write_metrics_file
from pet.runfiles.rundir import RunDirectory

if TYPE_CHECKING:
    from pet.engine.checkpointer import CheckPointer

logger = logging.getLogger(__name__)


class Session:
    """Made from the environment that the launcher gives each rank.

    Attributes:
        metrics: what rank 0 publishes; hooks set its fields and call `publish`.
        iteration: the last finished step, None before the first of this process.
        started: `time.monotonic()` when the session was opened, in seconds.
        has_reported: whether this rank has told of an error by which it ends.
    """

    def __init__(self, script: str) -> None:
        self.environment = JobEnvironment.from_environ(os.environ)
        self.rank = int(os.environ.get("RANK", "0"))
        self.local_rank = int(os.environ.get("LOCAL_RANK", "0"))
        self.world_size = int(os.environ.get("WORLD_SIZE", "1"))
        self.device = torch.device("cpu")
        self.started = time.monotonic()
        self.iteration: int | None = None
        self.has_reported = False
        self.run_dir = RunDirectory(self.environment.run_dir or tempfile.mkdtemp(prefix="pet-run-"))
        self.run_dir.create()
        self._metrics_file = self.run_dir.metrics(self.local_rank)
        self.attempt, self.restart = self.environment.attempt or 0, 0
        self.heartbeat = HeartbeatWriter(
            self.run_dir.heartbeat(self.local_rank),
            attempt=self.attempt,
            restart=self.restart,
            rank=self.rank,
            local_rank=self.local_rank,
        )
        send_signs_to(self.heartbeat)
        self.metrics = JobMetrics(
            attempt=self.attempt,
            restart=self.restart,
            world_size=self.world_size,
            script=script,
            torch=torch.__version__,
        )
        self._publish_failed = False

    def start(self, cfg: Config) -> torch.device:
        """Choose the device, join the process group, set up the log and seed the generators. Returns the device.

        Raises ConfigError when MISC.DEVICE is not to be had (training never falls back to the CPU in silence), and when
        the ranks do not all run the same.
        """
        setup_logger(self.rank)
        self.device = _device(cfg.MISC.DEVICE, self.local_rank)
        self.metrics.device = self.device.type
        self.metrics.precision = NAMES[compute_dtype(cfg.SOLVER.AMP)]
        if cfg.MISC.DETERMINISTIC:
            _compute_deterministically()
        if self.device.type == "cuda":
            torch.cuda.set_device(self.device)
            torch.backends.cudnn.benchmark = cfg.MISC.CUDNN and not cfg.MISC.DETERMINISTIC
        init_process_group(self.device, config_hash=config_hash(cfg))
        seed_everything(cfg.MISC.SEED, self.rank)
        return self.device

    def place(self, model: nn.Module, cfg: Config) -> None:
        """Move the model to the device; with MISC.CHANNELS_LAST its convolutions lie as [out, height, width, in]."""
        layout = torch.channels_last if cfg.MISC.CHANNELS_LAST else torch.preserve_format
        model.to(self.device).to(memory_format=layout)

    def record_in(self, checkpointer: CheckPointer, cfg: Config, cfg_file: str) -> None:
        """The checkpoint folder is ours: take its attempt and restart, keep a copy of the configuration and the log."""
        self.attempt, self.restart = checkpointer.attempt, checkpointer.restart
        self.heartbeat.identify(attempt=self.attempt, restart=self.restart, iteration=checkpointer.iteration)
        self.metrics.attempt, self.metrics.restart = self.attempt, self.restart
        self.metrics.cfg = cfg_file
        self.metrics.resumed_from = checkpointer.iteration if checkpointer.resume else None
        self.metrics.checkpoint = checkpointer.resumed
        if self.rank != 0:
            return
        with _training_goes_on("the log is not kept in a file"):
            open_log_file(checkpointer.directory)
        if checkpointer.directory:
            with _training_goes_on("no copy of the configuration is kept"):
                name = os.path.basename(cfg_file) or "config.yaml"
                replace_text(Path(checkpointer.directory, name), cfg.dump())

    def enter(self, section: Section) -> None:
        """Tell the launcher what this rank is doing."""
        self.heartbeat.enter(section)

    @contextmanager
    def within(self, section: Section) -> Iterator[None]:
        """Tell the launcher what this rank is doing for a while, and afterwards that it does what it did before."""
        before = self.heartbeat.section
        self.heartbeat.enter(section)
        try:
            yield
        finally:
            self.heartbeat.enter(before)

    def publish(self) -> None:
        """Rank 0: replace the metric file."""
        if self.rank != 0:
            return
        try:
            self._write_metrics()
        except OSError as error:
            if not self._publish_failed:
                logger.warning("metrics cannot be published: %s; training goes on", error)
            self._publish_failed = True

    def _write_metrics(self) -> None:
        try:
            write_metrics_file(self._metrics_file, self.metrics)
        except FileNotFoundError:  # a cleaner of temporary files has taken the folder
            self.run_dir.create()
            write_metrics_file(self._metrics_file, self.metrics)


def open_session(script: str) -> Session:
    """Open this process's session."""
    global _session
    _session = Session(script)
    return _session


def current_session() -> Session:
    """The session of this process. Raises LookupError if none was opened."""
    if _session is None:
        raise LookupError("no session: start the script through pet.engine.entry.run")
    return _session


_session: Session | None = None


@contextmanager
def _training_goes_on(without: str) -> Iterator[None]:
    """Around the writing of what training can do without."""
    try:
        yield
    except OSError as error:
        logger.warning("%s: %s; training goes on", without, error)


def _compute_deterministically() -> None:
    """The same machine gives the same bits: no algorithm that adds up in any order, and one number of threads.

    An operation that torch has no such algorithm for raises RuntimeError by name.
    """
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # read when cuBLAS begins; without it products raise
    torch.use_deterministic_algorithms(True)
    if "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(1)


def _device(name: str, local_rank: int) -> torch.device:
    if name == "cpu":
        return torch.device("cpu")
    if torch.cuda.device_count() <= local_rank:
        raise ConfigError.of(
            "MISC.DEVICE",
            f"{name!r} asks for CUDA device {local_rank}, but {torch.cuda.device_count()} "
            "are visible: set MISC.DEVICE cpu or run where a GPU is",
        )
    return torch.device("cuda", local_rank)
